"""What runs on a device gives it work and asks it nothing: tried on the device `meta`, which has no numbers to give.

There `.item()`, `bool()`, `.cpu()`, choices by a mask and operations between devices fail, as on a GPU they would wait
or fail.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.datasets.registry import dataset_info, load_examples
from landscape.models.registry import build_model
from landscape.training.config import TrainConfig, effective
from landscape.training.trainer import Trainer
from landscape.weights import ResidentModel, parameters_of

META = torch.device("meta")
SIZE = 8


class Transfers(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's stubs lack it
    """Notes copies from the CPU to the device for which the host would wait."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.waited: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        made = func(*args, **given)
        tensors = [argument for argument in args if isinstance(argument, Tensor)]
        if isinstance(made, Tensor) and made.device == META:
            from_host = any(tensor.device.type == "cpu" for tensor in tensors)
            if from_host and not given.get("non_blocking", False):
                self.waited.append(f"{func} {tuple(made.shape)}")
        return made


def small_net() -> nn.Module:
    layers = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(64, 10))


def test_the_scene_notices_questions_and_transfers() -> None:
    with pytest.raises(RuntimeError, match="meta"):
        bool(torch.ones(2, device=META).any())
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.ones(2, device=META)[torch.ones(2, device=META) > 0]
    with Transfers() as transfers:
        torch.ones(2).to(META)
        torch.ones(3).to(META, non_blocking=True)
        torch.ones((), device=META) * 2.0
    assert len(transfers.waited) == 1 and transfers.waited[0].endswith("(2,)")


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_moving_the_weights_and_attacking_them(norm: str) -> None:
    model = build_model("preact_resnet18", num_classes=10, in_channels=1, width=4)
    resident = ResidentModel(model, device=META)
    center = {name: weight.to(META) for name, weight in parameters_of(model).items()}
    attack = PGD(threat=ThreatModel(norm=norm, epsilon=0.1), step_size=0.02, num_steps=2, num_restarts=2)
    inputs, labels = torch.zeros(SIZE, 1, 16, 16, device=META), torch.zeros(SIZE, dtype=torch.int64, device=META)
    starts = torch.zeros(2, SIZE, 1, 16, 16, device=META)
    with Transfers() as transfers, torch.no_grad():
        resident.move(center, (0.5, center))
        for adversarial in attack.restarts(resident, inputs, labels, starts):
            assert resident(adversarial).shape == (SIZE, 10)
    assert transfers.waited == []


@pytest.mark.parametrize(
    "given",
    [
        {"method": "at", "augmentation": "crop-flip", "cutout": 3},
        {"method": "at-awp", "augmentation": "crop-flip-rotate"},
        {"method": "at-awp", "awp_steps": 2, "awp_alternations": 2},
        {"method": "at", "mixup": 1.0},
        {"method": "trades-awp"},
        {"method": "mart", "l1": 1e-5},
        {"method": "at", "accumulate": 2, "drop_below": 0.1},
    ],
    ids=["at", "at-awp", "at-awp-loops", "at-mixup", "trades-awp", "mart", "at-parts"],
)
def test_an_epoch_of_updates(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig(**{"epochs": 4, "batch_size": SIZE, "attack_steps": 1, "device": "cpu", **given})
    settings = effective(config, dataset_info("digits"))
    ours = Trainer(small_net(), load_examples("digits", num_examples=2 * SIZE + 4), settings, META)
    monkeypatch.setattr(Trainer, "_require_finite", lambda trainer: None)  # the one question, once in an epoch
    with Transfers() as transfers:
        assert ours.run_epoch(should_stop=lambda: False, on_batch=lambda *_: None)
    assert ours.progress.batch == 3
    assert transfers.waited == []
