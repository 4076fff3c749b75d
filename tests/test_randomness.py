from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from landscape.errors import InputError
from landscape.randomness import Stream, gaussian, permutation, raw_words, uniform


def philox_4x64_10(counter: list[int], key: list[int]) -> list[int]:
    """The generator of Salmon et al. (2011) in plain integers, ten rounds."""
    multipliers, weyl, mask = (
        (0xD2E7470EE14C6C93, 0xCA5A826395121157),
        (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B),
        2**64 - 1,
    )
    words, keys = list(counter), list(key)
    for _ in range(10):
        first, second = multipliers[0] * words[0], multipliers[1] * words[2]
        words = [
            (second >> 64) ^ words[1] ^ keys[0],
            second & mask,
            (first >> 64) ^ words[3] ^ keys[1],
            first & mask,
        ]
        keys = [(part + step) & mask for part, step in zip(keys, weyl, strict=True)]
    return words


@pytest.mark.parametrize(
    ("seed", "stream", "a", "b", "c"),
    [
        pytest.param(0, Stream.ATTACK_START, 0, 0, 0, id="all zero"),
        pytest.param(7, Stream.DIRECTION, 3, 2, 0, id="a direction"),
        pytest.param(2**64 - 1, Stream.AUGMENTATION, 49_999, 0, 200, id="largest seed"),
    ],
)
def test_raw_words_are_philox_blocks_of_the_named_counter(seed: int, stream: Stream, a: int, b: int, c: int) -> None:
    blocks = [philox_4x64_10([block, a, b, c], [seed, int(stream)]) for block in (1, 2)]
    words = raw_words(7, seed=seed, stream=stream, a=a, b=b, c=c)
    assert words.tolist() == [*blocks[0], *blocks[1]][:7]


def test_gaussian_is_box_muller_of_the_same_words() -> None:
    words = raw_words(6, seed=5, stream=Stream.DIRECTION, a=1).tolist()
    unit = [(word >> 11) / 2**53 for word in words]
    expected = []
    for u1, u2 in zip(unit[0::2], unit[1::2], strict=True):
        radius = math.sqrt(-2 * math.log1p(-u1))
        expected += [radius * math.cos(2 * math.pi * u2), radius * math.sin(2 * math.pi * u2)]
    np.testing.assert_allclose(gaussian(5, seed=5, stream=Stream.DIRECTION, a=1), expected[:5], rtol=1e-14)


def test_distributions_have_their_moments() -> None:
    u, z = uniform(200_000, seed=1, stream=Stream.SUBSET), gaussian(200_000, seed=1, stream=Stream.DIRECTION)
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 4 / math.sqrt(12 * 200_000)
    assert abs(z.mean()) < 4 / math.sqrt(200_000)
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / 200_000)
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / 200_000)


def test_purposes_ids_and_epochs_never_share_numbers() -> None:
    names: list[dict[str, Any]] = [
        {"seed": 0, "stream": Stream.ATTACK_START},
        {"seed": 1, "stream": Stream.ATTACK_START},
        {"seed": 0, "stream": Stream.DIRECTION},
        {"seed": 0, "stream": Stream.ATTACK_START, "a": 1},
        {"seed": 0, "stream": Stream.ATTACK_START, "b": 1},
        {"seed": 0, "stream": Stream.ATTACK_START, "c": 1},
    ]
    words = np.concatenate([raw_words(1000, **name) for name in names])
    assert len(np.unique(words)) == len(words)


def test_permutation_holds_every_position_once_and_its_prefix_is_nested_in_nothing_else() -> None:
    order = permutation(1000, seed=3, stream=Stream.SHUFFLE, a=4)
    assert sorted(order) == list(range(1000))
    assert order.tolist() != permutation(1000, seed=3, stream=Stream.SHUFFLE, a=5).tolist()


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_outside_its_range_is_refused(seed: int) -> None:
    with pytest.raises(InputError, match=r"a seed is a whole number from 0 to 2\*\*64 - 1, got"):
        raw_words(1, seed=seed, stream=Stream.SUBSET)
