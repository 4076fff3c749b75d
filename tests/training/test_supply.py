"""Batches are the same however many are made together."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from landscape.datasets.registry import dataset_info, load_examples
from landscape.training.config import TrainConfig, effective
from landscape.training.objectives import Batch
from landscape.training.processes import ALONE
from landscape.training.recipes import recipe_of
from landscape.training.sampling import Shuffled
from landscape.training.supply import Supply

EXAMPLES = load_examples("digits", num_examples=22)
FIELDS = "inputs", "labels", "starts", "weights"


class Half:
    """The second of two processes, which borrows where nothing is left."""

    size = 2

    def part(self, count: int) -> tuple[Tensor, bool]:
        rows = torch.arange(count)[1::2]
        return (rows, False) if len(rows) else (torch.zeros(1, dtype=torch.int64), True)


def supplied(ahead: int, order: list[int], processes: Any = ALONE, **given: Any) -> list[Batch]:
    config: dict[str, Any] = {"epochs": 4, "batch_size": 7, "attack_steps": 1, "seed": 3, "device": "cpu", **given}
    settings = effective(TrainConfig(**config), dataset_info("digits"))
    supply = Supply(
        EXAMPLES,
        settings,
        torch.device("cpu"),
        processes=processes,
        layout=torch.channels_last,
        weights=torch.arange(22.0),
    )
    supply._ahead = ahead
    batches = Shuffled(num_examples=22, batch_size=7, seed=3).batches(1)
    crafting = recipe_of(settings).crafting
    return [supply.batch(batches, number, crafting, epoch=1) for number in order]


@pytest.mark.parametrize("processes", [ALONE, Half()], ids=["alone", "one of two"])
@pytest.mark.parametrize(
    "given",
    [
        {"method": "at-awp", "augmentation": "crop-flip-rotate", "cutout": 3, "awp_alternations": 2},
        {"method": "at", "mixup": 1.0, "augmentation": "crop-flip"},
        {"method": "trades"},
        {"method": "natural"},
    ],
    ids=["at-awp", "mixup", "trades", "natural"],
)
def test_batches_made_together_are_those_made_one_by_one(given: dict[str, Any], processes: Any) -> None:
    alone = supplied(1, [0, 1, 2, 3], processes, **given)
    for ahead, order in ((3, [0, 1, 2, 3]), (100, [0, 1, 2, 3]), (2, [2, 3])):
        for number, found in zip(order, supplied(ahead, order, processes, **given), strict=True):
            for name in FIELDS:
                one, other = getattr(alone[number], name), getattr(found, name)
                assert (one is None and other is None) or torch.equal(one, other), name
            assert found.borrowed == alone[number].borrowed
            assert found.inputs.is_contiguous(memory_format=torch.channels_last)


def test_another_epoch_or_attack_takes_nothing_from_the_last_one() -> None:
    settings = effective(TrainConfig(epochs=4, batch_size=7, attack_steps=1, device="cpu"), dataset_info("digits"))
    supply = Supply(
        EXAMPLES, settings, torch.device("cpu"), processes=ALONE, layout=torch.contiguous_format, weights=None
    )
    supply._ahead = 3
    batches, crafting = Shuffled(num_examples=22, batch_size=7, seed=3).batches(1), recipe_of(settings).crafting
    supply.batch(batches, 0, crafting, epoch=1)
    later = supply.batch(batches, 1, crafting, epoch=2).starts
    weaker = supply.batch(batches, 2, crafting.weaker(0.5), epoch=2).starts
    full = supply.batch(batches, 2, crafting, epoch=2).starts
    first = supply.batch(batches, 1, crafting, epoch=1).starts
    assert later is not None and weaker is not None and full is not None and first is not None
    assert not torch.equal(later, first)
    torch.testing.assert_close(weaker, 0.5 * full)
