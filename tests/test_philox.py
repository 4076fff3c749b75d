"""The numbers of `randomness`, made by tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape import philox
from landscape.attacks.starts import random_starts
from landscape.attacks.threat import ThreatModel
from landscape.randomness import Stream, uniform

IDS = torch.tensor([0, 7, 49_999, 2**31 + 5, 2**62 + 1])


@pytest.mark.parametrize("count", [1, 4, 11, 300])
@pytest.mark.parametrize(
    ("seed", "b", "c"), [(0, 0, 0), (3, 2, 0), (2**63 + 12345, 0, 201), (2**64 - 1, 1, 2**33)], ids=str
)
def test_every_bit_is_that_of_numpys_generator(count: int, seed: int, b: int, c: int) -> None:
    stream = Stream.ATTACK_START
    expected = [uniform(count, seed=seed, stream=stream, a=example, b=b, c=c) for example in IDS.tolist()]
    found = philox.uniform(IDS, count, seed=seed, stream=stream, b=b, c=c)
    assert found.dtype == torch.float64 and np.array_equal(found.numpy(), np.stack(expected))


def test_many_numbers_are_made_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = philox.uniform(IDS, 9, seed=1, stream=Stream.AUGMENTATION)
    monkeypatch.setattr(philox, "AT_ONCE", 6)
    assert torch.equal(philox.uniform(IDS, 9, seed=1, stream=Stream.AUGMENTATION), whole)
    monkeypatch.setattr(philox, "AT_ONCE", 1)
    assert torch.equal(philox.uniform(IDS, 9, seed=1, stream=Stream.AUGMENTATION), whole)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_starts_for_a_device_lie_there(norm: str) -> None:
    threat, meta = ThreatModel(norm=norm, epsilon=0.25), torch.device("meta")
    found = random_starts(threat, IDS, (2, 3, 3), seed=5, num_restarts=2, epoch=4, device=meta)
    assert found.shape == (2, 5, 2, 3, 3) and found.device == meta and found.dtype == torch.float32


def test_uniform_starts_are_the_same_from_both_sources() -> None:
    numbers = philox.uniform(IDS, 12, seed=5, stream=Stream.ATTACK_START, b=1, c=4)
    expected = random_starts(ThreatModel(norm="linf", epsilon=8 / 255), IDS, (3, 2, 2), seed=5, num_restarts=2, epoch=4)
    assert torch.equal((8 / 255 * (2.0 * numbers - 1.0)).float(), expected[1].flatten(1))
