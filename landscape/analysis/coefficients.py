"""Pearson's, Spearman's and Kendall's coefficients of many weighted samples at once.

A resample of clusters is the sample itself with a whole number of copies of each point. So each function takes the
number of copies as weights, and the coefficients of all resamples are a few products of matrices. Each of the three is
a Gram matrix of unit vectors (of centred values, of centred ranks, of the signs of all pairs), so partial coefficients
follow from it by the same algebra.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CONSTANT = 1e-12
"""Standard deviation, as a share of the root mean square, below which values count as constant: rounding."""

DETERMINED = 1e-9
"""Share of the variance that controls must leave for a partial coefficient to say anything."""


def pearson(values: Floats, weights: Floats) -> Floats:
    """Product-moment correlations.

    Args:
        values: (V, n), or (B, V, n) where they differ from sample to sample.
        weights: (B, n) copies of each point in each sample, whole numbers from 0.

    Returns:
        (B, V, V); NaN in the rows and columns of what is constant in a sample.
    """
    shares = weights / weights.sum(axis=1, keepdims=True)
    spread = np.broadcast_to(values, (len(weights), *values.shape[-2:]))
    mean = np.einsum("bvn,bn->bv", spread, shares)
    centred = spread - mean[:, :, None]
    covariance = np.einsum("bvn,bn,bwn->bvw", centred, shares, centred, optimize=True)
    variance = np.einsum("bvv->bv", covariance)
    return _scaled(covariance, np.where(variance > CONSTANT**2 * (mean**2 + variance), variance, np.nan))


def spearman(values: Floats, weights: Floats) -> Floats:
    """Pearson's coefficient of the ranks within each sample, with the mean rank for ties; shapes as in `pearson`."""
    below = values[:, None, :] < values[:, :, None]  # (V, i, j): x_j < x_i
    equal = values[:, None, :] == values[:, :, None]
    ranks = np.stack([weights @ (one + 0.5 * two).T for one, two in zip(below, equal, strict=True)], axis=1) + 0.5
    return pearson(ranks, weights)


def kendall(values: Floats, weights: Floats) -> Floats:
    """Kendall's tau-b, sum over pairs of sign * sign, scaled by what is not tied; shapes as in `pearson`."""
    signs = np.sign(values[:, :, None] - values[:, None, :])
    products = np.empty((len(weights), len(values), len(values)))
    for first, second in zip(*np.triu_indices(len(values)), strict=True):
        pairs = ((weights @ (signs[first] * signs[second])) * weights).sum(axis=1)
        products[:, first, second] = products[:, second, first] = pairs
    untied = np.einsum("bvv->bv", products)
    return _scaled(products, np.where(untied > 0, untied, np.nan))


COEFFICIENTS: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "Pearson": pearson,
    "Spearman": spearman,
    "Kendall": kendall,
}


def partial(matrix: Floats) -> Floats:
    """Coefficients of the first two variables given all others, from matrices of coefficients.

    With C the matrix of the controls and c_x, c_y their coefficients with x and y,

        r_xy.z = (r_xy - c_x' C^+ c_y) / sqrt((1 - c_x' C^+ c_x) (1 - c_y' C^+ c_y)).

    For Pearson's that is the correlation of the residuals of two linear regressions, for Spearman's the same of ranks,
    for Kendall's his partial tau, taken further to several controls. A constant control controls nothing.

    Args:
        matrix: (B, V, V).

    Returns:
        (B,); NaN where x or y is constant or determined by the controls.
    """
    plain = np.nan_to_num(matrix, nan=0.0)
    to_controls = plain[:, :2, 2:]  # (B, 2, controls)
    among = plain[:, 2:, 2:].copy()
    among[:, np.arange(among.shape[1]), np.arange(among.shape[1])] = 1.0
    inverse = np.linalg.pinv(among, rcond=DETERMINED, hermitian=True)
    explained = to_controls @ inverse @ to_controls.transpose(0, 2, 1)
    left = 1.0 - np.einsum("bvv->bv", explained)
    scale = np.where(left > DETERMINED, left, np.nan).prod(axis=1)
    return np.asarray(np.clip((matrix[:, 0, 1] - explained[:, 0, 1]) / np.sqrt(scale), -1.0, 1.0), dtype=np.float64)


def _scaled(products: Floats, squares: Floats) -> Floats:
    """<a, b> / (||a|| ||b||), within [-1, 1] whatever rounding says."""
    lengths = np.sqrt(squares)
    return np.asarray(np.clip(products / (lengths[:, :, None] * lengths[:, None, :]), -1.0, 1.0), dtype=np.float64)
