"""Which directions a surface is drawn along: the recipe that the options ask for, and where on them it is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.cli.options import in_name
from landscape.errors import InputError

if TYPE_CHECKING:
    from landscape.checkpoints import Checkpoint
    from landscape.cli.direction_options import Kind
    from landscape.datasets.examples import Examples
    from landscape.protocols import Attack, DirectionRecipe
    from landscape.surfaces.grid import Grid
    from landscape.surfaces.recipes.saved import SavedDirections

Lines = tuple[str | None, ...]
"""Nodes FROM:TO:NUM along each axis; None for what is usual for the kind of direction."""

LINE = "-1:1:21"

TOWARDS_LINE = "0:1:21"

EDGE_OF_WORST_CASE = 10
"""Radii gamma to each side."""

NUM_RANDOM = 10

STEPS_ACROSS = 20
"""About so many steps lead across the bounding box of a path."""

MARGIN = 0.1
"""Of a path's extent, on both sides of it."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The direction options of a call.

    Raises:
        InputError: they contradict one another.
    """

    direction: Kind
    towards: tuple[str, ...]
    trajectory: tuple[str, ...]
    direction_norm: str | None
    one_dim: str | None
    layers: str | None
    save_directions: str | None
    seed: int

    def __post_init__(self) -> None:
        asked = [name for name in ("towards", "trajectory") if getattr(self, name)]
        asked += [f"direction {self.direction.name}"] if self.direction.name != "random" else []
        if len(asked) > 1:
            raise InputError(f"directions are of one kind, got --{' and --'.join(asked)}; leave one out.")
        scaled = self.direction_norm or self.one_dim
        if self.kind != "random" and scaled:
            raise InputError(
                f"--direction-norm and --one-dim are about random directions, got {scaled} for {self.kind}; "
                "leave them out."
            )
        if self.kind in ("towards", "trajectory", "saved") and self.layers:
            raise InputError(f"--layers chooses what random, worst-case or hessian directions move, not {self.kind}.")
        if self.save_directions is not None:
            self._require_savable(self.save_directions)

    @property
    def kind(self) -> str:
        """`random`, `worst-case`, `hessian`, `saved`, `towards` or `trajectory`."""
        return "towards" if self.towards else "trajectory" if self.trajectory else self.direction.name

    @property
    def in_name(self) -> list[str]:
        """What sets the directions apart from random filter-normalized ones, for the name of a figure."""
        if self.kind in ("towards", "trajectory"):
            others = self.towards or self.trajectory
            parts = [self.kind, in_name(Path(others[0]).with_suffix("").as_posix())]
            parts += [f"{len(others) - 1}-more"] if len(others) > 1 else []
        else:
            parts = self.direction.in_name
        parts += [f"{part}-norm" for part in [self.direction_norm] if part not in (None, "filter")]
        parts += [f"one-dim-{part}" for part in [self.one_dim] if part not in (None, "zero")]
        parts += [f"layers-{in_name(part)}" for part in [self.layers] if part is not None]
        return parts + ([f"seed-{self.seed}"] if self.seed else [])

    def count(self, asked: int | None, axes: int) -> int:
        """How many lines (or planes, with two axes): what is asked for, else what is usual for the kind.

        Raises:
            InputError: the kind has not so many.
        """
        number = self._usual_count(axes) if asked is None else asked
        if self.kind == "towards":
            self._require_ends(number, axes)
        if self.kind == "worst-case" and number != 1:
            raise InputError(f"there is 1 worst-case direction, got a call for {number}; leave out --directions.")
        return number

    def recipe(
        self,
        checkpoint: Checkpoint,
        examples: Examples,
        attack: Attack,
        *,
        count: int,
        noise_draws: int,
        load: Load,
        device: str,
    ) -> DirectionRecipe:
        """The recipe of `count` directions for one checkpoint.

        Raises:
            CheckpointError, FileError, InputError: another checkpoint or file is not there, or does not fit.
        """
        if self.kind == "towards":
            return self._interpolation(checkpoint, load)
        if self.kind == "trajectory":
            return self._principal_components(checkpoint, load, count)
        if self.kind == "saved":
            return self._saved(count)
        if self.kind == "random":
            from landscape.surfaces.directions import RandomDirections

            return RandomDirections(
                seed=self.seed, norm=self.direction_norm or "filter", one_dim=self.one_dim or "zero", layers=self.layers
            )
        from landscape.devices import find_device
        from landscape.models.noisy import NoiseDraws
        from landscape.surfaces.recipes.hessian import HessianDirections
        from landscape.surfaces.recipes.worst_case import WorstCaseDirection

        about: dict[str, Any] = {"model": checkpoint, "examples": examples, "attack": attack, "layers": self.layers}
        noise = NoiseDraws(seed=self.seed, count=noise_draws)
        about |= {"seed": self.seed, "device": find_device(device), "noise": noise}
        if self.kind == "hessian":
            return HessianDirections(**about, count=count)
        return WorstCaseDirection(**about, gamma=self.direction.gamma, num_steps=self.direction.steps)

    def grid(self, lines: Lines, checkpoint: Checkpoint, recipe: DirectionRecipe) -> Grid:
        """The grid of lines, with the usual one where there is none."""
        from landscape.surfaces.grid import Grid

        return Grid.parse(*(line or self.usual_line(checkpoint, recipe, axis) for axis, line in enumerate(lines)))

    def usual_line(self, checkpoint: Checkpoint, recipe: DirectionRecipe, axis: int = 0) -> str:
        """The nodes along one axis that show what there is to see, FROM:TO:NUM."""
        from landscape.protocols import Remarkable
        from landscape.weights import parameters_of

        if self.kind == "towards":
            return TOWARDS_LINE
        if self.kind == "worst-case":
            edge = EDGE_OF_WORST_CASE * Fraction(str(self.direction.gamma))
            return f"{-edge}:{edge}:21"
        if self.kind != "trajectory" or not isinstance(recipe, Remarkable):
            return LINE
        marks = recipe.landmarks(parameters_of(checkpoint.model), axis + 1)
        return covering([0.0, *(mark.position[axis] for mark in marks)])

    def save(self, recipe: DirectionRecipe, checkpoint: Any, count: int) -> Path | None:
        """Keep the directions where --save-directions says; None where it says nothing."""
        if self.save_directions is None:
            return None
        from landscape.surfaces.recipes.saved import save_directions
        from landscape.weights import parameters_of

        weights = {name: weight.cpu() for name, weight in parameters_of(checkpoint).items()}
        return save_directions(self.save_directions, recipe, weights, count=count)

    def _require_ends(self, number: int, axes: int) -> None:
        """Refuse what is not one line to one other checkpoint, or one plane through two others."""
        if len(self.towards) != axes:
            shape = (
                "a line goes towards 1 other checkpoint" if axes == 1 else "a plane goes through 2 other checkpoints"
            )
            elsewhere = "; a plane through 2 others is drawn by plot-2d" if axes == 1 and len(self.towards) == 2 else ""
            raise InputError(f"{shape}, got {len(self.towards)}; give --towards {_times(axes)}{elsewhere}.")
        if number != 1:
            raise InputError(f"--towards is one line from each checkpoint, got --directions {number}; leave it out.")

    def _require_savable(self, path: str) -> None:
        if not path.endswith(".safetensors"):
            raise InputError(f"directions are kept in .safetensors files, got {path!r}; give the name this suffix.")
        if self.kind == "towards":
            raise InputError("the way towards another checkpoint moves running statistics too and is not saved.")

    def _interpolation(self, checkpoint: Checkpoint, load: Load) -> DirectionRecipe:
        from landscape.cli.sources import find_sources
        from landscape.surfaces.recipes.interpolation import Interpolation

        others = [load(source) for source in find_sources(self.towards, None)]
        for other in others:
            if (other.model_name, other.model_arguments) != (checkpoint.model_name, checkpoint.model_arguments):
                raise InputError(
                    f"{checkpoint.name} is a {checkpoint.model_name} {checkpoint.model_arguments} and {other.name} a "
                    f"{other.model_name} {other.model_arguments}; a line leads through models of one shape."
                )
        return Interpolation(others=others)

    def _principal_components(self, checkpoint: Checkpoint, load: Load, count: int) -> DirectionRecipe:
        from landscape.cli.sources import find_sources, run_sources
        from landscape.surfaces.recipes.principal_components import PrincipalComponents

        path, titles = [], []
        for named in self.trajectory:
            sources = run_sources(Path(named)) if Path(named).is_dir() else find_sources((named,), None)
            for source in sources:
                other = load(source)
                if other.weights_digest == checkpoint.weights_digest:
                    break  # the path ends at the checkpoint that is drawn
                path.append(other)
                titles.append(source.title)
        if len(path) < count:
            raise InputError(
                f"a path of {len(path) + 1} checkpoints has at most {len(path)} principal components, got a call for "
                f"{count}; name more checkpoints before {checkpoint.name} with --trajectory."
            )
        return PrincipalComponents(path=path, names=titles)

    def _saved(self, count: int) -> DirectionRecipe:
        found = self._file
        if count > len(found.directions):
            raise InputError(
                f"{self.direction.path} holds {len(found.directions)} directions, got a call for {count}; save more."
            )
        return found

    @cached_property
    def _file(self) -> SavedDirections:
        from landscape.surfaces.recipes.saved import load_directions

        return load_directions(self.direction.path or "")

    def _usual_count(self, axes: int) -> int:
        if self.kind == "saved":
            return max(1, len(self._file.directions) // axes)
        return NUM_RANDOM if self.kind == "random" and axes == 1 else 1


def _times(count: int) -> str:
    return "once" if count == 1 else "twice"


Load = Callable[[Any], "Checkpoint"]


def covering(positions: Sequence[float]) -> str:
    """A line of nodes that covers positions with a margin, FROM:TO:NUM, where 0 is a node and the step is round."""
    low, high = min(*positions, 0.0), max(*positions, 0.0)
    extent = (high - low) or 1.0
    low, high = low - MARGIN * extent, high + MARGIN * extent
    rough = (high - low) / STEPS_ACROSS
    unit = Fraction(10) ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= Fraction(rough))
    first, last = math.floor(Fraction(low) / step), math.ceil(Fraction(high) / step)
    return f"{first * step}:{last * step}:{last - first + 1}"
