"""Every measure of flatness, from the surface that it was measured on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from landscape.analysis.directions import findings_of
from landscape.analysis.flatness import WINDOW, Floats, Measure
from landscape.analysis.samples import centre_values, direction_rises
from landscape.analysis.wording import quantity_words
from landscape.surfaces.surface import DONE

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

LARGEST_CHANGE = 0.2
"""Share by which halving the window may change the curvature without a warning."""

DELTA = 0.05
"""The PAC-Bayes bound holds with probability 1 - DELTA."""


def rises(surface: Surface, radii: Sequence[float], quantity: str = "loss") -> list[Measure]:
    """The average-case rise at each radius that the grid reaches, with the robust accuracy there (`statistics.rise`).

    Raises:
        InputError: a radius is not positive, the surface is over a plane, or the quantity is unknown.
    """
    unit = "share" if quantity.endswith("error") else quantity_words(quantity, [surface]).unit_of_differences
    found = [(radius, direction_rises(surface, radius, quantity)) for radius in radii]
    return [
        Measure(
            name=f"rise({radius:g})",
            kind="rise",
            unit=unit,
            surface=surface,
            samples=rise.values,
            robust_accuracy=float(rise.robust_accuracy.mean()) if len(rise.values) else math.nan,
            interpolated=rise.interpolated,
            note=_left_out(rise.num_masked),
        )
        for radius, rise in found
        if rise is not None
    ]


def curvature(surface: Surface, window: float = WINDOW) -> Measure | None:
    """d²g/dalpha² of the curve around the centre: twice the quadratic coefficient of a least-squares parabola.

    The parabola of each direction goes through the nodes |alpha| <= window, the centre among them, with equal weights.
    It is linear in the losses, so that examples and directions keep their own values. The note warns where half the
    window gives a number that differs by more than a fifth, or has too few nodes to tell.

    Returns:
        The measure; None if the window holds fewer than three nodes, the centre included, or none on one side.
    """
    samples, masked = _second_derivative(surface, window)
    if samples is None:
        return None
    half, _ = _second_derivative(surface, window / 2)
    value = float(samples.mean()) if samples.size else math.nan
    return Measure(
        name="curvature",
        kind="curvature",
        unit=f"{quantity_words('loss', [surface]).unit_of_differences}/α²",
        surface=surface,
        samples=samples,
        note="; ".join(filter(None, [_halved(value, half, window), _left_out(masked)])),
    )


def worst_case_rise(surface: Surface) -> Measure:
    """g(w + v) - g(w) at the one node of a worst-case surface, gamma."""
    (gamma,) = surface.grid.alpha
    change = surface.values("loss")[:, 0] - centre_values(surface, "loss")
    finite = surface.status[:, 0] == DONE
    return Measure(
        name=f"worst-case({gamma:g})",
        kind="worst-case",
        unit=quantity_words("loss", [surface]).unit_of_differences,
        surface=surface,
        samples=_finite_rows(change[finite]),
        robust_accuracy=float(surface.accuracy()[0, 0]),
    )


def top_eigenvalue(surface: Surface) -> Measure:
    """The eigenvalue that is kept beside a surface along the top eigenvector."""
    return _recorded(surface, "eigenvalue", "eigenvalues", first=1)


def hessian_trace(surface: Surface) -> Measure:
    """The mean of the quadratic forms that are kept beside a surface of `HessianTraceProbes`."""
    return _recorded(surface, "trace", "quadratic_forms")


def pac_bayes_terms(surface: Surface) -> list[Measure]:
    """E_u[g(w + u)] - g(w) of the 0-1 loss on adversarial examples, and of the cross-entropy, on a surface of draws."""
    scale = surface.grid.alpha[-1]
    terms = []
    for quantity, title in (("robust-error", "0-1"), ("loss", "CE")):
        rise = direction_rises(surface, scale, quantity)
        if rise is None:
            continue
        terms.append(
            Measure(
                name=f"pac-bayes({scale:g}) {title}",
                kind="pac-bayes",
                unit="share" if quantity == "robust-error" else "nats",
                surface=surface,
                samples=rise.values,
                robust_accuracy=float(rise.robust_accuracy.mean()) if len(rise.values) else math.nan,
                note=_left_out(rise.num_masked),
            )
        )
    return terms


def pac_bayes_complexity(num_weights: int, num_examples: int, *, scale: float, delta: float = DELTA) -> float:
    """4 sqrt((KL + ln(2 n / delta)) / n), by which the expected loss on n examples bounds that on the distribution.

    KL = sum_l ||w_l||^2 / (2 sigma_l^2) between N(w, sigma^2) and N(0, sigma^2); with sigma_l = a ||w_l|| / sqrt(n_l)
    it is N / (2 a^2), for N weights that move, whatever the weights are. (In the AWP paper the third term of Eq. 12 is
    misprinted, and a maximum stands where an expectation holds.) With a prior that depends on the weights through sigma
    this is an account of size, no certificate; for networks it is far above 1.

    Args:
        num_weights: N; of `sigma="literal"`, the number of layers, whose KL is N / (2 a^2) too.
        num_examples: n, the examples that the loss is a mean over.
        scale: a.
        delta: 1 minus the confidence.
    """
    divergence = num_weights / (2 * scale**2)
    return 4 * math.sqrt((divergence + math.log(2 * num_examples / delta)) / num_examples)


def _second_derivative(surface: Surface, window: float) -> tuple[Floats | None, int]:
    """(D, n) second derivatives of the parabolas in a window, and how many directions were left out."""
    alpha = np.asarray(surface.grid.alpha, dtype=np.float64)
    inside = np.flatnonzero((np.abs(alpha) <= window) & (alpha != 0.0))
    nodes = np.append(alpha[inside], 0.0)
    if not (nodes.min() < 0.0 < nodes.max()):
        return None, 0
    values = np.where((surface.status == DONE)[:, inside, None], surface.values("loss")[:, inside], np.nan)
    # c = row 2 of the pseudo-inverse of [1, alpha, alpha^2]. Its sum is 0: values may be taken from the centre's.
    weights = 2.0 * np.linalg.pinv(np.stack([np.ones_like(nodes), nodes, nodes**2], axis=1))[2]
    second = np.einsum("a,dan->dn", weights[:-1], values - centre_values(surface, "loss"))
    kept = _finite_rows(second)
    return kept, len(second) - len(kept)


def _halved(value: float, half: Floats | None, window: float) -> str:
    """What half the window says about a curvature."""
    if half is None or not half.size or not math.isfinite(value):
        return f"window |α| <= {window:g}; half of it holds too few nodes to compare"
    other = float(half.mean())
    if abs(other - value) > LARGEST_CHANGE * abs(value):
        return (
            f"warning: half the window |α| <= {window:g} changes it by more than 20 %: the curve is no parabola there"
        )
    return ""


def _recorded(surface: Surface, kind: str, record: str, first: int | None = None) -> Measure:
    """A measure that is kept beside a surface."""
    found = findings_of(surface).get(record)
    numbers = np.asarray(found if isinstance(found, list) else [], dtype=np.float64)[:first]
    return Measure(
        name=kind, kind=kind, unit="nats per squared weight", surface=surface, samples=_finite_rows(numbers[:, None])
    )


def _finite_rows(samples: Floats) -> Floats:
    return samples[np.isfinite(samples).all(axis=1)]


def _left_out(count: int) -> str:
    return f"{count} left out because of points that are missing or not finite" if count else ""
