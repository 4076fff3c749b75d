"""The options that choose directions, and the parser of what `--direction` names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from landscape import names
from landscape.cli import options
from landscape.cli.options import in_name

GAMMA, NUM_STEPS = 0.01, 10
"""As in `surfaces.recipes.worst_case`, which imports torch."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What `--direction` names.

    Attributes:
        name: `random`, `worst-case`, `hessian` or `saved`.
        gamma: radius of the worst case.
        steps: of its ascent.
        path: of saved directions.
    """

    name: str
    gamma: float = GAMMA
    steps: int = NUM_STEPS
    path: Path | None = None

    @property
    def in_name(self) -> list[str]:
        """What it adds to the name of a figure."""
        if self.path is not None:
            return ["along", in_name(self.path.with_suffix("").as_posix())]
        parts = [] if self.name == "random" else [self.name]
        parts += [f"gamma-{self.gamma:g}"] if self.gamma != GAMMA else []
        return parts + ([f"steps-{self.steps}"] if self.steps != NUM_STEPS else [])


class Direction(click.ParamType):
    """`random`, `worst-case`, `worst-case:gamma=0.01,steps=10`, `hessian`, or a .safetensors file."""

    name = "kind|file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Kind:
        if isinstance(value, Kind):
            return value
        name, _, tail = str(value).partition(":")
        if name in ("random", "hessian") and not tail:
            return Kind(name=name)
        if name == "worst-case":
            return self._worst_case(str(value), tail, param, ctx)
        if str(value).endswith(".safetensors"):
            return Kind(name="saved", path=Path(value))
        known = "random, worst-case, worst-case:gamma=0.01,steps=10, hessian or a FILE.safetensors"
        return self.fail(f"{value!r} is not {known}.", param, ctx)

    def _worst_case(self, value: str, tail: str, param: click.Parameter | None, ctx: click.Context | None) -> Kind:
        given: dict[str, Any] = {"gamma": str(GAMMA), "steps": str(NUM_STEPS)}
        for part in filter(None, tail.split(",")):
            key, _, text = (piece.strip() for piece in part.partition("="))
            if key not in given:
                self.fail(f"{value!r} has a setting {key!r}; a worst-case direction takes gamma and steps.", param, ctx)
            given[key] = text
        try:
            gamma, steps = float(Fraction(given["gamma"])), int(given["steps"])
        except (ValueError, ZeroDivisionError, OverflowError):
            gamma, steps = math.nan, 0
        if not (math.isfinite(gamma) and gamma > 0 and steps >= 1):
            self.fail(f"{value!r} needs a gamma above 0 and at least 1 step.", param, ctx)
        return Kind(name="worst-case", gamma=gamma, steps=steps)


random_options = options.combined(
    click.option(
        "--direction-norm",
        type=click.Choice(names.DIRECTION_NORMS),
        help="What of a random direction gets the norm that it has in w: each filter, each layer, all."
        "  [default: filter]",
    ),
    click.option(
        "--one-dim",
        type=click.Choice(names.ONE_DIM_RULES),
        help="Biases and BatchNorm parameters along random directions: zero keeps them, copy moves them along "
        "themselves (as Li et al.'s tool), element by random signs.  [default: zero]",
    ),
    click.option(
        "--layers", metavar="REGEX", help="Move only parameters whose name matches; a table says their shares."
    ),
)
"""What random directions move, and how far."""

direction_options = options.combined(
    click.option(
        "--direction",
        type=Direction(),
        default="random",
        show_default=True,
        help="random; worst-case[:gamma=G,steps=K]: ascent on the robust cross-entropy (AWP); hessian: its top "
        "eigenvectors on examples fixed at the centre, both with frozen statistics; or from FILE.safetensors.",
    ),
    click.option(
        "--towards",
        multiple=True,
        metavar="CKPT",
        help="Interpolate from each CKPT (0) towards this one (1), running statistics too; in a plane, give two.",
    ),
    click.option(
        "--trajectory",
        multiple=True,
        metavar="RUN|CKPT",
        help="Principal components of the path through a run's checkpoints (or these files) up to CKPT.",
    ),
    random_options,
    click.option("--save-directions", type=click.Path(), metavar="FILE", help="Keep the directions as .safetensors."),
)
