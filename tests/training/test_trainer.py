"""What a run gives to its updates, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from landscape.datasets.registry import dataset_info, load_examples
from landscape.training import trainer
from landscape.training.augmentation import crop_and_flip, mix
from landscape.training.config import Settings, TrainConfig, effective
from landscape.training.objectives import Batch
from landscape.training.recipes import recipe_of
from landscape.training.sampling import Shuffled
from landscape.training.step import update
from landscape.training.trainer import Trainer

EXAMPLES = load_examples("digits", num_examples=22)
SEED, SIZE = 3, 8

Seen = list[tuple[Batch, dict[str, Any]]]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """The batches of all updates, with the names under which they were made."""
    batches: Seen = []

    def watched(model: nn.Module, optimizer: Any, data: Batch, recipe: Any, **given: Any) -> Any:
        batches.append((data, {**given, "lr": optimizer.param_groups[0]["lr"]}))
        return update(model, optimizer, data, recipe, **given)

    monkeypatch.setattr(trainer, "update", watched)
    return batches


def run(num_epochs: int, **given: Any) -> Settings:
    """Some epochs of a linear model."""
    tiny: dict[str, Any] = {"epochs": 4, "batch_size": SIZE, "attack_steps": 1, "seed": SEED, "device": "cpu"}
    settings = effective(TrainConfig(**{**tiny, **given}), dataset_info("digits"))
    torch.manual_seed(0)
    ours = Trainer(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), EXAMPLES, settings, torch.device("cpu"))
    for _ in range(num_epochs):
        assert ours.run_epoch(should_stop=lambda: False, on_batch=lambda *_: None)
        ours.close_epoch({}, 0.0)
    return settings


@pytest.mark.parametrize("method", ["at", "trades"])
def test_each_batch_has_the_images_labels_and_starts_of_its_epoch(method: str, seen: Seen) -> None:
    settings = run(2, method=method, augmentation="crop-flip")
    sampling = Shuffled(num_examples=22, batch_size=SIZE, seed=SEED)
    expected = [(epoch, batch, rows) for epoch in (0, 1) for batch, rows in enumerate(sampling.batches(epoch))]
    assert len(seen) == len(expected) == 6
    crafting = recipe_of(settings).crafting
    for (data, given), (epoch, batch, rows) in zip(seen, expected, strict=True):
        ids = EXAMPLES.ids[rows]
        assert (given["epoch"], given["batch"]) == (epoch, batch)
        assert torch.equal(data.inputs, crop_and_flip(EXAMPLES.inputs[rows], ids, seed=SEED, epoch=epoch))
        assert torch.equal(data.labels, EXAMPLES.labels[rows])
        starts = crafting.starts(ids, EXAMPLES.image_shape, seed=SEED, epoch=1 + epoch)
        assert data.starts is not None
        assert starts is not None
        assert torch.equal(data.starts, starts)
    first, second = (crafting.starts(EXAMPLES.ids, EXAMPLES.image_shape, seed=SEED, epoch=epoch) for epoch in (1, 2))
    assert first is not None
    assert second is not None
    assert not torch.equal(first, second)


def test_mixed_batches_have_the_partners_of_their_epoch_and_batch(seen: Seen) -> None:
    run(2, method="at", mixup=1.4)
    sampling = Shuffled(num_examples=22, batch_size=SIZE, seed=SEED)
    for data, given in seen:
        rows = sampling.batches(given["epoch"])[given["batch"]]
        name = {"seed": SEED, "epoch": given["epoch"], "batch": given["batch"]}
        inputs, labels = mix(EXAMPLES.inputs[rows], EXAMPLES.labels[rows], num_classes=10, parameter=1.4, **name)
        assert torch.equal(data.inputs, inputs)
        assert torch.equal(data.labels, labels)


def test_each_batch_has_the_rate_of_its_moment(seen: Seen) -> None:
    """Of 4 epochs of 3 batches: the last batch of the second one is the first at a tenth."""
    run(4, method="natural", lr=0.1)
    assert [given["lr"] for _, given in seen] == pytest.approx([0.1] * 5 + [0.01] * 3 + [0.001] * 4)
