"""The options of all commands that measure surfaces, and their values; `surfaces.py` does what they ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import click

from landscape import names
from landscape.cli import options
from landscape.cli.direction_options import Kind, direction_options, random_options
from landscape.cli.directions import Wanted
from landscape.cli.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from landscape.checkpoints import Checkpoint
    from landscape.cli.sources import Source
    from landscape.surfaces.batchnorm import BatchNormPolicy
    from landscape.surfaces.plan import Shard


target_options = options.combined(
    click.option(
        "--split",
        type=click.Choice((*names.SPLITS, "both")),
        default="train",
        show_default=True,
        help="Which examples.",
    ),
    options.attack_options,
    click.option(
        "--loss",
        type=click.Choice(names.LOSSES),
        default="ce",
        show_default=True,
        help="What is measured: cross-entropy, margin, cross-entropy of logits divided by their mean norm at the "
        "centre, or the objective of the training. PGD ascends the cross-entropy.",
    ),
)
"""Which loss of which split, under which attack."""

model_options = options.combined(
    click.option(
        "--batchnorm",
        type=click.Choice(names.BATCHNORM_POLICIES),
        default="frozen",
        show_default=True,
        help="Statistics of BatchNorm: the checkpoint's, re-estimated at every point, or those of each batch.",
    ),
    click.option(
        "--batchnorm-source",
        type=click.Choice(names.BATCHNORM_SOURCES),
        help="Examples that statistics are re-estimated from.  [default: clean]",
    ),
    click.option(
        "--batchnorm-batch-size",
        type=click.IntRange(min=2),
        help="Examples whose statistics are taken together, for reestimate and batch.  [default: 128]",
    ),
    options.foreign_options,
    options.device_options,
)
"""On which model, where."""

measured_options = options.combined(target_options, direction_options, model_options)
"""What is measured, beside which examples."""

computing_options = options.combined(
    options.cache_options,
    click.option(
        "--noise-draws",
        type=click.IntRange(min=1, max=254),
        default=1,
        show_default=True,
        help="Draws of noise to average over, of networks with parametric noise.",
    ),
    click.option("--shard", type=options.Part(), help="Compute only part I/N of the points, for job arrays."),
    click.option("--dry-run", is_flag=True, help="Say what it would cost, from one measured point, and stop."),
)
"""How points are computed and kept."""


def _refuse_csv(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.UsageError(
            f"{context.info_name} writes no CSV; `landscape cache export FILE --to {value}` does, for each surface "
            "file that it names at its end."
        )


csv_elsewhere = click.option(
    "--csv", hidden=True, expose_value=False, callback=_refuse_csv, help="Of `landscape cache export`."
)
"""Says where the numbers of surfaces are had as CSV, which other commands write themselves."""

measuring_options = options.combined(
    options.example_options, measured_options, computing_options, options.output_options, csv_elsewhere
)
"""Of commands that let the user choose the kind of direction."""

sampling_options = options.combined(
    options.example_options, target_options, random_options, model_options, computing_options, options.output_options
)
"""Of commands that choose the kinds of direction themselves."""


line_options = options.combined(
    click.option(
        "--directions",
        type=click.IntRange(min=1),
        help="How many directions.  [default: 10 random, a file's all, else 1]",
    ),
    click.option(
        "--alpha",
        type=options.Line(),
        help="Nodes, FROM:TO:NUM.  [default: -1:1:21; 0:1:21 towards a checkpoint; to 10 gamma, worst-case; around a "
        "path]",
    ),
)
"""Along how many lines, and where on them."""


quantity_option = click.option(
    "--quantity", type=click.Choice(names.QUANTITIES), default="loss", show_default=True, help="What is drawn."
)


def series_options(what: str) -> Callable[[options.Function], options.Function]:
    """The options of a series of checkpoints of one run; `what` there is of each epoch."""
    return options.combined(
        click.option("--epochs", type=options.Epochs(), help=f"Of a run folder, FROM:TO:STEP: a series, {what}."),
        click.option("--split-at", default="best", show_default=True, help="Where a series parts: best, or gap:0.10."),
    )


def objective_option(default: str) -> Callable[[options.Function], options.Function]:
    """`--objective`, which each command has a default of its own for."""
    return click.option(
        "--objective",
        type=click.Choice(names.OBJECTIVES),
        default=default,
        show_default=True,
        help="adversarial: attack every displaced model; fixed: examples made once, at the centre; clean: none.",
    )


USUAL: Mapping[str, Any] = {
    "objective": "adversarial",
    "loss": "ce",
    "batchnorm": "frozen",
    "batchnorm_source": None,
    "split": "train",
    "precision": "fp32",
    "quantity": "loss",
}
"""Values of options that the name of a figure does not repeat."""


@dataclass(frozen=True, kw_only=True)
class Measuring(Reading):
    """The measuring options of a call, by their names."""

    examples: int | str | None
    seed: int
    split: str
    norm: str | None
    epsilon: float | None
    step_size: float | None
    attack: str
    restarts: int
    loss: str
    objective: str
    direction: Kind
    towards: tuple[str, ...]
    trajectory: tuple[str, ...]
    direction_norm: str | None
    one_dim: str | None
    layers: str | None
    save_directions: str | None
    batchnorm: str
    batchnorm_source: str | None
    batchnorm_batch_size: int | None
    noise_draws: int
    device: str
    precision: str
    batch_size: int | None
    compiled: bool
    shard: tuple[int, int] | None
    dry_run: bool
    out: str | None
    as_json: bool

    @classmethod
    def from_options(cls, given: Mapping[str, Any]) -> Self:
        """Its own among all options of a call.

        Raises:
            UsageError: several epsilons, which only `plot-1d` draws, or settings of an attack where there is none.
        """
        _require_attack(given)
        if isinstance(given["epsilon"], tuple):
            raise click.UsageError("this command takes one --epsilon; landscape plot-1d draws several in one picture.")
        return cls(**{field.name: given[field.name] for field in fields(cls)})

    @classmethod
    def for_each_epsilon(cls, given: Mapping[str, Any]) -> list[Self]:
        """The options of a call for each of its epsilons; as `from_options` where there are not several."""
        sizes = given["epsilon"] if isinstance(given["epsilon"], tuple) else (given["epsilon"],)
        return [cls.from_options({**given, "epsilon": size}) for size in sizes]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that `--split` names."""
        return names.SPLITS if self.split == "both" else (self.split,)

    @property
    def part(self) -> Shard | None:
        """Which part of the points to compute; None for all."""
        from landscape.surfaces.plan import Shard

        return None if self.shard is None else Shard(number=self.shard[0], count=self.shard[1])

    @property
    def directions(self) -> Wanted:
        """The direction options alone.

        Raises:
            InputError: they contradict one another.
        """
        return Wanted(**{field.name: getattr(self, field.name) for field in fields(Wanted)})

    def batchnorm_policy(self) -> BatchNormPolicy:
        """The policy that the options describe."""
        from landscape.surfaces.batchnorm import find_policy

        return find_policy(
            self.batchnorm, source=self.batchnorm_source, largest_batch=self.batchnorm_batch_size, seed=self.seed
        )

    def other(self, source: Source) -> Checkpoint:
        """Another checkpoint that directions lead to."""
        return self.load(source)[0]


def _require_attack(given: Mapping[str, Any]) -> None:
    """Refuse what is said of an attack where nothing is attacked; it would be ignored."""
    clean, attack = given["objective"] == "clean", given["attack"]
    if clean and attack != "none" and options.was_said("attack"):
        raise click.UsageError(f"--objective clean attacks nothing, so --attack {attack} has no place; leave one out.")
    if given["restarts"] > 1 and (clean or attack == "none"):
        without = "--objective clean" if clean else "--attack none"
        raise click.UsageError(f"--restarts are of an attack, and {without} leaves it out; leave one out.")


def unusual(given: Mapping[str, Any], **usual: Any) -> list[str]:
    """What sets the figure of a call apart from the bare call's, for its name.

    Args:
        given: the options of the call.
        usual: what a command has of its own instead of, or beside, the usual values of `USUAL`.
    """
    wanted = Measuring.for_each_epsilon(given)[0]
    attack = [] if wanted.attack.startswith("pgd-") else [options.in_name(wanted.attack)]
    size = [] if wanted.epsilon is None or isinstance(given["epsilon"], tuple) else [f"epsilon-{wanted.epsilon:.4g}"]
    norm = [] if wanted.norm is None else [wanted.norm]
    others = [given[name] for name, value in {**USUAL, **usual}.items() if given[name] != value]
    return [*wanted.directions.in_name, *norm, *size, *attack, *others]
