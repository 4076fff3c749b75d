from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from landscape.datasets.examples import Examples
from landscape.models.noisy import inject_noise
from landscape.models.registry import build_model
from landscape.surfaces.subjects import require_fit
from tests.surfaces.broken import Broken, Noisy, Remembers
from tests.surfaces.lines import plan_of
from tests.surfaces.small import network


class AlwaysDrops(Broken):
    """Forgets to tell dropout that it is in eval mode."""

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(nn.functional.dropout(inputs))
        return logits


class NotANumber(Broken):
    """Always the same, and never equal to itself."""

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(inputs)
        return logits / 0.0 - logits / 0.0


@pytest.mark.parametrize("kind", [AlwaysDrops, Noisy, Remembers])
def test_a_model_that_does_not_repeat_itself_is_said_by_name(
    kind: type[Broken], digits: Examples, caplog: pytest.LogCaptureFixture
) -> None:
    require_fit(kind(network()), digits, label="mine")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        "mine gives other logits for the same input at a second call, so that its numbers cannot be repeated; switch "
        "off in eval mode what draws random numbers."
    )


SOUND: dict[str, Callable[[], nn.Module]] = {
    "small": network,
    "dropout that knows its mode": lambda: nn.Sequential(nn.Dropout(), network()),
    "left in training mode": lambda: nn.Sequential(nn.Dropout(), network()).train(),
    "noise on purpose": lambda: inject_noise(build_model("small_cnn", width=2)),
    "no numbers": lambda: NotANumber(network()),
    "preact_resnet18": lambda: build_model("preact_resnet18", in_channels=1, width=8),
}


@pytest.mark.parametrize("name", SOUND)
def test_others_are_not(name: str, digits: Examples, caplog: pytest.LogCaptureFixture) -> None:
    require_fit(SOUND[name](), digits, label="mine")
    assert not caplog.records


def test_the_second_call_does_not_change_what_a_random_model_draws(digits: Examples) -> None:
    net = Noisy(network())
    torch.manual_seed(3)
    net(digits.inputs[:1])
    expected = torch.rand(5)
    torch.manual_seed(3)
    require_fit(net, digits, label="mine")
    assert torch.equal(torch.rand(5), expected)


def test_it_is_said_before_a_surface_is_computed(digits: Examples, caplog: pytest.LogCaptureFixture) -> None:
    plan_of(Noisy(network()), digits, label="mine").ready()
    assert caplog.messages[0].startswith("mine gives other logits")
