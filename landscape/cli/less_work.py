"""Options that save work, what they do to plans and say about it: `--until-se`, `--warm-start` and `--refine`."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from landscape.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from landscape.cli.measuring import Measuring
    from landscape.cli.sources import Source
    from landscape.surfaces.plan import SurfacePlan
    from landscape.surfaces.surface import Surface

logger = logging.getLogger(__name__)

until_option = click.option(
    "--until-se",
    type=click.FloatRange(min=0, min_open=True),
    help="Take only as many of the --examples as a standard error of the mean loss of this size needs.",
)

warm_option = click.option(
    "--warm-start",
    type=click.IntRange(min=1),
    help="Attack steps beside the centre, from the neighbour's adversarial examples on; the bias is printed.",
)

refine_option = click.option(
    "--refine",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="Measure every 4th node, more where the mean loss is off its neighbours' cubic by X, interpolate the rest.",
)


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
    from landscape.surfaces.sample_size import enough_examples

    if not wanted.dry_run:
        files.require_writable(wanted.cache)
    chosen: list[SurfacePlan] = [plan for _, plan in plans]
    of_examples: dict[str, list[int]] = {}
    for position, plan in enumerate(chosen):
        of_examples.setdefault(plan.examples.digest(), []).append(position)
    for positions in of_examples.values():
        found = enough_examples(
            [chosen[position] for position in positions], until_se, cache_dir=None if wanted.dry_run else wanted.cache
        )
        for position, plan in zip(positions, found.plans, strict=True):
            chosen[position] = plan
        said = f"{found.num_examples:,} of {found.largest:,} examples, standard error at most {found.error:.3g}"
        if found.error > until_se:
            logger.warning("%s: --until-se %g needs more --examples.", said, until_se)
        elif not wanted.as_json:
            click.echo(f"examples    {said}\n")
    return [(source, plan) for (source, _), plan in zip(plans, chosen, strict=True)]


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
) -> dict[str, Any]:
    """Print what the full attack finds at the ends of the first line of each surface with warm starts.

    Returns:
        The same for the JSON of a command; empty without warm starts.
    """
    from landscape.cli.progress import progress_bar
    from landscape.surfaces.compute import run_plan
    from landscape.surfaces.warm_sweep import bias_at_ends, full_attack_at_ends

    if not any(plan.settings.warm_steps for plan in plans):
        return {}
    rows = []
    for plan, title, warm in zip(plans, titles, surfaces, strict=True):
        with progress_bar(f"{title}, full attack at the ends", quiet=quiet) as progress:
            full = run_plan(full_attack_at_ends(plan), cache_dir=wanted.cache, progress=progress)
        for alpha, (found, expected) in bias_at_ends(warm, full).items():
            rows.append({"label": title, "alpha": alpha, "warm": found, "full": expected})
            if not wanted.as_json:
                bias = f"{100 * (found / expected - 1):+.2g} %" if expected else "undefined"
                said = (
                    f"{title}: {found:.4f} at {alpha:g} along direction 0, {expected:.4f} by the full attack ({bias})"
                )
                click.echo(f"warm start  {said}")
    if not wanted.as_json:
        click.echo()
    return {"warm_starts": rows}
