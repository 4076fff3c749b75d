from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import ModelError
from landscape.weights import (
    ResidentModel,
    bind,
    digest_weights,
    displaced,
    overwrites_inputs,
    parameters_of,
    takes_channels_last,
)


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 16, 3)
    )
    net(torch.rand(8, 2, 6, 6))  # moves the running statistics away from their start
    return net


def test_bind_computes_the_model_in_eval_mode_at_the_given_weights() -> None:
    net, inputs = small_net(), torch.rand(5, 2, 6, 6)
    weights = {name: weight + 0.1 for name, weight in parameters_of(net).items()}
    expected = copy.deepcopy(net).eval()
    with torch.no_grad():
        for parameter in expected.parameters():
            parameter.add_(0.1)
    torch.testing.assert_close(bind(net, weights)(inputs), expected(inputs), rtol=1e-6, atol=1e-6)


def test_bind_leaves_the_callers_model_as_it_was() -> None:
    net = small_net().train()
    net[0].bias.requires_grad_(False)
    before, flags = copy.deepcopy(net.state_dict()), [p.requires_grad for p in net.parameters()]
    generator = torch.get_rng_state()
    forward = bind(net, {name: torch.zeros_like(weight) for name, weight in parameters_of(net).items()})
    inputs = torch.rand(4, 2, 6, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
    torch.autograd.grad(forward(inputs).sum(), [inputs])
    assert net.training and net[1].training
    assert [p.requires_grad for p in net.parameters()] == flags
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    assert torch.equal(torch.get_rng_state(), generator)


def test_running_statistics_do_not_move_and_batches_do_not_matter() -> None:
    forward = bind(small_net(), {})
    inputs = torch.rand(9, 2, 6, 6)
    whole = forward(inputs)
    parts = torch.cat([forward(inputs[:2]), forward(inputs[2:])])
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-6)
    assert torch.equal(forward(inputs), whole)


def test_moving_in_place_equals_displaced_weights_bit_for_bit_and_does_not_accumulate() -> None:
    net = small_net()
    center = parameters_of(net)
    d = {name: torch.randn_like(weight) for name, weight in center.items()}
    e = {name: torch.randn_like(weight) for name, weight in list(center.items())[:2]}
    resident = ResidentModel(net)
    for moves in ([(0.3, d)], [(0.3, d), (-1.7, e)], [(1.0, e)], []):
        resident.move(center, *moves)
        expected = displaced(center, *moves)
        for name, parameter in resident._model.named_parameters():
            assert torch.equal(parameter, expected[name]), name


def test_weights_of_another_shape_or_name_are_refused() -> None:
    with pytest.raises(ModelError, match=r"the weights hold '0.weight' \(1, 1\), which is no parameter of the model"):
        bind(small_net(), {"0.weight": torch.zeros(1, 1)})
    with pytest.raises(ModelError, match="'other'"):
        bind(small_net(), {"other": torch.zeros(1)})


def _channels_last(net: nn.Sequential) -> nn.Sequential:
    other = copy.deepcopy(net)
    kernel = other.get_parameter("0.weight")
    kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)
    return other


def test_digest_sees_values_names_shapes_types_and_buffers_and_nothing_else() -> None:
    net = small_net()
    reference = digest_weights(net)
    assert digest_weights(_channels_last(net).train()) == reference
    assert digest_weights(net.state_dict()) == reference
    changes: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
        "a value": lambda state: state["0.bias"].add_(1e-6),
        "a buffer": lambda state: state["1.running_mean"].add_(1e-6),
        "a type": lambda state: state.update({"0.bias": state["0.bias"].double()}),
        "a shape": lambda state: state.update({"0.bias": state["0.bias"].view(2, 2)}),
        "a name": lambda state: state.update({"bias": state.pop("0.bias")}),
    }
    for change in changes.values():
        state = {name: value.clone() for name, value in net.state_dict().items()}
        change(state)
        assert digest_weights(state) != reference
    assert digest_weights({"w": torch.ones(2, dtype=torch.bfloat16)}) != digest_weights({"w": torch.ones(2)})


@pytest.mark.parametrize("affine", [True, False])
def test_a_frozen_batchnorm_is_the_affine_map_that_eval_mode_computes(affine: bool) -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, affine=affine), nn.ReLU(), nn.Flatten())
    net(3 * torch.rand(16, 2, 6, 6))
    for parameter in net[1].parameters():
        nn.init.normal_(parameter)
    net.double().eval()
    inputs = torch.rand(5, 2, 6, 6, dtype=torch.float64)
    results = []
    for forward in (net, bind(net, {})):
        given = inputs.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(forward(given).square().sum(), [given])
        results.append((forward(inputs).detach(), gradient))
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_what_the_compiler_does_not_manage_runs_uncompiled_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        def run(inputs: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no C++ compiler\nmore lines")

        return run

    net, inputs = small_net(), torch.rand(3, 2, 6, 6)
    expected = bind(net, {})(inputs)
    monkeypatch.setattr(torch, "compile", broken)
    resident = ResidentModel(net)
    resident.compile()
    assert torch.equal(resident(inputs), expected) and torch.equal(resident(inputs), expected)
    assert caplog.messages == ["torch.compile failed, the model runs uncompiled: no C++ compiler"]


class Viewing(nn.Module):
    """It asks for a view that channels_last does not have, as much code for MNIST does."""

    def __init__(self, *, channels: int = 3, inputs_too: bool = False) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.linear = nn.Linear(64, 3)
        self.inputs_too = inputs_too

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.norm(self.conv(inputs)).relu().view(-1, 64))
        return logits + inputs.view(len(inputs), -1).mean(dim=1, keepdim=True) if self.inputs_too else logits


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
def test_a_model_that_views_what_convolutions_make_is_called_in_a_layout_that_has_the_view(
    compiled: bool, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net, inputs = Viewing(channels=channels).eval(), torch.rand(2, channels, 4, 4, requires_grad=True)
    if compiled:
        monkeypatch.setattr(torch, "compile", lambda model: model)
    resident, center = ResidentModel(net), parameters_of(net)
    if compiled:
        resident.compile()
    d = {name: torch.randn_like(weight) for name, weight in center.items()}
    for alpha in (0.0, 0.5):
        resident.move(center, (alpha, d))
        net.load_state_dict({**net.state_dict(), **displaced(center, (alpha, d))})
        made, expected = resident(inputs), net(inputs)
        torch.testing.assert_close(made, expected)
        gradients = [torch.autograd.grad(logits.sum(), inputs)[0] for logits in (made, expected)]
        torch.testing.assert_close(*gradients)
        torch.testing.assert_close(ResidentModel(net).plainly(inputs), expected)


def test_other_errors_of_a_model_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="is invalid for input of size 200"):
        ResidentModel(Viewing().eval())(torch.rand(2, 3, 5, 5))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Viewing(), False),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), True),
        (Viewing(inputs_too=True), False),
    ],
    ids=["views features", "flattens", "views inputs"],
)
def test_a_trainer_can_ask_whether_a_model_takes_channels_last(model: nn.Module, expected: bool) -> None:
    before = [parameter.stride() for parameter in model.parameters()]
    assert takes_channels_last(model, torch.rand(2, 3, 4, 4)) is expected
    assert [parameter.stride() for parameter in model.parameters()] == before and model.training


class Overwriting(nn.Module):
    """It normalizes in place, in the memory of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        flat = inputs.flatten(1)
        flat -= 0.5
        logits: Tensor = self.linear(flat)
        return logits


@pytest.mark.parametrize("way", [ResidentModel.__call__, ResidentModel.plainly], ids=["call", "plainly"])
def test_a_model_that_overwrites_its_inputs_overwrites_a_copy(way: Callable[[ResidentModel, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    net, inputs = Overwriting(), torch.rand(2, 3, 2, 2)
    expected, before = net.linear(inputs.flatten(1) - 0.5), inputs.clone()
    resident = ResidentModel(net)
    for _ in range(2):
        torch.testing.assert_close(way(resident, inputs), expected)
    assert torch.equal(inputs, before)
    (gradient,) = torch.autograd.grad(way(resident, inputs.requires_grad_()).sum(), inputs)
    torch.testing.assert_close(gradient.flatten(1), net.linear.weight.sum(dim=0).expand(2, -1))


def test_a_trainer_can_ask_whether_a_model_overwrites_its_inputs() -> None:
    inputs = torch.rand(1, 3, 2, 2)
    before = inputs.clone()
    assert overwrites_inputs(Overwriting(), inputs) and not overwrites_inputs(nn.Flatten(), inputs)
    assert not overwrites_inputs(nn.Flatten(), torch.full((1, 3), torch.nan))
    assert torch.equal(inputs, before)
