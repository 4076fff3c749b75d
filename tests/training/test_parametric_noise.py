from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.attacks.suite import parse_attack
from landscape.checkpoints import load_checkpoint
from landscape.datasets.registry import load_examples
from landscape.models.noisy import inject_noise, is_noisy, noise_scales
from landscape.models.registry import build_model
from landscape.training.config import TrainConfig
from landscape.training.evaluation import Evaluation
from landscape.training.fit import train
from landscape.training.history import read_history
from landscape.training.parametric_noise import NoNoise, RenewedNoise

INPUTS = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return inject_noise(build_model("small_cnn", width=2).eval(), alpha=1.0)


@torch.no_grad()
def passes(model: nn.Module, *, seed: int = 0, epoch: int = 0, batch: int = 0) -> list[Tensor]:
    with RenewedNoise(seed=seed).renewed(model, epoch=epoch, batch=batch):
        return [model(INPUTS) for _ in range(3)]


def test_every_pass_of_every_update_has_noise_of_its_own() -> None:
    model = make_model()
    names: list[dict[str, int]] = [{}, {"seed": 1}, {"epoch": 1}, {"batch": 1}, {"batch": 2}]
    seen = [logits for name in names for logits in passes(model, **name)]
    assert len({float(logits.sum()) for logits in seen}) == 15
    again = passes(make_model(), batch=1)
    assert all(torch.equal(a, b) for a, b in zip(again, seen[9:12], strict=True))


def test_noise_is_renewed_in_the_block_alone_and_not_in_copies() -> None:
    model = make_model()
    with RenewedNoise().renewed(model, epoch=0, batch=0):
        model(INPUTS)
        twin = copy.deepcopy(model)
    assert torch.equal(model(INPUTS), model(INPUTS))
    assert not model._forward_pre_hooks
    with NoNoise().renewed(twin, epoch=0, batch=0):
        assert twin(INPUTS).shape == (4, 10)


def test_a_checkpoint_gives_the_numbers_of_the_history(tmp_path: Path) -> None:
    """Since its noise is a function of seed and draw."""
    config = TrainConfig(method="at-pni", epochs=1, eval_every=1, eval_examples=300, device="cpu")
    checkpoint = load_checkpoint(train(config, tmp_path))
    row = read_history(tmp_path / "history.csv")[-1]
    assert row["perturbation_ratio"] == 0.0
    scales = [scale.item() for scale in noise_scales(checkpoint.network).values()]
    assert len(scales) == 4
    assert all(abs(scale - 0.25) > 1e-3 for scale in scales)
    evaluation = Evaluation.prepare(
        parse_attack("pgd-10", checkpoint.threat, step_size=checkpoint.step_size),
        load_examples("digits"),
        load_examples("digits", split="test"),
        num_examples=300,
        batch_size=77,
    )
    numbers = evaluation(checkpoint.model)
    for name, value in numbers.items():
        assert row[name] == pytest.approx(value, abs=5e-3), name


def test_a_network_of_ones_own_gets_noise_and_is_not_changed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    examples: Any = (load_examples("digits", num_examples=20), load_examples("digits", split="test", num_examples=10))
    config = TrainConfig(
        method="at-pni", epochs=1, attack_steps=1, eval_attack="none", noise_alpha=0.1, lr=1e-3, device="cpu"
    )
    last = train(config, tmp_path, model=network, examples=examples)
    assert not is_noisy(network)
    stored = torch.load(last, weights_only=True)
    assert stored["noise"] == "pni-w"
    assert stored["state_dict"]["1.alpha"].item() == pytest.approx(0.1, abs=1e-2)
    assert not torch.equal(stored["state_dict"]["1.alpha"], torch.tensor([0.1]))
