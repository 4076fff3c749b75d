"""Options that save work, what they do to plans and say about it: `--until-se`, `--warm-start` and `--refine`."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from landscape.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from landscape.cli.measuring import Measuring
    from landscape.cli.sources import Source
    from landscape.surfaces.plan import SurfacePlan
    from landscape.surfaces.sample_size import SampleSize
    from landscape.surfaces.surface import Surface
    from landscape.surfaces.warm_bias import Bias

logger = logging.getLogger(__name__)

until_option = click.option(
    "--until-se",
    type=click.FloatRange(min=0, min_open=True),
    help="Take only as many of the --examples, from 100 on, as a standard error over examples of the mean loss at one "
    "point of this size needs.",
)

warm_option = click.option(
    "--warm-start",
    type=click.IntRange(min=1),
    help="Attack steps beside the centre, from the neighbour's adversarial examples on, fewer than the attack's own; "
    "the bias is printed.",
)

refine_option = click.option(
    "--refine",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="Of 17 x 17 nodes or more, measure every 4th, more where the mean loss is off its neighbours' cubic by X, and "
    "interpolate the rest.",
)


def in_name(given: Mapping[str, Any]) -> list[str]:
    """What sets the figure of a call that saved work apart from the full one, for its name."""
    asked = {name: given.get(name) for name in ("until_se", "warm_start", "refine")}
    return [f"{name.replace('_', '-')}-{value:g}" for name, value in asked.items() if value is not None]


def with_enough_examples(
    plans: list[tuple[Source, SurfacePlan]], wanted: Measuring, until_se: float | None
) -> list[tuple[Source, SurfacePlan]]:
    """The plans with as many of their examples as `--until-se` asks for, one number for all plans of the same examples.

    Without the option the plans as they are. Measures a few points, which surfaces take over from the cache.

    Raises:
        InputError: together with `--shard`, whose processes would all measure them.
    """
    if until_se is None:
        return plans
    if wanted.shard is not None:
        raise InputError("--until-se finds the number of examples first, which shards cannot share; give --examples N.")
    from landscape import files
    from landscape.surfaces.compute import run_plan
    from landscape.surfaces.sample_size import enough_examples

    if not wanted.dry_run:
        files.require_writable(wanted.cache)
    measure = partial(run_plan, cache_dir=None if wanted.dry_run else wanted.cache)
    chosen: list[SurfacePlan] = [plan for _, plan in plans]
    of_examples: dict[str, list[int]] = {}
    for position, plan in enumerate(chosen):
        of_examples.setdefault(plan.examples.digest(), []).append(position)
    for positions in of_examples.values():
        found = enough_examples([chosen[position] for position in positions], until_se, measure=measure)
        for position, plan in zip(positions, found.plans, strict=True):
            chosen[position] = plan
        if found.error > until_se:
            _warn_of_too_few(found, plans[positions[0]][0], wanted, until_se)
        elif not wanted.as_json:
            click.echo(f"examples    {found}\n")
    return [(source, plan) for (source, _), plan in zip(plans, chosen, strict=True)]


def _warn_of_too_few(found: SampleSize, source: Source, wanted: Measuring, until_se: float) -> None:
    """Say about how many examples a standard error takes, and how many there are."""
    from landscape.datasets.registry import split_size

    split = found.plans[0].examples.split
    dataset = wanted.dataset or str(wanted.load(source)[0].dataset)
    size = split_size(dataset, split=split, data_dir=wanted.data_dir)
    enough = found.num_needed(until_se) <= size
    advice = "give more --examples" if enough else "give a larger --until-se"
    there = f"{dataset} {split} has {size:,}"
    logger.warning("%s: --until-se %g needs %s, and %s; %s.", found, until_se, found.needs(until_se), there, advice)


def with_warm_starts(
    plans: list[tuple[Source, SurfacePlan]], wanted: Measuring, num_steps: int | None
) -> list[tuple[Source, SurfacePlan]]:
    """The plans with `--warm-start` steps; without the option as they are.

    Raises:
        InputError: together with options that need single points, or plans for which it makes no sense.
    """
    if num_steps is None:
        return plans
    from landscape.surfaces.warm_sweep import warm_started

    if wanted.dry_run or wanted.shard is not None:
        raise InputError("--warm-start walks along whole lines; leave out --dry-run and --shard, or --warm-start.")
    return [(source, warm_started(plan, num_steps)) for source, plan in plans]


def with_refinement(
    plans: list[tuple[Source, SurfacePlan]], wanted: Measuring, tolerance: float | None
) -> list[tuple[Source, SurfacePlan]]:
    """The plans of planes with the tolerance of `--refine`; without the option as they are.

    Raises:
        InputError: together with `--shard`, or for planes of too few nodes.
    """
    if tolerance is None:
        return plans
    if wanted.shard is not None:
        raise InputError("--refine measures level by level, which shards cannot share; leave one of the two out.")
    refined = []
    for source, plan in plans:
        grid = plan.settings.grid.refined(tolerance)
        refined.append((source, replace(plan, settings=replace(plan.settings, grid=grid))))
    return refined


def say_bias(
    plans: Sequence[SurfacePlan],
    surfaces: Sequence[Surface],
    titles: Sequence[str],
    wanted: Measuring,
    *,
    quiet: bool,
) -> tuple[list[Surface], dict[str, Any]]:
    """Print by how much each surface with warm starts differs from the full attack on a sample of its nodes.

    Returns:
        The surfaces with their largest bias, for captions, and all of them for the JSON of a command; without warm
        starts the surfaces as they are, and nothing.
    """
    from landscape.cli.progress import progress_bar
    from landscape.surfaces.compute import run_plan
    from landscape.surfaces.warm_bias import biases, full_attack_sample, with_bias

    if not any(plan.settings.warm_steps for plan in plans):
        return list(surfaces), {}
    rows, known = [], []
    for plan, title, warm in zip(plans, titles, surfaces, strict=True):
        with progress_bar(f"{title}, full attack on a sample", quiet=quiet) as progress:
            full = run_plan(full_attack_sample(plan), cache_dir=wanted.cache, progress=progress)
        found = biases(warm, full)
        rows += [_as_row(title, bias) for bias in found]
        known.append(with_bias(warm, found))
        _warn_of_bias(title, found)
        if not wanted.as_json:
            click.echo("".join(f"warm start  {title}, {line}\n" for line in _bias_lines(found, warm)))
    return known, {"warm_starts": rows}


def _warn_of_bias(title: str, found: Sequence[Bias]) -> None:
    """Say that a curve is too low or too high, and what to do about it, where that is no small matter."""
    from landscape.surfaces.warm_bias import LARGEST_UNSAID, largest

    worst = largest(found)
    if worst is None or abs(worst.relative) <= LARGEST_UNSAID:
        return
    logger.warning(
        "%s: with --warm-start the loss is %.1f %% too %s at %g along direction %d, and may be further off between the "
        "nodes compared; give more steps or nodes, or leave --warm-start out.",
        title,
        100 * abs(worst.relative),
        "low" if worst.relative < 0 else "high",
        worst.alpha,
        worst.direction,
    )


def _bias_lines(found: Sequence[Bias], warm: Surface) -> list[str]:
    """The bias along each direction that was looked at, and where it is largest."""
    from landscape.surfaces.warm_bias import largest

    lines = []
    for direction in dict.fromkeys(bias.direction for bias in found):
        along = [bias for bias in found if bias.direction == direction]
        each = ", ".join(f"{_percent(bias.relative)} at {bias.alpha:g}" for bias in along)
        lines.append(f"direction {direction}: {each}")
    worst = largest(found)
    compared = f"largest of {len(found)} nodes compared, of {warm.status.size}"
    if worst is None:
        return [*lines, f"{compared}: undefined, as no two losses are finite and not 0"]
    losses = f"{worst.warm:.4f}, {worst.full:.4f} by the full attack"
    where = f"at {worst.alpha:g} along direction {worst.direction}"
    return [*lines, f"{compared}: {_percent(worst.relative)} {where} ({losses})"]


def _percent(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:+.1f} %" if math.isfinite(share) else "undefined"  # + 0.0: no -0.0


def _as_row(title: str, bias: Bias) -> dict[str, Any]:
    numbers = {"warm": bias.warm, "full": bias.full, "bias": bias.relative}
    plain = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
    return {"label": title, "direction": bias.direction, "alpha": bias.alpha, **plain}
