"""`landscape perturbed-loss`: the loss at w + v, for adversarial and random v, over epochs or over gamma."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landscape.cli import options
from landscape.cli.direction_options import Kind
from landscape.cli.figure_file import REPLACED, save_over
from landscape.cli.measuring import (
    Measuring,
    computing_options,
    model_options,
    objective_option,
    target_options,
    unusual,
)
from landscape.cli.surfaces import compute_plans, layer_numbers, plans_for, say_cost, say_unfinished

if TYPE_CHECKING:
    from landscape.analysis.perturbed_loss import Perturbed
    from landscape.cli.sources import Source
    from landscape.surfaces.plan import SurfacePlan
    from landscape.surfaces.surface import Surface

GAMMAS = "0.005,0.01,0.02"


NO_DIRECTIONS: Mapping[str, Any] = {
    "direction": Kind(name="random"),
    "towards": (),
    "trajectory": (),
    "direction_norm": None,
    "one_dim": None,
    "save_directions": None,
}
"""The direction options that this command does not have: it chooses its directions itself."""


@click.command("perturbed-loss")
@click.argument("checkpoints", nargs=-1, required=True, metavar="CKPT|RUN...")
@click.option(
    "--gamma", type=options.Numbers(), default=GAMMAS, show_default=True, help="Sizes ||v_l|| / ||w_l|| of v."
)
@click.option("--random-gamma", type=options.Numbers(), help="Those of random v.  [default: as --gamma]")
@click.option(
    "--steps", type=click.IntRange(min=1), default=10, show_default=True, help="Steps of the ascent; 1 is AWP's own v."
)
@click.option("--directions", type=click.IntRange(min=1), default=10, show_default=True, help="Random v of each gamma.")
@click.option("--epochs", type=options.Epochs(), help="Of run folders, FROM:TO:STEP; best and last are always in.")
@objective_option("adversarial")
@options.example_options
@target_options
@click.option(
    "--layers", metavar="REGEX", help="Perturb only parameters whose name matches; a table says their shares."
)
@model_options
@computing_options
@options.output_options
@click.option("--title", help="A line above the figure.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write the numbers to this file.")
@click.pass_obj
def command(settings: dict[str, Any], /, checkpoints: tuple[str, ...], **given: Any) -> None:
    """Measure the loss of each CKPT under adversarial and under random perturbation of its weights.

    Adversarial v ascend on the loss in the ball ||v_l|| <= gamma ||w_l|| (as AWP does), random v are Gaussian and have
    that size; the attack makes its examples anew at w + v. With --epochs the RUNs are drawn over their epochs (AWP
    paper, Fig. 3a), else the checkpoints over gamma. Random v need to be much larger than adversarial ones to do as
    much: --random-gamma 0.1,0.3,0.6.
    """
    from landscape import files
    from landscape.cli.report import figure_path

    given = {**NO_DIRECTIONS, **given}
    wanted = Measuring.from_options(given)
    sources = _sources(checkpoints, given["epochs"])
    models = _models(sources)
    named = list(dict.fromkeys(models))
    out = figure_path(wanted.out, named, "-".join(["perturbed-loss", *unusual({"quantity": "loss", **given})]))
    plans = _plans(sources, wanted, given)
    titles = [f"{source.title}, {words}" for source, _, words in plans]
    if wanted.dry_run:
        say_cost(
            [(replace(source, title=title), plan) for title, (source, plan, _) in zip(titles, plans, strict=True)],
            wanted,
        )
        return
    if wanted.shard is None:
        for place in filter(None, (out, given["csv_path"])):
            files.require_writable(place.absolute().parent)
    quiet = bool(settings.get("quiet")) or wanted.as_json
    surfaces = compute_plans([plan for _, plan, _ in plans], wanted, quiet=quiet, titles=titles)
    if not all(surface.complete for surface in surfaces):
        say_unfinished(surfaces, wanted)
        return
    _report(
        _perturbed([source for source, _, _ in plans], surfaces, dict(zip(sources, models, strict=True))),
        wanted,
        out=out,
        csv_path=given["csv_path"],
        title=given["title"],
        extra=layer_numbers([plan for _, plan, _ in plans], wanted),
    )


def _sources(checkpoints: tuple[str, ...], epochs: range | None) -> list[Source]:
    """The checkpoints, or the series of every run folder."""
    from landscape.cli.sources import find_sources

    if epochs is None:
        return find_sources(tuple(dict.fromkeys(checkpoints)), None)
    return [source for name in dict.fromkeys(checkpoints) for source in find_sources((name,), epochs)]


def _plans(
    sources: Sequence[Source], wanted: Measuring, given: dict[str, Any]
) -> list[tuple[Source, SurfacePlan, str]]:
    """One plan for each adversarial v, and one for all random v, of each checkpoint and split; with its words."""
    from landscape.analysis.perturbed_loss import RANDOM
    from landscape.analysis.perturbed_loss_table import kind_words
    from landscape.surfaces.grid import Grid

    load_model = functools.cache(wanted.load)
    gammas = _several(given["gamma"])
    found = []
    for gamma in gammas:
        ascent = replace(wanted, direction=Kind(name="worst-case", gamma=gamma, steps=given["steps"]))
        pairs = plans_for(sources, ascent, directions=None, grid=Grid(alpha=(gamma,)), load_model=load_model)
        found.append([(*pair, kind_words("adversarial", gamma)) for pair in pairs])
    drawn = replace(wanted, direction_norm="layer")
    grid = Grid(alpha=_several(given["random_gamma"] or gammas))
    found.append(
        [
            (*pair, f"{RANDOM} v")
            for pair in plans_for(sources, drawn, directions=given["directions"], grid=grid, load_model=load_model)
        ]
    )
    return [one for of_checkpoint in zip(*found, strict=True) for one in of_checkpoint]


def _report(
    found: Sequence[Perturbed],
    wanted: Measuring,
    *,
    out: Path,
    csv_path: Path | None,
    title: str | None,
    extra: dict[str, Any],
) -> None:
    """Draw the figure, write the files, print the numbers and where things lie."""
    from landscape import files
    from landscape.analysis.perturbed_loss import perturbed_losses
    from landscape.analysis.perturbed_loss_figure import perturbed_loss_figure, settings_sentences
    from landscape.analysis.perturbed_loss_table import (
        perturbed_loss_csv,
        perturbed_loss_numbers,
        perturbed_loss_table,
    )
    from landscape.analysis.wording import quantity_words

    rows = perturbed_losses(found)
    words = quantity_words("loss", [one.surface for one in found])
    replaced = save_over(perturbed_loss_figure(found, title=title), out)
    places = {"figure": str(out)}
    if csv_path is not None:
        files.write_text(csv_path, perturbed_loss_csv(rows))
        places["csv"] = str(csv_path)
    paths = [str(wanted.cache / f"{one.surface.key}.h5") for one in found]
    if wanted.as_json:
        numbers = {"title": words.title, "settings": settings_sentences(found), "losses": perturbed_loss_numbers(rows)}
        written = {**places, "replaced": replaced, "surfaces": paths}
        click.echo(json.dumps({**numbers, **written, **extra}, indent=2, allow_nan=False))
        return
    lines = [f"{name.ljust(9)}{place}" for name, place in places.items()]
    lines += [f"surfaces {len(paths)} in {wanted.cache}", *([REPLACED] if replaced else [])]
    table = perturbed_loss_table(rows, title=words.title, unit=words.unit)
    click.echo("\n\n".join([settings_sentences(found), table, "\n".join(lines)]))


def _perturbed(sources: Sequence[Source], surfaces: Sequence[Surface], models: Mapping[Source, str]) -> list[Perturbed]:
    from landscape.analysis.perturbed_loss import Perturbed

    return [
        Perturbed(surface=surface, model=models[source], epoch=source.epoch)
        for source, surface in zip(sources, surfaces, strict=True)
    ]


def _models(sources: Sequence[Source]) -> list[str]:
    """What panels and lines are called: the run's folder, with its place where names repeat, or the checkpoint."""
    runs = {source.run for source in sources if source.run is not None}
    names = [run.absolute().name for run in runs]
    return [
        source.title
        if source.run is None
        else str(source.run)
        if names.count(source.run.absolute().name) > 1
        else source.run.absolute().name
        for source in sources
    ]


def _several(gammas: float | tuple[float, ...]) -> tuple[float, ...]:
    return gammas if isinstance(gammas, tuple) else (gammas,)
