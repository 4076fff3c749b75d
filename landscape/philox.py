"""Philox-4x64-10 in tensors: the numbers of `randomness`, bit for bit, made on the device that needs them.

Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". Words are held in int64, whose sums and products
wrap like those of unsigned words; what differs, shifts to the right, is masked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.randomness import Stream

NUM_ROUNDS = 10
MULTIPLIERS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
KEY_STEPS = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B

AT_ONCE = 2**21
"""Blocks of four words that are made together, so that the words on the way take some hundreds of MB."""

_HALF = 2**32 - 1


def uniform(ids: Tensor, count: int, *, seed: int, stream: Stream, b: int = 0, c: int = 0) -> Tensor:
    """Numbers uniform in [0, 1), those of `randomness.uniform(count, seed=seed, stream=stream, a=id, b=b, c=c)`.

    Args:
        ids: (n,) int64 at least 0.
        count: numbers for each id.
        seed: in [0, 2**64).
        stream: what the numbers are for.
        b: of their name.
        c: of their name.

    Returns:
        (n, count) float64 on the device of `ids`, which is asked nothing.
    """
    num_blocks = -(-count // 4)
    some = torch.split(ids, max(1, AT_ONCE // num_blocks))
    return torch.cat([_unit_interval(_words(part, num_blocks, (seed, stream), b, c)[:, :count]) for part in some])


def _words(ids: Tensor, num_blocks: int, key: tuple[int, int], b: int, c: int) -> Tensor:
    """(n, 4 num_blocks) words."""
    # numpy's generator steps to the next block before it gives the first.
    blocks = torch.arange(1, num_blocks + 1, device=ids.device).expand(len(ids), num_blocks)
    words = [blocks, ids[:, None].expand_as(blocks), *(torch.full_like(blocks, _signed(x)) for x in (b, c))]
    for _ in range(NUM_ROUNDS):
        high, low = _product(words[0], MULTIPLIERS[0])
        other_high, other_low = _product(words[2], MULTIPLIERS[1])
        words = [other_high ^ words[1] ^ _signed(key[0]), other_low, high ^ words[3] ^ _signed(key[1]), low]
        key = (key[0] + KEY_STEPS[0]) % 2**64, (key[1] + KEY_STEPS[1]) % 2**64
    return torch.stack(words, dim=2).flatten(1)


def _product(words: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """The upper and the lower word of products of 128 bits, from products of halves."""
    upper, lower = _upper(words), words & _HALF
    factor_upper, factor_lower = factor >> 32, factor & _HALF
    crossed, other = lower * factor_upper, upper * factor_lower
    carried = _upper(lower * factor_lower) + (crossed & _HALF) + (other & _HALF)
    high = upper * factor_upper + _upper(crossed) + _upper(other) + (carried >> 32)
    return high, words * _signed(factor)


def _upper(words: Tensor) -> Tensor:
    return (words >> 32) & _HALF


def _signed(word: int) -> int:
    return word - 2**64 if word >= 2**63 else word


def _unit_interval(words: Tensor) -> Tensor:
    return ((words >> 11) & (2**53 - 1)).double() * 2.0**-53
