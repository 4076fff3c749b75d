"""From the measuring options of a call to surfaces: plans, what they cost, and their computation."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from landscape.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from landscape.checkpoints import Checkpoint
    from landscape.cli.directions import Lines
    from landscape.cli.measuring import Measuring
    from landscape.cli.sources import Source
    from landscape.datasets.examples import Examples
    from landscape.datasets.registry import DatasetInfo
    from landscape.protocols import DirectionRecipe
    from landscape.surfaces.grid import Grid
    from landscape.surfaces.plan import SurfacePlan
    from landscape.surfaces.surface import Surface

    LoadModel = Callable[[Source], tuple[Checkpoint, DatasetInfo]]


def plans_for(
    sources: Sequence[Source],
    wanted: Measuring,
    *,
    directions: int | None,
    grid: Grid | str | Lines,
    adapt: Callable[[DirectionRecipe], DirectionRecipe] | None = None,
    load_model: LoadModel | None = None,
) -> list[tuple[Source, SurfacePlan]]:
    """A plan for each split of each checkpoint, in this order; nothing is computed yet.

    Args:
        sources: the checkpoints.
        wanted: the options of the call.
        directions: how many lines, or planes; None for what is usual for the kind of direction.
        grid: where to measure; lines FROM:TO:NUM of each axis, None for what is usual for the kind.
        adapt: what is done to every recipe, such as making its directions orthogonal.
        load_model: as `Measuring.load`, for a caller that makes several plans of one model.

    Raises:
        CheckpointError, DataError, InputError: what is asked for is not there, or makes no sense.
    """
    from landscape.datasets.registry import load_examples

    load = functools.cache(load_examples)  # several checkpoints look at the same examples
    plans = [
        (source, plan)
        for source in sources
        for plan in _plans(
            source, wanted, load, asked=directions, grid=grid, adapt=adapt, load_model=load_model or wanted.load
        )
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

    for plan in plans:
        if not is_stored(plan, wanted.cache):
            files.require_writable(wanted.cache)
            plan.ready()  # refuses a model that does not fit before another one is computed
    if wanted.layers is not None and not wanted.as_json:
        click.echo(f"{layers_as_text(plans)}\n")
    shown = titles or [plan.label for plan in plans]
    surfaces = [_computed(plan, title, wanted, quiet) for plan, title in zip(plans, shown, strict=True)]
    for plan in plans:
        saved = wanted.directions.save(plan.settings.directions, plan.model, plan.num_drawn)
        if saved is not None and not wanted.as_json:
            click.echo(f"directions  {saved}\n")
    return surfaces


def say_cost(plans: Sequence[tuple[Source, SurfacePlan]], wanted: Measuring) -> None:
    """Print what plans would cost, from one measured point of each; plans that differ in weights only share it."""
    from landscape.cli.layers import layers_as_text
    from landscape.cli.progress import duration
    from landscape.files import canonical_json
    from landscape.surfaces.cost import Cost, estimate_cost

    costs, known = [], dict[str, Cost]()
    for source, plan in plans:
        kind = canonical_json(_without_weights(plan))
        cost = estimate_cost(plan, cache_dir=wanted.cache, shard=wanted.part, like=known.get(kind))
        costs.append((source, plan, cost))
        if cost.num_points:
            known[kind] = cost
    total = sum(cost.seconds for _, _, cost in costs)
    if wanted.as_json:
        rows = [
            {"label": source.title, "split": plan.examples.split, **asdict(cost), **_as_limit(plan)}
            for source, plan, cost in costs
        ]
        layers = layer_numbers([plan for _, plan in plans], wanted)
        click.echo(json.dumps({"seconds": total, "surfaces": rows, **layers}, indent=2))
        return
    if wanted.layers is not None:
        click.echo(f"{layers_as_text([plan for _, plan in plans])}\n")
    for source, plan, cost in costs:
        most = "at most " if cost.num_points and _as_limit(plan) else ""
        what = f"{source.title} ({plan.examples.split}): {most}{cost.num_points} of {cost.num_total} points to compute"
        if cost.num_points:
            each = f"{len(plan.examples)} examples x {cost.passes_per_example} passes through the model"
            measured = f"{cost.seconds_per_point:.3g} s measured (batch {cost.batch_size}, {plan.device})"
            beside = f", {cost.num_landmarks} other checkpoints as well" if cost.num_landmarks else ""
            making = f"making the directions {cost.seconds_for_directions:.2g} s"
            what += f", each {each}, {measured}{beside}, {making}: {most or 'about '}{duration(cost.seconds)}"
        click.echo(what)
    limit = "at most" if any(cost.num_points and _as_limit(plan) for _, plan, cost in costs) else "about"
    click.echo(f"In all {limit} {duration(total)}; points are directions x nodes, and the centre. Nothing was written.")


def _as_limit(plan: SurfacePlan) -> dict[str, bool]:
    """What the JSON of a cost says of a refined plane, which asks for some of the points; empty for others."""
    return {} if plan.settings.grid.refine is None else {"at_most": True}


def _without_weights(plan: SurfacePlan) -> dict[str, Any]:
    """What the time of a point depends on, and that of directions."""
    spec = plan.spec
    same = ("model", "parameter_shapes", "attack", "objective", "loss", "batchnorm", "precision", "noise")
    about = {name: spec["directions"].get(name) for name in ("kind", "num_steps", "probes")}
    about |= {
        "path": len(spec["directions"].get("path") or ()),
        "directions": plan.num_directions,
        "examples": len(plan.examples),
        "device": str(plan.device),
    }
    return {**{name: spec.get(name) for name in same}, **about}


def layer_numbers(plans: Sequence[SurfacePlan], wanted: Measuring) -> dict[str, Any]:
    """What `--layers` adds to the JSON of a command; nothing without it."""
    from landscape.cli.layers import layers_as_json

    return {} if wanted.layers is None or not wanted.as_json else {"layers": layers_as_json(plans)}


def say_unfinished(surfaces: Sequence[Surface], wanted: Measuring) -> None:
    """Print how far surfaces are that lack the points of other shards."""
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
    load_model: LoadModel,
) -> list[SurfacePlan]:
    """One plan for each split of one checkpoint."""
    from landscape.cli.sources import attack_for, examples_for
    from landscape.surfaces.plan import plan_surface

    checkpoint, info = load_model(source)
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
            checkpoint,
            examples,
            attack,
            count=count * axes,
            noise_draws=wanted.noise_draws,
            load=wanted.other,
            device=wanted.device,
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
