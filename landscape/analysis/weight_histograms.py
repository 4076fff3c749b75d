"""How the weights of a layer are distributed, in the same bins for every checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landscape.errors import InputError

Floats = npt.NDArray[np.float64]

NUM_BINS = 80

NEAR_ZERO = 1e-3

TOGETHER = "all layers"


@dataclass(frozen=True, kw_only=True)
class LayerHistogram:
    """The weights of one layer of one checkpoint.

    Attributes:
        checkpoint: what figures call it.
        counts: (bins,) int64.
        num_weights: finite ones.
        num_not_finite: NaN and infinities, in no bin.
        mean, deviation: of the finite weights.
        largest: max |w|.
        skewness: third standardized moment, 0 for a symmetric distribution; NaN where the deviation is 0.
        share_near_zero: of the finite weights, those with |w| below the threshold, in [0, 1].
    """

    checkpoint: str
    counts: npt.NDArray[np.int64]
    num_weights: int
    num_not_finite: int
    mean: float
    deviation: float
    largest: float
    skewness: float
    share_near_zero: float


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer over the checkpoints that have it.

    Attributes:
        name: of the parameter.
        edges: (bins + 1,) the same for all checkpoints, symmetric about 0.
        histograms: one for each checkpoint.
        near_zero: |w| below it is near zero.
    """

    name: str
    edges: Floats
    histograms: tuple[LayerHistogram, ...]
    near_zero: float

    def density(self, histogram: LayerHistogram) -> Floats:
        """(bins,) counts over the number of weights and the width of a bin, in 1 / weight; its area is 1."""
        return np.asarray(histogram.counts / (max(histogram.num_weights, 1) * np.diff(self.edges)), dtype=np.float64)


def weight_histograms(
    checkpoints: Sequence[tuple[str, Mapping[str, npt.NDArray[np.floating]]]],
    *,
    num_bins: int = NUM_BINS,
    near_zero: float = NEAR_ZERO,
    together: bool = False,
) -> tuple[Layer, ...]:
    """Histograms of the weights of several checkpoints, layer by layer; nothing lies outside the bins.

    Args:
        checkpoints: pairs of a label and the layers' weights by name, any shape. A layer that some checkpoints do not
            have is compared between the others.
        num_bins: of each layer, at least 2.
        near_zero: |w| below it counts as near zero, above 0.
        together: take the weights of all layers as one.

    Raises:
        InputError: no checkpoint, a number out of range, or one label twice.
    """
    labels = [label for label, _ in checkpoints]
    if not labels:
        raise InputError("histograms need at least one checkpoint, got none.")
    if len(set(labels)) < len(labels):
        raise InputError(f"histograms tell checkpoints apart by their names, got {', '.join(labels)}.")
    if num_bins < 2:
        raise InputError(f"a histogram has at least 2 bins, got {num_bins}.")
    if not near_zero > 0:
        raise InputError(f"near zero means below a number above 0, got {near_zero:g}.")
    flat = [(label, {name: np.ravel(w) for name, w in weights.items()}) for label, weights in checkpoints]
    if together:
        flat = [(label, {TOGETHER: np.concatenate(list(weights.values()))}) for label, weights in flat]
    names = dict.fromkeys(name for _, weights in flat for name in weights)
    return tuple(
        _layer(name, [(label, weights[name]) for label, weights in flat if name in weights], num_bins, near_zero)
        for name in names
    )


def _layer(
    name: str, weights: Sequence[tuple[str, npt.NDArray[np.floating]]], num_bins: int, near_zero: float
) -> Layer:
    found = [(label, values[np.isfinite(values)].astype(np.float64), values.size) for label, values in weights]
    reach = max((float(np.abs(finite).max(initial=0.0)) for _, finite, _ in found), default=0.0)
    reach = reach or 1.0  # a layer of zeros has a picture too
    edges = np.linspace(-reach, reach, num_bins + 1)
    histograms = tuple(_histogram(label, finite, size, edges, near_zero) for label, finite, size in found)
    return Layer(name=name, edges=edges, histograms=histograms, near_zero=near_zero)


def _histogram(label: str, finite: Floats, size: int, edges: Floats, near_zero: float) -> LayerHistogram:
    mean, deviation = (float(finite.mean()), float(finite.std())) if finite.size else (np.nan, np.nan)
    return LayerHistogram(
        checkpoint=label,
        counts=np.histogram(finite, edges)[0].astype(np.int64),
        num_weights=finite.size,
        num_not_finite=size - finite.size,
        mean=mean,
        deviation=deviation,
        largest=float(np.abs(finite).max()) if finite.size else np.nan,
        skewness=float((((finite - mean) / deviation) ** 3).mean()) if deviation > 0 else np.nan,
        share_near_zero=float((np.abs(finite) < near_zero).mean()) if finite.size else np.nan,
    )
