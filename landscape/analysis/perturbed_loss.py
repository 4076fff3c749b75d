"""The loss of perturbed weights: at w + v, for adversarial and random v of relative size gamma (AWP paper, Fig. 3a)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from landscape.analysis.directions import WORST_CASE, kind_of
from landscape.analysis.samples import centre_values, require_line
from landscape.analysis.settings import is_attacked, split_of
from landscape.errors import InputError
from landscape.surfaces.surface import DONE

Floats = npt.NDArray[np.float64]

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

NONE, ADVERSARIAL, RANDOM = "none", "adversarial", "random"

KINDS = (NONE, ADVERSARIAL, RANDOM)


@dataclass(frozen=True, kw_only=True)
class Perturbed:
    """A surface of one kind of perturbation of one checkpoint, measured at the radii gamma of its grid.

    Attributes:
        surface: along worst-case or layer-normalized random directions; every node above 0 is a gamma.
        model: what figures call the run, or the checkpoint.
        epoch: of the checkpoint in a run; None alone.
    """

    surface: Surface
    model: str
    epoch: int | None = None

    @property
    def kind(self) -> str:
        """`adversarial` or `random`."""
        return ADVERSARIAL if kind_of(self.surface) == WORST_CASE else RANDOM

    @property
    def split(self) -> str:
        """Of the examples."""
        return split_of(self.surface) or ""


@dataclass(frozen=True, kw_only=True)
class PerturbedLoss:
    """The mean loss of one checkpoint at w + v.

    Attributes:
        model: the run, or the checkpoint.
        epoch: of the checkpoint in a run; None alone.
        split: of the examples.
        kind: of v, one of `KINDS`.
        gamma: ||v_l|| / ||w_l|| of every layer l; 0 without v.
        loss: mean over directions and examples; NaN where nothing finite was measured.
        standard_error: over examples of the loss, for these v; NaN for one example.
        deviation_directions: standard deviation over random v; NaN for one.
        rise: the loss minus that at w.
        rise_standard_error: over examples, each compared with itself at w.
        accuracy: share in [0, 1] of the examples that w + v classifies right: adversarial ones, or clean ones where
            nothing was attacked.
        num_directions: finite v that it is a mean of.
        num_masked: others, missing or not finite.
    """

    model: str
    epoch: int | None
    split: str
    kind: str
    gamma: float
    loss: float
    standard_error: float
    deviation_directions: float
    rise: float
    rise_standard_error: float
    accuracy: float
    num_directions: int
    num_masked: int


def perturbed_losses(found: Sequence[Perturbed]) -> list[PerturbedLoss]:
    """One row for each checkpoint, split, kind and gamma, and one at w itself, in the order of the surfaces.

    Raises:
        InputError: no surface, or one over a plane.
    """
    if not found:
        raise InputError("the loss of perturbed weights needs at least one surface, got none.")
    rows: list[PerturbedLoss] = []
    at_centre: set[tuple[str, int | None, str]] = set()
    for one in found:
        require_line(one.surface)
        name = (one.model, one.epoch, one.split)
        if name not in at_centre:
            rows.append(_row(one, NONE, 0.0, centre_values(one.surface, "loss")[None], _centre_errors(one)[None], 0))
            at_centre.add(name)
        losses, errors = one.surface.values("loss"), one.surface.values(_error(one))
        for number, gamma in enumerate(one.surface.grid.alpha):
            if gamma > 0:
                done = one.surface.status[:, number] == DONE
                rows.append(_row(one, one.kind, gamma, losses[done, number], errors[done, number], int((~done).sum())))
    return rows


def _row(one: Perturbed, kind: str, gamma: float, losses: Floats, errors: Floats, masked: int) -> PerturbedLoss:
    """Statistics of (D, n) losses and errors; the mean over directions is taken first."""
    count = len(losses)
    by_example = losses.mean(axis=0) if count else np.full(losses.shape[1], np.nan)
    rises = by_example - centre_values(one.surface, "loss")
    return PerturbedLoss(
        model=one.model,
        epoch=one.epoch,
        split=one.split,
        kind=kind,
        gamma=float(gamma),
        loss=float(by_example.mean()),
        standard_error=_standard_error(by_example),
        deviation_directions=float(losses.mean(axis=1).std(ddof=1)) if count > 1 else np.nan,
        rise=float(rises.mean()),
        rise_standard_error=_standard_error(rises),
        accuracy=float(1.0 - errors.mean()) if count else np.nan,
        num_directions=count if gamma else 0,
        num_masked=masked,
    )


def _standard_error(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def _error(one: Perturbed) -> str:
    return "robust-error" if is_attacked(one.surface) else "natural-error"


def _centre_errors(one: Perturbed) -> Floats:
    return centre_values(one.surface, _error(one))
