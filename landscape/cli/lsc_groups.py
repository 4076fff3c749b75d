"""`landscape lsc-groups`: one landscape for each group of examples, by their loss at the centre."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landscape import names
from landscape.cli import options
from landscape.cli.figure_file import REPLACED, save_over
from landscape.cli.measuring import (
    Measuring,
    line_options,
    measuring_options,
    objective_option,
    quantity_option,
    series_options,
    unusual,
)
from landscape.cli.surfaces import compute_plans, layer_numbers, plans_for, say_cost, say_unfinished
from landscape.errors import InputError

if TYPE_CHECKING:
    from landscape.analysis.group_figure import Parted
    from landscape.analysis.groups import GroupedSurface, Grouping
    from landscape.analysis.series import Parting
    from landscape.cli.sources import Source
    from landscape.surfaces.surface import Surface

BARE = ("digits-at-early", "digits-at")
"""What is shown when no checkpoint is named."""


@click.command("lsc-groups", context_settings={"default_map": {"split": "both"}})
@click.argument("checkpoints", nargs=-1, metavar="[CKPT...]")
@click.option(
    "--by", type=click.Choice(names.GROUPINGS), default="loss", show_default=True, help="How examples are grouped."
)
@click.option("--edges", type=options.Edges(), help="Of groups by loss, half-open.  [default: 0,0.5,1,1.5,2,2.5,3]")
@line_options
@objective_option("fixed")
@click.option("--on-the-fly", is_flag=True, help="Attack every displaced model: --objective adversarial.")
@measuring_options
@quantity_option
@click.option(
    "--show",
    type=click.Choice(("change", "raw", "both")),
    default="change",
    show_default=True,
    help="g(alpha) - g(0), g(alpha), or both.",
)
@series_options("one panel per epoch")
@click.pass_context
def command(context: click.Context, /, checkpoints: tuple[str, ...], **given: Any) -> None:
    """Draw the loss of each group of examples along filter-normalized random directions, for each CKPT.

    Examples are grouped by their adversarial loss on the unmoved model (Yu et al. 2022, Eq. 7 and 8), by class, or by
    whether the model is right there. As in the paper the adversarial examples are made once, on the unmoved model;
    --on-the-fly makes them anew at every point. Groups of training examples stand beside the same groups of test
    examples: low-loss groups are steeper by selection alone, and only the difference is a claim. Without CKPT the
    bundled checkpoints of an early and of the last epoch are shown. One attack serves every grouping. Of a run folder
    with --epochs every epoch is a panel, its best and last among them, and a row ends where the series parts.
    """
    from landscape import files
    from landscape.analysis.groups import EDGES, Grouping
    from landscape.analysis.series import find_parting
    from landscape.cli.report import figure_path
    from landscape.cli.sources import find_sources

    grouping = Grouping(by=given["by"], edges=given["edges"] or EDGES)
    if given["edges"] and grouping.by != "loss":
        raise click.UsageError(f"--edges are of groups by loss, not of --by {grouping.by}; leave one of them out.")
    wanted = _measuring(given)
    sources = find_sources(tuple(dict.fromkeys(checkpoints)) or BARE, given["epochs"])
    if wanted.split == "both" and not options.was_said("split"):
        wanted = replace(wanted, split=_usual_split(sources[0], wanted))
    run = sources[0].run
    parting = None if run is None else find_parting(run, given["split_at"])  # refused before anything is computed
    named = [source.run.absolute().name if source.run else source.title for source in sources]
    out = figure_path(wanted.out, named, "-".join(["lsc-groups", *_special(given, wanted)]))
    plans = plans_for(sources, wanted, directions=given["directions"], grid=(given["alpha"],))
    if wanted.dry_run:
        say_cost(plans, wanted)
        return
    if wanted.shard is None:
        files.require_writable(out.absolute().parent)
    quiet = bool((context.obj or {}).get("quiet")) or wanted.as_json
    surfaces = compute_plans([plan for _, plan in plans], wanted, quiet=quiet)
    if not all(surface.complete for surface in surfaces):
        say_unfinished(surfaces, wanted)
        return
    checkpoints_shown = _grouped(sources, surfaces, grouping)
    places: dict[str, Any] = {"surfaces": [str(wanted.cache / f"{surface.key}.h5") for surface in surfaces]}
    places |= layer_numbers([plan for _, plan in plans], wanted)
    _report(checkpoints_shown, grouping, out, given, places, _parted(sources, parting))


def _measuring(given: dict[str, Any]) -> Measuring:
    """The measuring options, with `--on-the-fly` in place of an objective."""
    wanted = Measuring.from_options(given)
    if given["on_the_fly"]:
        if options.was_said("objective") and wanted.objective != "adversarial":
            raise click.UsageError(f"--on-the-fly does not go with --objective {wanted.objective}; leave one out.")
        wanted = replace(wanted, objective="adversarial")
    if given["quantity"] == "robust-error" and (wanted.attack == "none" or wanted.objective == "clean"):
        raise InputError("there is no robust error without an attack; ask for --quantity natural-error.")
    return wanted


def _usual_split(source: Source, wanted: Measuring) -> str:
    """Both splits, or the one that there is: `train` for a set of examples that has no splits."""
    from landscape.datasets.registry import own_splits

    checkpoint, _ = wanted.load(source)
    name = wanted.dataset or str(checkpoint.dataset)
    splits = own_splits(name, data_dir=wanted.data_dir)
    return "both" if splits == names.SPLITS else splits[0]


def _grouped(
    sources: Sequence[Source], surfaces: Sequence[Surface], grouping: Grouping
) -> list[tuple[GroupedSurface, ...]]:
    """The groups of every checkpoint, split by split."""
    from landscape.analysis.groups import group_examples

    num_splits = len(surfaces) // len(sources)
    return [
        tuple(
            group_examples(surface, grouping, title=title)
            for surface in surfaces[place * num_splits : (place + 1) * num_splits]
        )
        for place, title in enumerate(_titles(sources))
    ]


def _parted(sources: Sequence[Source], parting: Parting | None) -> Parted | None:
    """Where the panels of a series part; None without a series."""
    from landscape.analysis.group_figure import Parted

    if parting is None:
        return None
    first = sum(source.epoch is not None and source.epoch <= parting.epoch for source in sources)
    return Parted(num_first=first, words=f"epoch {parting.epoch} ({parting.name})")


def _titles(sources: Sequence[Source]) -> list[str]:
    """What panels call the checkpoints; in a series the best and the last one say so."""
    from landscape.checkpoints import epoch_of

    run = sources[0].run
    if run is None:
        return [source.title for source in sources]
    ends = {name: epoch_of(run / f"{name}.pt") for name in ("best", "last") if (run / f"{name}.pt").is_file()}
    return [", ".join([source.title, *(n for n, epoch in ends.items() if epoch == source.epoch)]) for source in sources]


def _report(
    checkpoints: Sequence[Sequence[GroupedSurface]],
    grouping: Grouping,
    out: Path,
    given: dict[str, Any],
    places: dict[str, Any],
    parted: Parted | None,
) -> None:
    """Draw, save and print; a figure that fails does not cost the numbers."""
    from landscape.analysis.group_figure import group_figure

    quantity = given["quantity"]
    saved: Path | None = None
    replaced = False
    try:
        figure = group_figure(checkpoints, grouping, quantity=quantity, show=given["show"], parted=parted)
        replaced, saved = save_over(figure, out), out
    finally:
        places = {"figure": None if saved is None else str(saved), "replaced": replaced, **places}
        say = _as_json if given["as_json"] else _as_text
        click.echo(say(checkpoints, grouping, quantity, places))


def _as_json(
    checkpoints: Sequence[Sequence[GroupedSurface]], grouping: Grouping, quantity: str, places: dict[str, Any]
) -> str:
    from landscape.analysis.group_tables import group_numbers

    numbers = {**group_numbers(checkpoints, grouping, quantity), **places}
    return json.dumps(numbers, indent=2, allow_nan=False)


def _as_text(
    checkpoints: Sequence[Sequence[GroupedSurface]], grouping: Grouping, quantity: str, places: dict[str, Any]
) -> str:
    from landscape.analysis.captions import settings_line
    from landscape.analysis.group_tables import claims, difference_table, group_tables

    every = [grouped for splits in checkpoints for grouped in splits]
    figure = [] if places["figure"] is None else [f"figure   {places['figure']}"]
    replaced = [REPLACED] if places["replaced"] else []
    blocks = [
        settings_line([grouped.surface for grouped in every], [grouped.label for grouped in every]),
        group_tables(checkpoints, quantity),
        difference_table(checkpoints, quantity),
        *claims(checkpoints, quantity),
        "\n".join([*figure, *(f"surface  {path}" for path in places["surfaces"]), *replaced]),
    ]
    return "\n\n".join(block for block in blocks if block)


def _special(given: dict[str, Any], wanted: Measuring) -> list[str]:
    """What sets the figure apart from the bare call's, for its name."""
    parts = [f"by-{given['by']}"] if given["by"] != "loss" else []
    on_the_fly = wanted.objective == "adversarial"
    parts += ["on-the-fly"] if on_the_fly else []
    said = {**given, "objective": "fixed" if on_the_fly else wanted.objective}
    return [*parts, *unusual(said, objective="fixed", split="both", show="change")]
