"""`landscape plot-1d`: loss curves along random directions, with adversarial examples made anew at every point."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landscape import names
from landscape.cli import options
from landscape.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from landscape.cli.sources import Source
    from landscape.datasets.examples import Examples
    from landscape.surfaces.plan import Shard, SurfacePlan
    from landscape.surfaces.surface import Surface


@click.command("plot-1d")
@click.argument("checkpoints", nargs=-1, required=True, metavar="CKPT...")
@click.option("--directions", type=click.IntRange(min=1), default=10, show_default=True, help="Random directions.")
@click.option("--alpha", type=options.Line(), default="-1:1:21", show_default=True, help="Nodes, FROM:TO:NUM.")
@options.example_options
@click.option(
    "--split", type=click.Choice((*names.SPLITS, "both")), default="train", show_default=True, help="Examples of."
)
@options.attack_options
@click.option(
    "--objective",
    type=click.Choice(names.OBJECTIVES),
    default="adversarial",
    show_default=True,
    help="adversarial: attack every displaced model; fixed: examples made once, at the centre; clean: none.",
)
@click.option(
    "--direction-norm",
    type=click.Choice(names.DIRECTION_NORMS),
    default="filter",
    show_default=True,
    help="What of d is scaled to w.",
)
@click.option(
    "--one-dim",
    type=click.Choice(names.ONE_DIM_RULES),
    default="zero",
    show_default=True,
    help="Biases and BatchNorm parameters: keep, move along themselves (as Li et al.'s tool), or by random signs.",
)
@click.option("--layers", metavar="REGEX", help="Move only parameters whose name matches.")
@click.option("--batchnorm", type=click.Choice(names.BATCHNORM_POLICIES), default="frozen", help="Running statistics.")
@click.option(
    "--quantity", type=click.Choice(names.QUANTITIES), default="loss", show_default=True, help="What is drawn."
)
@click.option("--epochs", type=options.Epochs(), help="Of a run folder, FROM:TO:STEP: a series, one curve per epoch.")
@click.option("--split-at", default="best", show_default=True, help="Where a series parts: best, or gap:0.10.")
@options.foreign_options
@options.device_options
@options.cache_options
@click.option("--shard", type=options.Part(), help="Compute only part I/N of the points, for job arrays.")
@click.option("--dry-run", is_flag=True, help="Say what it would cost, from one measured point, and stop.")
@options.output_options
@click.pass_obj
def command(settings: dict[str, Any], /, checkpoints: tuple[str, ...], **given: Any) -> None:
    """Draw g(alpha), the loss of models moved along filter-normalized random directions, for each CKPT.

    A CKPT is a checkpoint file, a run folder (its last checkpoint, or a series with --epochs), or the name of a bundled
    checkpoint such as digits-at. At every point the attack makes its adversarial examples anew on the moved model
    (Algorithm 1 of Wu et al. 2020). Results are kept in the cache: the same call is instant the second time, an
    interrupted one goes on where it stopped.
    """
    from landscape import files
    from landscape.analysis.series import find_parting
    from landscape.cli.report import figure_path, report_curves
    from landscape.cli.sources import find_sources
    from landscape.datasets.registry import load_examples
    from landscape.surfaces.compute import is_stored

    wanted = _Wanted(**given)
    if wanted.quantity == "robust-error" and (wanted.attack == "none" or wanted.objective == "clean"):
        raise InputError("there is no robust error without an attack; ask for --quantity natural-error.")
    sources = find_sources(checkpoints, wanted.epochs)
    series = sources[0].run
    named = [series.absolute().name] if series else [source.title for source in sources]
    out = figure_path(wanted.out, named, "-".join(["plot-1d", *wanted.unusual]))
    if series is not None:
        find_parting(series, wanted.split_at)  # refuses a wrong --split-at before anything is computed
    cache = Path(wanted.cache_dir) if wanted.cache_dir else files.cache_folder()
    load = functools.cache(load_examples)  # several checkpoints look at the same examples
    plans = [(source, plan) for source in sources for plan in _plans(source, wanted, load)]
    if wanted.split == "both":
        _require_separate_splits(plans, wanted)
    if wanted.dry_run:
        _say_cost(plans, cache, _part(wanted), wanted.as_json)
        return
    files.require_writable(cache)
    if wanted.shard is None:
        files.require_writable(out.absolute().parent)
    for _, plan in plans:
        if not is_stored(plan, cache):
            plan.ready()  # refuses a model that does not fit before another one is computed
    quiet = bool(settings.get("quiet")) or wanted.as_json
    surfaces = [_computed(plan, cache, _part(wanted), quiet) for _, plan in plans]
    if not all(surface.complete for surface in surfaces):
        _say_unfinished(surfaces, cache, wanted.as_json)
        return
    report_curves(
        surfaces,
        [source.title for source, _ in plans],
        paths=[cache / f"{surface.key}.h5" for surface in surfaces],
        out=out,
        quantity=wanted.quantity,
        as_json=wanted.as_json,
        epochs=[source.epoch for source, _ in plans] if wanted.epochs else None,
        run=series,
        split_at=wanted.split_at,
    )


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """The options of the call, by their names."""

    directions: int
    alpha: str
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
    objective: str
    direction_norm: str
    one_dim: str
    layers: str | None
    batchnorm: str
    quantity: str
    epochs: range | None
    split_at: str
    model: str | None
    num_classes: int | None
    normalization: str | None
    device: str
    precision: str
    batch_size: int | None
    cache_dir: str | None
    shard: tuple[int, int] | None
    dry_run: bool
    out: str | None
    as_json: bool

    @property
    def unusual(self) -> list[str]:
        """What sets the figure apart from the bare call's, for its name."""
        usual = {"objective": "adversarial", "split": "train", "quantity": "loss"}
        return [getattr(self, name) for name, value in usual.items() if getattr(self, name) != value]


def _plans(source: Source, wanted: _Wanted, load: Callable[..., Examples]) -> list[SurfacePlan]:
    """One plan for each split of one checkpoint."""
    from landscape.cli.sources import attack_for, examples_for, load_source
    from landscape.surfaces.directions import RandomDirections
    from landscape.surfaces.plan import plan_surface

    checkpoint, info = load_source(
        source,
        model=wanted.model,
        num_classes=wanted.num_classes,
        normalization=wanted.normalization,
        dataset=wanted.dataset,
        data_dir=wanted.data_dir,
    )
    attack = attack_for(
        checkpoint,
        info,
        wanted.attack if wanted.objective != "clean" else "none",
        norm=wanted.norm,
        epsilon=wanted.epsilon,
        step_size=wanted.step_size,
        restarts=wanted.restarts,
    )
    recipe = RandomDirections(
        seed=wanted.seed, norm=wanted.direction_norm, one_dim=wanted.one_dim, layers=wanted.layers
    )
    return [
        plan_surface(
            checkpoint,
            examples_for(
                checkpoint,
                load,
                dataset=wanted.dataset,
                data_dir=wanted.data_dir,
                split=split,
                examples=wanted.examples,
                seed=wanted.seed,
            ),
            attack=attack,
            directions=recipe,
            num_directions=wanted.directions,
            grid=wanted.alpha,
            objective=wanted.objective,
            batchnorm=wanted.batchnorm,
            precision=wanted.precision,
            seed=wanted.seed,
            batch_size=wanted.batch_size,
            device=wanted.device,
            label=source.label,
        )
        for split in (names.SPLITS if wanted.split == "both" else (wanted.split,))
    ]


def _require_separate_splits(plans: list[tuple[Source, SurfacePlan]], wanted: _Wanted) -> None:
    from landscape.datasets.registry import has_separate_splits

    for _, plan in plans:
        name = wanted.dataset or plan.examples.dataset
        if not has_separate_splits(name, data_dir=wanted.data_dir):
            raise InputError(f"{name} is one set of examples, not a train and a test split; leave out --split both.")


def _part(wanted: _Wanted) -> Shard | None:
    from landscape.surfaces.plan import Shard

    return None if wanted.shard is None else Shard(number=wanted.shard[0], count=wanted.shard[1])


def _computed(plan: SurfacePlan, cache: Path, shard: Shard | None, quiet: bool) -> Surface:
    from landscape.cli.progress import progress_bar
    from landscape.surfaces.compute import run_plan

    title = f"{plan.label} ({plan.examples.split})"
    with progress_bar(title, quiet=quiet) as progress:
        return run_plan(plan, cache_dir=cache, shard=shard, progress=progress)


def _say_cost(plans: list[tuple[Source, SurfacePlan]], cache: Path, shard: Shard | None, as_json: bool) -> None:
    import json

    from landscape.cli.progress import duration
    from landscape.surfaces.compute import estimate_cost

    costs = [(source, plan, estimate_cost(plan, cache_dir=cache, shard=shard)) for source, plan in plans]
    total = sum(cost.seconds for _, _, cost in costs)
    if as_json:
        rows = [{"label": source.title, "split": plan.examples.split, **asdict(cost)} for source, plan, cost in costs]
        click.echo(json.dumps({"seconds": total, "surfaces": rows}, indent=2))
        return
    for source, plan, cost in costs:
        what = f"{source.title} ({plan.examples.split}): {cost.num_points} of {cost.num_total} points to compute"
        if cost.num_points:
            each = f"{len(plan.examples)} examples x {cost.passes_per_example} passes through the model"
            measured = f"{cost.seconds_per_point:.3g} s measured (batch {cost.batch_size}, {plan.device})"
            what += f", each {each}, {measured}: about {duration(cost.seconds)}"
        click.echo(what)
    click.echo(f"In all about {duration(total)}; points are directions x nodes, and the centre. Nothing was written.")


def _say_unfinished(surfaces: list[Surface], cache: Path, as_json: bool) -> None:
    import json

    if as_json:
        rows = [{"label": s.label, "key": s.key, "done": s.num_done, "points": s.num_points} for s in surfaces]
        click.echo(json.dumps({"complete": False, "cache": str(cache), "surfaces": rows}, indent=2))
        return
    for surface in surfaces:
        click.echo(f"{surface.label}: {surface.num_done} of {surface.num_points} points are there.")
    click.echo(f"They are kept in {cache}; when all parts are done, the call without --shard draws the figure.")
