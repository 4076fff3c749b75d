"""From the options of `landscape evaluate` to evaluated models: plans, and their computation attack by attack."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from landscape import names
from landscape.cli.reading import Reading
from landscape.errors import InputError, Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from landscape.analysis.robustness import Evaluated
    from landscape.attacks.suite import Surroundings
    from landscape.checkpoints import Checkpoint
    from landscape.cli.sources import Source
    from landscape.cli.surroundings import LoadSurrogate
    from landscape.datasets.examples import Examples
    from landscape.surfaces.plan import SurfacePlan


@dataclass(frozen=True, kw_only=True)
class Evaluating(Reading):
    """The options of a call, by their names; `attacks` and `epsilons` as lists."""

    attacks: tuple[str, ...]
    split: str | None
    examples: int | str | None
    seed: int
    norm: str | None
    epsilons: tuple[float | None, ...]
    step_size: float | None
    restarts: int
    noise_draws: int
    device: str
    precision: str
    batch_size: int | None
    compiled: bool

    @classmethod
    def from_options(cls, given: Mapping[str, Any]) -> Self:
        """Its own among all options of a call.

        Raises:
            InputError: no attack, or restarts of none that has any.
        """
        from landscape.attacks.suite import split_attacks, takes_restarts

        attacks = tuple(dict.fromkeys(name for text in given["attacks"] for name in split_attacks(text)))
        if not attacks:
            raise InputError("name at least one --attack, such as pgd-20.")
        if given["restarts"] > 1 and not any(takes_restarts(name) for name in attacks):
            raise InputError(f"none of {', '.join(attacks)} takes --restarts; leave it out.")
        sizes = given["epsilons"] if isinstance(given["epsilons"], tuple) else (given["epsilons"],)
        return cls(**{field.name: given[field.name] for field in fields(cls)} | {"attacks": attacks, "epsilons": sizes})

    def splits(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """Which splits of a checkpoint's data are evaluated.

        Raises:
            InputError: both are asked of data that are one set.
        """
        from landscape.datasets.registry import own_splits

        if self.split in names.SPLITS:
            return (str(self.split),)
        name = self.dataset or str(checkpoint.dataset)
        found = own_splits(name, data_dir=self.data_dir)
        if self.split == "both" and found != names.SPLITS:
            raise InputError(f"{name} is one set of examples, not a train and a test split; leave out --split both.")
        return found


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One model on one split, with a plan for each attack.

    Attributes:
        source: the checkpoint.
        title: what tables call it.
        training: what its file says about its training.
        plans: by the attack's name.
    """

    source: Source
    title: str
    training: Mapping[str, Any]
    plans: Mapping[str, SurfacePlan]

    @property
    def split(self) -> str:
        """Whose examples."""
        return next(iter(self.plans.values())).examples.split


def plan_all(sources: Sequence[Source], wanted: Evaluating, *, num_examples: int) -> list[Planned]:
    """A plan for each attack, split, epsilon and checkpoint; nothing is computed yet.

    Raises:
        CheckpointError, DataError, InputError, AttackError: what is asked for is not there, or makes no sense.
    """
    from landscape.cli.surroundings import load_surrogate
    from landscape.datasets.registry import load_examples

    # Several checkpoints look at the same examples, and at the same surrogate.
    load = functools.cache(load_examples)
    surrogate = functools.cache(lambda named: load_surrogate(named, wanted))
    parts = (_planned(source, wanted, load, surrogate, num_examples) for source in sources)
    planned = [part for of_source in parts for part in of_source]
    noisy = any("noise" in plan.spec for part in planned for plan in part.plans.values())
    if wanted.noise_draws > 1 and not noisy:
        raise InputError(
            "--noise-draws is for networks with parametric noise, and none of these has any; leave it out."
        )
    return planned


def evaluate_all(planned: Sequence[Planned], wanted: Evaluating, *, quiet: bool) -> list[Evaluated]:
    """Everything from the cache, or computed attack by attack; what could fail is tried before the first one.

    Raises:
        Interrupted: stopped by the user; what was finished is in the cache.
        AttackError: an attack cannot run here, or left its ball.
    """
    from landscape import files
    from landscape.checkpoint_files import is_of_run
    from landscape.cli.progress import progress_bar
    from landscape.cli.sources import run_titles
    from landscape.surfaces.compute import is_stored
    from landscape.surfaces.evaluation import run_evaluation

    missing = [[plan for plan in part.plans.values() if not is_stored(plan, wanted.cache)] for part in planned]
    if any(missing):
        files.require_writable(wanted.cache)
    for plans in missing:
        _require_runnable(plans)
    total, done = sum(len(part.plans) for part in planned), 0
    runs = run_titles([part.source.path.absolute().parent for part in planned if is_of_run(part.source.path)])
    found = []
    for part in planned:
        surfaces = {}
        for name, plan in part.plans.items():
            with progress_bar(f"{part.title} ({part.split}), {name}", quiet=quiet, unit="examples") as progress:
                try:
                    surfaces[name] = run_evaluation(plan, cache_dir=wanted.cache, progress=progress)
                except Interrupted:
                    kept = f"{done} of {total} evaluations are kept in {wanted.cache}"
                    raise Interrupted(f"Stopped: {kept}; the same command goes on from there.") from None
            done += 1
        found.append(_evaluated(part, surfaces, runs))
    return found


def _planned(
    source: Source, wanted: Evaluating, load: Callable[..., Examples], surrogate: LoadSurrogate, num_examples: int
) -> Iterator[Planned]:
    from landscape.cli.sources import examples_for
    from landscape.cli.surroundings import surroundings_of

    checkpoint, info = wanted.load(source)
    for epsilon in wanted.epsilons:
        title = source.label if len(wanted.epsilons) == 1 else f"{source.label}, ε = {epsilon:g}"
        for split in wanted.splits(checkpoint):
            examples = examples_for(
                checkpoint,
                load,
                dataset=wanted.dataset,
                data_dir=wanted.data_dir,
                split=split,
                examples=wanted.examples,
                seed=wanted.seed,
                usual=num_examples,
            )
            around = surroundings_of(checkpoint, info, examples, wanted, epsilon=epsilon, load=surrogate)
            plans = {name: _plan(name, checkpoint, examples, around, wanted, source) for name in wanted.attacks}
            yield Planned(source=source, title=title, training=checkpoint.training, plans=plans)


def _plan(
    name: str, checkpoint: Checkpoint, examples: Examples, around: Surroundings, wanted: Evaluating, source: Source
) -> SurfacePlan:
    from dataclasses import replace

    from landscape.attacks.suite import parse_attack, takes_restarts
    from landscape.surfaces.evaluation import plan_evaluation

    around = around if takes_restarts(name) else replace(around, num_restarts=1)
    return plan_evaluation(
        checkpoint,
        examples,
        attack=parse_attack(name, None, beside=around),
        precision=wanted.precision,
        seed=wanted.seed,
        noise_draws=wanted.noise_draws,
        batch_size=wanted.batch_size,
        compiled=wanted.compiled,
        device=wanted.device,
        label=source.label,
    )


def _require_runnable(plans: Sequence[SurfacePlan]) -> None:
    """Refuse a model that does not fit, or an attack whose package is missing, before anything is computed."""
    from landscape.attacks.auto import AutoAttack, require_package

    if plans:
        plans[0].ready()
    if any(isinstance(plan.settings.attack, AutoAttack) for plan in plans):
        require_package()


def _evaluated(part: Planned, surfaces: Mapping[str, Any], runs: Mapping[Path, str]) -> Evaluated:
    from landscape.analysis.robustness import Evaluated
    from landscape.checkpoint_files import is_of_run

    training, settings = part.training, part.training.get("settings")
    seed = settings.get("seed") if isinstance(settings, Mapping) else None
    in_run, path = is_of_run(part.source.path), part.source.path
    return Evaluated(
        label=part.title,
        split=part.split,
        surfaces=surfaces,
        method=_text(training.get("method")),
        seed=seed if isinstance(seed, int) else None,
        epoch=training.get("epoch") if isinstance(training.get("epoch"), int) else None,
        run=runs[path.absolute().parent] if in_run else None,
        selection=_text(training.get("selection")) if in_run else None,
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
