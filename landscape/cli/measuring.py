"""What all commands share that measure surfaces: their options, the plans that these ask for, cost, and computation."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from landscape import names
from landscape.cli import options
from landscape.cli.directions import Kind, Lines, Wanted, direction_options
from landscape.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from landscape.checkpoints import Checkpoint
    from landscape.cli.sources import Source
    from landscape.datasets.examples import Examples
    from landscape.datasets.registry import DatasetInfo
    from landscape.protocols import DirectionRecipe
    from landscape.surfaces.batchnorm import BatchNormPolicy
    from landscape.surfaces.grid import Grid
    from landscape.surfaces.plan import Shard, SurfacePlan
    from landscape.surfaces.surface import Surface


measured_options = options.combined(
    click.option(
        "--split", type=click.Choice((*names.SPLITS, "both")), default="train", show_default=True, help="Examples of."
    ),
    options.attack_options,
    click.option(
        "--loss",
        type=click.Choice(names.LOSSES),
        default="ce",
        show_default=True,
        help="What is measured: cross-entropy, margin, cross-entropy of logits divided by their mean norm at the "
        "centre, or the objective of the training. The attack ascends the cross-entropy.",
    ),
    direction_options,
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
        help="Examples of re-estimated statistics.  [default: clean]",
    ),
    click.option(
        "--batchnorm-batch-size",
        type=click.IntRange(min=2),
        help="Examples whose statistics are taken together, for reestimate and batch.  [default: 128]",
    ),
    options.foreign_options,
    options.device_options,
)
"""What is measured, beside which examples."""

measuring_options = options.combined(
    options.example_options,
    measured_options,
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
    options.output_options,
)


line_options = options.combined(
    click.option(
        "--directions", type=click.IntRange(min=1), help="How many.  [default: 10 random, a file's all, else 1]"
    ),
    click.option(
        "--alpha",
        type=options.Line(),
        help="Nodes, FROM:TO:NUM.  [default: -1:1:21; 0:1:21 towards a checkpoint; ten gamma; around a path]",
    ),
)
"""Along how many lines, and where on them."""


def objective_option(default: str) -> Callable[[options.Function], options.Function]:
    """`--objective`, which each command has a default of its own for."""
    return click.option(
        "--objective",
        type=click.Choice(names.OBJECTIVES),
        default=default,
        show_default=True,
        help="adversarial: attack every displaced model; fixed: examples made once, at the centre; clean: none.",
    )


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """The measuring options of a call, by their names."""

    dataset: str | None
    data_dir: str | None
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
    model: str | None
    num_classes: int | None
    normalization: str | None
    device: str
    precision: str
    batch_size: int | None
    compiled: bool
    cache_dir: str | None
    shard: tuple[int, int] | None
    dry_run: bool
    out: str | None
    as_json: bool

    @classmethod
    def from_options(cls, given: Mapping[str, Any]) -> Self:
        """Its own among all options of a call.

        Raises:
            UsageError: several epsilons, which only `plot-1d` draws.
        """
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
    def cache(self) -> Path:
        """The folder of the surfaces."""
        from landscape import files

        return Path(self.cache_dir) if self.cache_dir else files.cache_folder()

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

    def load(self, source: Source) -> tuple[Checkpoint, DatasetInfo]:
        """The checkpoint of a source with the facts of its data set; errors as `load_source`."""
        from landscape.cli.sources import load_source

        return load_source(
            source,
            model=self.model,
            num_classes=self.num_classes,
            normalization=self.normalization,
            dataset=self.dataset,
            data_dir=self.data_dir,
        )

    def other(self, source: Source) -> Checkpoint:
        """Another checkpoint that directions lead to."""
        return self.load(source)[0]


def unusual(given: Mapping[str, Any]) -> list[str]:
    """What sets the figure of a call apart from the bare call's, for its name."""
    usual = {
        "objective": "adversarial",
        "loss": "ce",
        "batchnorm": "frozen",
        "batchnorm_source": None,
        "split": "train",
        "quantity": "loss",
    }
    kind = Measuring.for_each_epsilon(given)[0].directions.kind
    kinds = [] if kind == "random" else [kind]
    return kinds + [given[name] for name, value in usual.items() if given[name] != value]


def plans_for(
    sources: Sequence[Source],
    wanted: Measuring,
    *,
    directions: int | None,
    grid: Grid | str | Lines,
    adapt: Callable[[DirectionRecipe], DirectionRecipe] | None = None,
) -> list[tuple[Source, SurfacePlan]]:
    """A plan for each split of each checkpoint, in this order; nothing is computed yet.

    Args:
        sources: the checkpoints.
        wanted: the options of the call.
        directions: how many lines, or planes; None for what is usual for the kind of direction.
        grid: where to measure; lines FROM:TO:NUM of each axis, None for what is usual for the kind.
        adapt: what is done to every recipe, such as making its directions orthogonal.

    Raises:
        CheckpointError, DataError, InputError: what is asked for is not there, or makes no sense.
    """
    from landscape.datasets.registry import load_examples

    load = functools.cache(load_examples)  # several checkpoints look at the same examples
    plans = [
        (source, plan)
        for source in sources
        for plan in _plans(source, wanted, load, asked=directions, grid=grid, adapt=adapt)
    ]
    if wanted.noise_draws > 1 and not any("noise" in plan.spec for _, plan in plans):
        raise InputError(
            "--noise-draws is for networks with parametric noise, and none of these has any; leave it out."
        )
    if wanted.split == "both":
        _require_separate_splits(plans, wanted)
    if wanted.save_directions is not None and len(plans) > 1:
        raise InputError(f"--save-directions keeps those of one checkpoint and split, got {len(plans)}; name one.")
    return plans


def compute_plans(
    plans: Sequence[SurfacePlan], wanted: Measuring, *, quiet: bool, titles: Sequence[str] | None = None
) -> list[Surface]:
    """The surfaces of plans, from the cache or computed; every model is tried on its examples before the first one.

    With `--layers`, the share of every parameter is printed first, unless JSON is asked for. `titles` are for progress
    bars; the labels of the plans by default.
    """
    from landscape import files
    from landscape.cli.layers import layers_as_text
    from landscape.surfaces.compute import is_stored

    files.require_writable(wanted.cache)
    for plan in plans:
        if not is_stored(plan, wanted.cache):
            plan.ready()  # refuses a model that does not fit before another one is computed
    if wanted.layers is not None and not wanted.as_json:
        click.echo(f"{layers_as_text(plans)}\n")
    shown = titles or [plan.label for plan in plans]
    surfaces = [_computed(plan, title, wanted, quiet) for plan, title in zip(plans, shown, strict=True)]
    for plan in plans:
        count = plan.num_directions * len(plan.settings.grid.directions_of(0))
        saved = wanted.directions.save(plan.settings.directions, plan.model, count)
        if saved is not None and not wanted.as_json:
            click.echo(f"directions  {saved}\n")
    return surfaces


def say_cost(plans: Sequence[tuple[Source, SurfacePlan]], wanted: Measuring) -> None:
    """Print what plans would cost, from one measured point of each."""
    import json

    from landscape.cli.layers import layers_as_text
    from landscape.cli.progress import duration
    from landscape.surfaces.compute import estimate_cost

    costs = [(source, plan, estimate_cost(plan, cache_dir=wanted.cache, shard=wanted.part)) for source, plan in plans]
    total = sum(cost.seconds for _, _, cost in costs)
    if wanted.as_json:
        rows = [{"label": source.title, "split": plan.examples.split, **asdict(cost)} for source, plan, cost in costs]
        layers = layer_numbers([plan for _, plan in plans], wanted)
        click.echo(json.dumps({"seconds": total, "surfaces": rows, **layers}, indent=2))
        return
    if wanted.layers is not None:
        click.echo(f"{layers_as_text([plan for _, plan in plans])}\n")
    for source, plan, cost in costs:
        what = f"{source.title} ({plan.examples.split}): {cost.num_points} of {cost.num_total} points to compute"
        if cost.num_points:
            each = f"{len(plan.examples)} examples x {cost.passes_per_example} passes through the model"
            measured = f"{cost.seconds_per_point:.3g} s measured (batch {cost.batch_size}, {plan.device})"
            what += f", each {each}, {measured}: about {duration(cost.seconds)}"
        click.echo(what)
    click.echo(f"In all about {duration(total)}; points are directions x nodes, and the centre. Nothing was written.")


def layer_numbers(plans: Sequence[SurfacePlan], wanted: Measuring) -> dict[str, Any]:
    """What `--layers` adds to the JSON of a command; nothing without it."""
    from landscape.cli.layers import layers_as_json

    return {} if wanted.layers is None or not wanted.as_json else {"layers": layers_as_json(plans)}


def say_unfinished(surfaces: Sequence[Surface], wanted: Measuring) -> None:
    """Print how far surfaces are that lack the points of other shards."""
    import json

    if wanted.as_json:
        rows = [{"label": s.label, "key": s.key, "done": s.num_done, "points": s.num_points} for s in surfaces]
        click.echo(json.dumps({"complete": False, "cache": str(wanted.cache), "surfaces": rows}, indent=2))
        return
    for surface in surfaces:
        click.echo(f"{surface.label}: {surface.num_done} of {surface.num_points} points are there.")
    click.echo(f"They are kept in {wanted.cache}; when all parts are done, the call without --shard draws the figure.")


def _plans(
    source: Source,
    wanted: Measuring,
    load: Callable[..., Examples],
    *,
    asked: int | None,
    grid: Grid | str | Lines,
    adapt: Callable[[DirectionRecipe], DirectionRecipe] | None,
) -> list[SurfacePlan]:
    """One plan for each split of one checkpoint."""
    from landscape.cli.sources import attack_for, examples_for
    from landscape.surfaces.plan import plan_surface

    checkpoint, info = wanted.load(source)
    attack = attack_for(
        checkpoint,
        info,
        wanted.attack if wanted.objective != "clean" else "none",
        norm=wanted.norm,
        epsilon=wanted.epsilon,
        step_size=wanted.step_size,
        restarts=wanted.restarts,
    )
    axes = len(grid) if isinstance(grid, tuple) else 1
    count = wanted.directions.count(asked, axes)
    plans = []
    for split in wanted.splits:
        examples = examples_for(
            checkpoint,
            load,
            dataset=wanted.dataset,
            data_dir=wanted.data_dir,
            split=split,
            examples=wanted.examples,
            seed=wanted.seed,
        )
        recipe = wanted.directions.recipe(
            checkpoint, examples, attack, count=count * axes, load=wanted.other, device=wanted.device
        )
        plan = plan_surface(
            checkpoint,
            examples,
            attack=attack,
            directions=recipe if adapt is None else adapt(recipe),
            num_directions=count,
            grid=wanted.directions.grid(grid, checkpoint, recipe) if isinstance(grid, tuple) else grid,
            objective=wanted.objective,
            loss=wanted.loss,
            batchnorm=wanted.batchnorm_policy(),
            precision=wanted.precision,
            seed=wanted.seed,
            noise_draws=wanted.noise_draws,
            batch_size=wanted.batch_size,
            compiled=wanted.compiled,
            device=wanted.device,
            label=source.label,
        )
        plans.append(plan)
    return plans


def _require_separate_splits(plans: Sequence[tuple[Source, SurfacePlan]], wanted: Measuring) -> None:
    from landscape.datasets.registry import has_separate_splits

    for _, plan in plans:
        name = wanted.dataset or plan.examples.dataset
        if not has_separate_splits(name, data_dir=wanted.data_dir):
            raise InputError(f"{name} is one set of examples, not a train and a test split; leave out --split both.")


def _computed(plan: SurfacePlan, title: str, wanted: Measuring, quiet: bool) -> Surface:
    from landscape.cli.progress import progress_bar
    from landscape.surfaces.compute import run_plan

    with progress_bar(f"{title} ({plan.examples.split})", quiet=quiet) as progress:
        return run_plan(plan, cache_dir=wanted.cache, shard=wanted.part, progress=progress)
