"""From what a user names to models: checkpoint files, run folders, bundled names, with their data and their attack."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from landscape.cli.options import NUM_EXAMPLES
from landscape.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from landscape.attacks.threat import ThreatModel
    from landscape.checkpoints import Checkpoint
    from landscape.datasets.examples import Examples
    from landscape.datasets.registry import DatasetInfo
    from landscape.protocols import Attack


logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One checkpoint to look at.

    Attributes:
        path: the file.
        title: what tables and legends call it.
        epoch: finished epochs, in a series; None otherwise.
        run: the run folder of a series; None otherwise.
    """

    path: Path
    title: str
    epoch: int | None = None
    run: Path | None = None

    @property
    def label(self) -> str:
        """What a surface calls it once it lies in the cache, where other runs have epochs too."""
        return self.title if self.run is None else f"{self.run.absolute().name}, {self.title}"


def find_sources(named: tuple[str, ...], epochs: range | None) -> list[Source]:
    """The checkpoints that the arguments name; with `epochs`, the series of the one run folder that is named.

    In a series the best and the last checkpoint of the run are always included.

    Raises:
        CheckpointError: there is no such file, or a series is asked of something else than one run folder.
    """
    from landscape.checkpoints import find_checkpoint

    if epochs is not None:
        return _series(named, epochs)
    paths = [find_checkpoint(name) for name in named]
    return [Source(path=path, title=title) for path, title in zip(paths, _titles(paths), strict=True)]


def run_sources(run: Path) -> list[Source]:
    """All checkpoints of a run folder, by epoch.

    Raises:
        CheckpointError: it holds none, or a file does not say its epoch.
    """
    from landscape.checkpoints import run_checkpoints

    return [Source(path=path, title=f"epoch {epoch}", epoch=epoch, run=run) for epoch, path in run_checkpoints(run)]


def evaluated_sources(named: tuple[str, ...], epochs: range | None, *, every: bool) -> list[Source]:
    """The checkpoints that the arguments name, of a run folder its best and its last.

    With `every`, all of a run folder; with `epochs`, those epochs with its best and its last.

    Raises:
        CheckpointError: there is no such file, or epochs are asked of something else than run folders.
        InputError: `every`, and no run folder.
    """
    runs = run_titles([Path(name) for name in named if Path(name).is_dir()])
    if every and not runs:
        raise InputError(
            f"--best-per-attack looks at all checkpoints of run folders, got {', '.join(named)}; name a run folder."
        )
    files = iter(find_sources(tuple(name for name in named if not Path(name).is_dir()), None))
    found: list[Source] = []
    for name in named:
        run = Path(name)
        if epochs is None and not run.is_dir():
            found.append(next(files))
        elif epochs is not None or every:
            of_run = _series((name,), epochs) if epochs is not None else run_sources(run)
            title = runs[run.absolute()]
            found += [Source(path=part.path, title=f"{title}, {part.title}", epoch=part.epoch) for part in of_run]
        else:
            found += _ends(run, runs[run.absolute()])
    return found


def run_titles(folders: list[Path]) -> dict[Path, str]:
    """What to call run folders, by their absolute paths: the shortest ends of the paths that tell them apart."""
    paths = list(dict.fromkeys(folder.absolute() for folder in folders))
    for length in range(1, max((len(path.parts) for path in paths), default=1) + 1):
        titles = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(titles)) == len(paths):
            break
    return dict(zip(paths, titles, strict=True)) if paths else {}


def _ends(run: Path, title: str) -> list[Source]:
    """The best and the last checkpoint of a run folder; the only one there is, if neither has that name."""
    ends = [run / name for name in ("best.pt", "last.pt") if (run / name).is_file()]
    if not ends:
        return find_sources((str(run),), None)
    return [Source(path=path, title=f"{title}/{path.stem}") for path in ends]


def load_source(
    source: Source,
    *,
    model: str | None,
    num_classes: int | None,
    normalization: str | None,
    dataset: str | None,
    data_dir: str | None,
) -> tuple[Checkpoint, DatasetInfo]:
    """The checkpoint with the facts of its data set, or of the one that the user names.

    Raises:
        CheckpointError: the file cannot be read or does not fit.
        InputError: neither the file nor the user names a data set.
    """
    from landscape.checkpoints import load_checkpoint
    from landscape.datasets.registry import dataset_info

    info = None if dataset is None else dataset_info(dataset, data_dir=data_dir)
    checkpoint = load_checkpoint(
        source.path,
        model=model,
        num_classes=num_classes,
        normalization=normalization,
        dataset=dataset,
        image_shape=None if info is None else info.image_shape,
    )
    if checkpoint.dataset is None:
        raise InputError(f"{source.path} does not say its data set; name it with --dataset, for example cifar10.")
    return checkpoint, info or dataset_info(checkpoint.dataset, data_dir=data_dir)


def examples_for(
    checkpoint: Checkpoint,
    load: Callable[..., Examples],
    *,
    dataset: str | None,
    data_dir: str | None,
    split: str,
    examples: int | str | None,
    seed: int,
    usual: int = NUM_EXAMPLES,
) -> Examples:
    """The examples to measure, by `load`: N, `all`, or (None) the usual number, all where there are fewer.

    Raises:
        InputError: more examples are asked for than there are.
        DataError: the data are missing or damaged.
    """
    from landscape.datasets.registry import split_size

    name = dataset or str(checkpoint.dataset)
    if examples is None:
        examples = min(usual, split_size(name, split=split, data_dir=data_dir))
    count = None if isinstance(examples, str) else examples
    return load(name, split=split, num_examples=count, seed=seed, data_dir=data_dir)


def attack_for(
    checkpoint: Checkpoint,
    info: DatasetInfo,
    attack: str,
    *,
    norm: str | None,
    epsilon: float | None,
    step_size: float | None,
    restarts: int,
) -> Attack:
    """The attack on a checkpoint: what the user says, else what it was trained against, else the data set's usual one.

    A radius in another norm than the stored one has nothing to do with it: who names a norm names epsilon too.

    Raises:
        InputError: no threat model is known, or the attack's name is not.
    """
    from landscape.attacks.suite import parse_attack

    if attack == "none":
        return parse_attack(attack, None)
    threat, step = threat_for(checkpoint, info, norm=norm, epsilon=epsilon, step_size=step_size)
    return parse_attack(attack, threat, step_size=step, num_restarts=restarts)


def threat_for(
    checkpoint: Checkpoint, info: DatasetInfo, *, norm: str | None, epsilon: float | None, step_size: float | None
) -> tuple[ThreatModel, float | None]:
    """The threat model of a checkpoint and the step of attacks in it (None: the usual share of epsilon).

    What the user says, else what it was trained against, else the data set's usual one.

    Raises:
        InputError: no threat model is known.
    """
    from landscape.attacks.threat import ThreatModel

    stored, step = checkpoint.threat, checkpoint.step_size
    if stored is None and info.norm is not None and info.epsilon is not None:
        stored, step = ThreatModel(norm=info.norm, epsilon=info.epsilon), info.step_size
    usual = stored is not None and norm in (None, stored.norm) and epsilon in (None, stored.epsilon)
    if usual and stored is not None:
        return stored, step_size or step
    if epsilon is None and stored is not None:
        raise InputError(
            f"{checkpoint.name} was trained against {stored.norm} {stored.epsilon:g}, which says nothing about {norm}; "
            "give --epsilon too."
        )
    norm = norm or (stored.norm if stored is not None else None)
    if norm is None or epsilon is None:
        raise InputError(
            f"the threat model of {checkpoint.name} is not known; give --norm linf|l2 and --epsilon, for example 8/255."
        )
    return ThreatModel(norm=norm, epsilon=epsilon), step_size


def _series(named: tuple[str, ...], epochs: range) -> list[Source]:
    from landscape.checkpoints import epoch_of, find_checkpoint, run_checkpoints

    if len(named) != 1 or not Path(named[0]).is_dir():
        for name in named:
            if not Path(name).is_dir():
                find_checkpoint(name)  # says what to do about a folder that is not there
        raise CheckpointError(
            f"a series of --epochs needs one run folder, as `landscape train` makes it, got {', '.join(named)}."
        )
    run = Path(named[0])
    found = dict(run_checkpoints(run))
    wanted = {epoch: path for epoch, path in found.items() if epoch in epochs}
    if not wanted:
        kept = ", ".join(map(str, found))
        raise CheckpointError(f"{run} has no checkpoint at the epochs asked for; it has {kept}.")
    if absent := [epoch for epoch in epochs if epoch not in found]:
        logger.warning("%s has no checkpoint at epochs %s.", run, ", ".join(map(str, absent)))
    for name in ("best.pt", "last.pt"):
        if (run / name).is_file():
            epoch = epoch_of(run / name)
            wanted.setdefault(epoch, found.get(epoch, run / name))
    return [Source(path=path, title=f"epoch {epoch}", epoch=epoch, run=run) for epoch, path in sorted(wanted.items())]


def _titles(paths: list[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart: the file's name, with its folders where names repeat."""
    parts = [(*path.absolute().parent.parts, path.stem) for path in paths]
    count = [2 if path.stem in ("last", "best") or path.stem.startswith("epoch-") else 1 for path in paths]
    titles = ["/".join(part[-n:]) for part, n in zip(parts, count, strict=True)]
    for length in range(2, 12):
        repeated = {title for title in titles if titles.count(title) > 1}
        if not repeated or len(set(paths)) < len(paths):
            break
        titles = [
            "/".join(part[-length:]) if title in repeated else title for part, title in zip(parts, titles, strict=True)
        ]
    return titles
