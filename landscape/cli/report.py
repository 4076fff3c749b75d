"""What a command says about curves: tables, the picture, and where things lie."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landscape.cli.figure_file import REPLACED, save_over

if TYPE_CHECKING:
    from landscape.analysis.style import Curve
    from landscape.surfaces.surface import Surface


def report_curves(
    surfaces: Sequence[Surface],
    titles: Sequence[str] | None = None,
    *,
    paths: Sequence[Path],
    out: Path,
    quantity: str = "loss",
    as_json: bool = False,
    epochs: Sequence[int | None] | None = None,
    run: Path | None = None,
    split_at: str = "best",
    models: Sequence[str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Draw surfaces, save the figure, print their numbers, and say where figure and surfaces lie.

    Curves that are all pairs of on the fly and fixed get the figure of the control, with the gap between them.

    A figure that fails does not cost the numbers: they are printed before its error is raised.

    Args:
        surfaces: along one direction at a time.
        titles: what to call them; their own labels by default.
        paths: the surface files.
        out: where the picture goes.
        quantity: one of `names.QUANTITIES`.
        as_json: print one JSON object instead of tables.
        epochs: of a series, the epoch of each surface; the tables over alpha are then left to the files.
        run: of a series, the run folder.
        split_at: of a series, `best` or `gap:G`.
        models: of several epsilons, the model of each surface; the figure is then a plane of weights and epsilons for
            each model instead of curves.
        extra: what the JSON object holds beside the numbers.

    Raises:
        InputError: a surface is over a plane or has not the quantity, `out` has the suffix of no picture, or the series
            cannot be parted so.
        TrainingError: the run folder has no history.
        FileError: the figure cannot be written.
    """
    from landscape.analysis.captions import settings_line
    from landscape.analysis.control import find_controls
    from landscape.analysis.control_figure import control_figure
    from landscape.analysis.epsilon_figure import epsilon_figure, epsilon_planes, epsilon_settings
    from landscape.analysis.figures import curve_figure
    from landscape.analysis.samples import require_line
    from landscape.analysis.series import find_parting, series_figure
    from landscape.analysis.style import style_curves
    from landscape.analysis.wording import quantity_words

    curves = style_curves(surfaces, titles)
    quantity_words(quantity, surfaces)  # refuses a quantity that was not measured
    for surface in surfaces:
        require_line(surface)
    parting = None if epochs is None or run is None else find_parting(run, split_at)
    planes = [] if models is None else epsilon_planes(surfaces, models)
    settings = epsilon_settings(planes) if planes else settings_line(surfaces, [curve.label for curve in curves])
    saved: Path | None = None
    replaced = False
    try:
        if parting is not None and run is not None:
            known = [epoch for epoch in epochs or () if epoch is not None]
            figure = series_figure(surfaces, known, parting=parting, quantity=quantity, title=run.absolute().name)
        elif planes:
            figure = epsilon_figure(planes, quantity=quantity)
        elif (controls := find_controls(curves, quantity)) and 2 * len(controls) == len(curves):
            figure = control_figure(controls, quantity=quantity)
        else:
            figure = curve_figure(curves, quantity=quantity)
        replaced, saved = save_over(figure, out), out
    finally:
        figure_file = None if saved is None else str(saved)
        places = {"figure": figure_file, "replaced": replaced, "surfaces": [str(path) for path in paths]}
        click.echo(
            _as_json(curves, quantity, {**places, **(extra or {})})
            if as_json
            else _as_text(curves, quantity, places, settings, epochs is None)
        )


def _as_json(curves: Sequence[Curve], quantity: str, places: dict[str, Any]) -> str:
    from landscape.analysis.control import control_numbers, find_controls
    from landscape.analysis.tables import numbers

    controls = find_controls(curves, quantity)
    control = {"control": control_numbers(controls, quantity)} if controls else {}
    return json.dumps({**numbers(curves, quantity), **control, **places}, indent=2, allow_nan=False)


def _as_text(curves: Sequence[Curve], quantity: str, places: dict[str, Any], settings: str, every_alpha: bool) -> str:
    """Settings, tables, sentences, and where things lie; `every_alpha`: the table of every curve too."""
    from landscape.analysis.barriers import barrier_sentences
    from landscape.analysis.comparison import compare, compared_pairs
    from landscape.analysis.control import control_sentences, control_table, find_controls, is_said
    from landscape.analysis.tables import curve_tables, rise_table

    controls = find_controls(curves, quantity)

    blocks = [settings]
    blocks += [curve_tables(curves, quantity)] if every_alpha else []
    blocks += [rise_table(curves, quantity), *barrier_sentences(curves, quantity)]
    blocks += [control_table(controls, quantity)] if controls else []
    pairs = [pair for pair in compared_pairs(curves) if not is_said(pair, controls, quantity)]
    blocks += [*(compare(a, b, quantity) for a, b in pairs), *control_sentences(controls, quantity)]
    figure = [] if places["figure"] is None else [f"figure   {places['figure']}"]
    replaced = [REPLACED] if places["replaced"] else []
    blocks.append("\n".join([*figure, *(f"surface  {path}" for path in places["surfaces"]), *replaced]))
    return "\n\n".join(block for block in blocks if block)


def figure_path(out: str | Path | None, titles: str | Sequence[str], command: str) -> Path:
    """Where the picture goes: `out`, else `<checkpoint>-<command>.png` in the working folder.

    Raises:
        InputError: `out` has the suffix of no picture.
    """
    from landscape.analysis.figures import require_figure_suffix

    if out is not None:
        require_figure_suffix(Path(out))
        return Path(out)
    named = [titles] if isinstance(titles, str) else titles
    plain = list(dict.fromkeys(re.sub(r"[^\w.-]+", "-", title).strip("-.") or "surface" for title in named))
    if len(plain) > 2:
        plain = [plain[0], f"{len(plain) - 1}-more"]
    return Path(f"{'-and-'.join(plain)}-{command}.png")
