"""Random numbers that belong to the thing they are for, not to the loop that asks for them.

Every number is a pure function of (seed, stream, a, b, c) through numpy's counter-based Philox-4x64-10: key = (seed,
stream), counter = (block, a, b, c). From its raw 64-bit words r:

    uniform   u = (r >> 11) * 2**-53                                      in [0, 1)
    gaussian  z = sqrt(-2 ln(1 - u1)) * (cos(2 pi u2), sin(2 pi u2))      Box-Muller on words (2k, 2k + 1)

so the numbers do not depend on batch size, order, number of workers, device, or a library's distribution functions.
"""

from __future__ import annotations

from enum import IntEnum, unique
from typing import Any

import numpy as np
import numpy.typing as npt

from landscape.errors import InputError


@unique
class Stream(IntEnum):
    """What a random number is for; two purposes never share numbers."""

    ATTACK_START = 0  # a = example id, b = restart, c = 0 for measuring, 1 + epoch in training
    DIRECTION = 1  # a = index of the direction, b = position of the parameter
    SUBSET = 2  # choice of examples
    SHUFFLE = 3  # a = epoch
    AUGMENTATION = 4  # a = example id, b = use, c = epoch
    MIXUP = 5  # a = batch, b = use, c = epoch
    WEIGHT_NOISE = 6  # a = batch, b = position of the parameter, c = epoch
    PARAMETRIC_NOISE = 7  # a = draw, b = position of the layer, c = 0 for measuring, 1 + epoch in training
    ATTACK_NOISE = 8  # a = turn; the seed is the digest of an attack's start
    LANCZOS_START = 9
    BATCHNORM = 11  # order of the examples in the batches whose statistics are taken
    BOOTSTRAP = 16  # of runs
    WEIGHT_DRAW = 17  # a = draw of Gaussian weights (PAC-Bayes), b = position of the parameter
    TRACE_PROBE = 18  # a = probe of Hutchinson's estimator, b = position of the parameter
    SAMPLE = 19  # order in which examples are taken until they are enough


def raw_words(count: int, *, seed: int, stream: Stream, a: int = 0, b: int = 0, c: int = 0) -> npt.NDArray[np.uint64]:
    """`count` raw 64-bit words of the generator named by (seed, stream, a, b, c).

    Raises:
        InputError: the seed is not in [0, 2**64).
    """
    if not 0 <= seed < 2**64:
        raise InputError(f"a seed is a whole number from 0 to 2**64 - 1, got {seed}.")
    generator = np.random.Philox(key=seed + (int(stream) << 64), counter=(a << 64) + (b << 128) + (c << 192))
    return np.asarray(generator.random_raw(count), dtype=np.uint64)


def uniform(count: int, **name: Any) -> npt.NDArray[np.float64]:
    """`count` numbers uniform in [0, 1); `name` as in `raw_words`."""
    return unit_interval(raw_words(count, **name))


def gaussian(count: int, **name: Any) -> npt.NDArray[np.float64]:
    """`count` standard normal numbers; `name` as in `raw_words`."""
    words = raw_words(count + count % 2, **name)
    radius = np.sqrt(-2.0 * np.log1p(-unit_interval(words[0::2])))
    angle = 2.0 * np.pi * unit_interval(words[1::2])
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs.reshape(-1)[:count]


def rademacher(count: int, **name: Any) -> npt.NDArray[np.float64]:
    """`count` independent signs, -1 or 1: the upper bit of each raw word; `name` as in `raw_words`."""
    return 1.0 - 2.0 * (raw_words(count, **name) >> np.uint64(63)).astype(np.float64)


def permutation(count: int, **name: Any) -> npt.NDArray[np.int64]:
    """A permutation of range(count): the order of `count` raw words; `name` as in `raw_words`."""
    return np.argsort(raw_words(count, **name), kind="stable").astype(np.int64)


def unit_interval(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Raw words to [0, 1) by their upper 53 bits."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
