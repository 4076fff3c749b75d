"""Which calls of a live model go to what torch.compile made of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from landscape.datasets.registry import dataset_info, load_examples
from landscape.training.compilation import Compilation
from landscape.training.config import TrainConfig, effective
from landscape.training.trainer import Trainer

Compiler = Callable[[nn.Module], Callable[..., Any]]


def compiles(monkeypatch: pytest.MonkeyPatch, compiler: Compiler) -> None:
    """Let another compiler take the place of torch's, which takes its time."""
    monkeypatch.setattr(nn.Module, "compile", lambda self: setattr(self, "_compiled_call_impl", compiler(self)))


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of the batches that reached what was compiled."""
    seen: list[int] = []

    def compiler(model: nn.Module) -> Callable[..., Any]:
        def run(inputs: Tensor) -> Any:
            seen.append(len(inputs))
            return model.forward(inputs)

        return run

    compiles(monkeypatch, compiler)
    return seen


def test_calls_go_to_what_is_compiled_while_it_applies(sizes: list[int]) -> None:
    model, inputs = nn.Linear(2, 3), torch.rand(4, 2)
    expected = model(inputs)
    compilation = Compilation(model)
    assert torch.equal(model(inputs), expected) and sizes == [4]
    unbiased = functional_call(model, {"bias": torch.zeros(3)}, (inputs,))
    torch.testing.assert_close(unbiased, expected - model.bias)
    assert sizes == [4, 4]
    compilation.applies = False
    assert torch.equal(model(inputs), expected) and sizes == [4, 4]
    assert torch.equal(copy.deepcopy(model)(inputs), expected) and sizes == [4, 4]


def test_what_the_compiler_does_not_manage_runs_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(model: nn.Module) -> Callable[..., Any]:
        def run(inputs: Tensor) -> Any:
            raise RuntimeError("no C++ compiler\nmore lines")

        return run

    model, inputs = nn.Linear(2, 3), torch.rand(4, 2)
    expected = model(inputs)
    compiles(monkeypatch, broken)
    Compilation(model)
    assert torch.equal(model(inputs), expected) and torch.equal(model(inputs), expected)
    assert caplog.messages == ["torch.compile failed, the model runs uncompiled: no C++ compiler"]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        model(torch.rand(4, 5))


def test_full_batches_of_an_epoch_are_compiled_and_the_last_small_one_is_not(sizes: list[int]) -> None:
    config = TrainConfig(epochs=4, batch_size=8, attack_steps=1, device="cpu", method="at", compile=True)
    settings = effective(config, dataset_info("digits"))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    ours = Trainer(model, load_examples("digits", num_examples=20), settings, torch.device("cpu"))
    assert ours.run_epoch(should_stop=lambda: False, on_batch=lambda *_: None)
    # A step of the attack, the pass at x', the gradient, and the clean pass.
    assert sizes == [8] * 8
