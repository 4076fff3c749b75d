"""The options of `landscape flatness` that are its own, and their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import click

from landscape import names
from landscape.cli import options
from landscape.cli.direction_options import Kind

RADII = (0.1, 0.25, 0.5, 1.0)
"""As in `analysis.statistics`, which imports numpy."""

GAMMA, NUM_PROBES = 0.01, 30

SCALES = {"layer": 0.25, "literal": 0.002}
"""Usual a of Gaussian weights."""

KNOWN = ", ".join(names.FLATNESS_MEASURES)


ELSEWHERE: Mapping[str, Any] = {
    "direction": Kind(name="random"),
    "towards": (),
    "trajectory": (),
    "save_directions": None,
}
"""Options of other commands that measure: the kinds of direction are those of the measures."""


class Measures(click.ParamType):
    """Measures with commas between them, or `all`."""

    name = "measure[,..]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        asked = [part.strip() for part in str(value).split(",")]
        if asked == ["all"]:
            return names.FLATNESS_MEASURES
        if wrong := [name for name in asked if name not in names.FLATNESS_MEASURES]:
            self.fail(f"{wrong[0]!r} is no measure of flatness; known are {KNOWN}, and all.", param, ctx)
        return tuple(name for name in names.FLATNESS_MEASURES if name in asked)


measure_options = options.combined(
    click.option("--measures", type=Measures(), default="all", show_default=True, help=f"Of {KNOWN}."),
    click.option("--radius", type=options.Numbers(), help="r of rise(r).  [default: 0.1,0.25,0.5,1]"),
    click.option(
        "--gamma",
        type=options.Numbers(),
        default=str(GAMMA),
        show_default=True,
        help="Relative radius of worst-case rises.",
    ),
    click.option(
        "--noise-scale", type=options.Numbers(), help="a of Gaussian weights.  [default: 0.25; literal: 0.002]"
    ),
    click.option(
        "--sigma",
        type=click.Choice(names.SIGMAS),
        default="layer",
        show_default=True,
        help="Of Gaussian weights: a ||w_l|| / sqrt(n_l), or literally the paper's a ||w_l|| for each weight.",
    ),
    click.option(
        "--probes",
        type=click.IntRange(min=1),
        default=NUM_PROBES,
        show_default=True,
        help="Random vectors that estimate the trace.",
    ),
)
"""Which measures, at which sizes."""

random_lines = options.combined(
    click.option(
        "--directions",
        type=click.IntRange(min=1),
        help="Random directions, and draws of Gaussian weights.  [default: 10]",
    ),
    click.option(
        "--alpha",
        type=options.Line(),
        help="Other nodes along random directions, FROM:TO:NUM, such as those of a stored curve.  [default: the "
        "radii, and 0.05 to 0.25 for the curvature]",
    ),
)
"""Along how many lines, and where on them."""

gap_options = options.combined(
    click.option(
        "--correlate/--no-correlate",
        default=None,
        help="How the measures go with the robust gap.  [default: from 3 checkpoints on, where there is a test split]",
    ),
    click.option(
        "--gap-examples", type=options.Count(), help="Of each split, for the gap; N or all.  [default: --examples]"
    ),
)
"""Whether and on what the robust generalization gap is measured."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which measures of flatness, at which sizes.

    Attributes:
        measures: of `names.FLATNESS_MEASURES`.
        radii: of the rises.
        gammas: of worst-case rises.
        scales: a of Gaussian weights.
        sigma: one of `names.SIGMAS`.
        probes: of the trace.
        layers: regular expression of the parameters that move; None for all.
        own_grid: nodes FROM:TO:NUM instead of the usual ones.
    """

    measures: tuple[str, ...]
    radii: tuple[float, ...]
    gammas: tuple[float, ...]
    scales: tuple[float, ...]
    sigma: str
    probes: int
    layers: str | None
    own_grid: str | None

    @classmethod
    def from_options(cls, given: Mapping[str, Any]) -> Self:
        """Its own among all options of a call."""
        sigma = given["sigma"]
        return cls(
            measures=given["measures"],
            radii=_several(given["radius"]) or RADII,
            gammas=_several(given["gamma"]),
            scales=_several(given["noise_scale"]) or (SCALES[sigma],),
            sigma=sigma,
            probes=given["probes"],
            layers=given["layers"],
            own_grid=given["alpha"],
        )

    @property
    def along_random(self) -> bool:
        """Whether a surface along random directions is needed."""
        return "rise" in self.measures or "curvature" in self.measures


def _several(value: float | tuple[float, ...] | None) -> tuple[float, ...]:
    return () if value is None else value if isinstance(value, tuple) else (value,)
