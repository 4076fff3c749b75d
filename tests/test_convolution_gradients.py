from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape import convolution_gradients
from landscape.convolution_gradients import MIN_EXAMPLES, convolution, faster_gradient
from landscape.models.registry import build_model
from landscape.weights import ResidentModel

# Settings of a convolution, and the height and width of its inputs.
BY_MATRIX: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "one channel": ({"in_channels": 1, "out_channels": 16, "kernel_size": 3, "padding": 1}, (8, 8)),
    "stride 2": ({"in_channels": 6, "out_channels": 4, "kernel_size": 3, "stride": 2, "padding": 1}, (4, 4)),
    "odd sizes": ({"in_channels": 5, "out_channels": 3, "kernel_size": 3, "stride": 2, "padding": 1}, (5, 3)),
    "strides that differ": ({"in_channels": 3, "out_channels": 3, "kernel_size": (3, 2), "stride": (2, 3)}, (6, 7)),
    "no border": ({"in_channels": 2, "out_channels": 3, "kernel_size": 3}, (4, 5)),
    "the same size by name": ({"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": "same"}, (4, 5)),
    "a reflected border": (
        {"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        (4, 5),
    ),
    "dilated": ({"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 2, "dilation": 2}, (4, 4)),
    "groups": ({"in_channels": 4, "out_channels": 6, "kernel_size": 3, "padding": 1, "groups": 2}, (4, 4)),
}
BY_PHASES: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    f"phases of {height} x {width}": (
        {"in_channels": 16, "out_channels": 5, "kernel_size": 3, "stride": 2, "padding": 1},
        (height, width),
    )
    for height, width in ((32, 32), (31, 33), (40, 7), (33, 16))
}
WAYS = {**BY_MATRIX, **BY_PHASES}


def layer_of(settings: dict[str, Any]) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(**settings).double().requires_grad_(False)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize(("settings", "shape"), WAYS.values(), ids=list(WAYS))
def test_both_derivatives_equal_torchs_own(settings: dict[str, Any], shape: tuple[int, int]) -> None:
    layer = layer_of(settings)
    gradient = faster_gradient(layer, layer.weight, shape)
    assert gradient is not None
    inputs = drawn(3, layer.in_channels, *shape).requires_grad_()
    upstream = drawn(*layer(inputs).shape).requires_grad_()
    found = []
    for made in (convolution(layer, inputs, layer.weight, layer.bias, gradient), layer(inputs)):
        (first,) = torch.autograd.grad(made, inputs, upstream, create_graph=True)
        (second,) = torch.autograd.grad(first.pow(2).sum(), upstream)
        found.append((made, first, second))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


OTHERS: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "large pictures": ({"in_channels": 1, "out_channels": 16, "kernel_size": 3, "padding": 1}, (28, 28)),
    "many channels": ({"in_channels": 64, "out_channels": 64, "kernel_size": 3, "padding": 1}, (4, 4)),
    "stride 2, many channels": (
        {"in_channels": 32, "out_channels": 64, "kernel_size": 3, "stride": 2, "padding": 1},
        (16, 16),
    ),
    **{
        f"stride 2, a {mode} border": (
            {"in_channels": 3, "out_channels": 16, "kernel_size": 3, "stride": 2, "padding": 1, "padding_mode": mode},
            (32, 32),
        )
        for mode in ("reflect", "replicate", "circular")
    },
}


@pytest.mark.parametrize(("settings", "shape"), OTHERS.values(), ids=list(OTHERS))
def test_where_torch_is_faster_or_right_alone_it_stays(settings: dict[str, Any], shape: tuple[int, int]) -> None:
    layer = layer_of(settings)
    assert faster_gradient(layer, layer.weight, shape) is None


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The sizes of pictures for which a way back was looked for."""
    seen: list[tuple[int, int]] = []
    plain = faster_gradient

    def find(layer: nn.Conv2d, weight: Tensor, shape: tuple[int, int]) -> convolution_gradients.Gradient | None:
        seen.append(shape)
        return plain(layer, weight, shape)

    monkeypatch.setattr(convolution_gradients, "faster_gradient", find)
    return seen


def test_small_cnn_goes_back_in_these_ways_once_prepared_for_its_weights(prepared: list[tuple[int, int]]) -> None:
    torch.manual_seed(0)
    model, inputs = build_model("small_cnn").double().eval(), drawn(MIN_EXAMPLES, 1, 8, 8).requires_grad_()
    resident = ResidentModel(model)
    for factor in (1.0, 1.5):
        with torch.no_grad():
            model.get_parameter("conv2.weight").mul_(factor)
        resident.load({"conv2.weight": model.get_parameter("conv2.weight").detach()})
        for _ in range(2):
            gradients = [torch.autograd.grad(net(inputs).pow(2).sum(), inputs)[0] for net in (resident, model)]
            torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)
    assert prepared == 2 * [(8, 8), (8, 8), (4, 4)]


def test_few_pictures_and_passes_without_gradients_go_torchs_way(prepared: list[tuple[int, int]]) -> None:
    resident = ResidentModel(build_model("small_cnn").eval())
    few = torch.rand(MIN_EXAMPLES - 1, 1, 8, 8, requires_grad=True)
    torch.autograd.grad(resident(few).sum(), few)
    resident(torch.rand(MIN_EXAMPLES, 1, 8, 8))
    with torch.no_grad():
        resident(torch.rand(MIN_EXAMPLES, 1, 8, 8, requires_grad=True))
    assert prepared == []


def test_what_inference_mode_prepared_serves_outside_of_it() -> None:
    resident, inputs = ResidentModel(build_model("small_cnn").eval()), torch.rand(MIN_EXAMPLES, 1, 8, 8)
    with torch.inference_mode():
        resident(inputs)
    made = resident(inputs.requires_grad_())
    torch.autograd.grad(made.sum(), inputs)


def test_a_default_device_of_the_caller_changes_nothing() -> None:
    settings, shape = BY_MATRIX["stride 2"]
    layer, inputs = layer_of(settings), drawn(3, settings["in_channels"], *shape).requires_grad_()
    with torch.device("meta"):
        gradient = faster_gradient(layer, layer.weight, shape)
    made = layer(inputs)
    assert gradient is not None
    (expected,) = torch.autograd.grad(made.sum(), inputs)
    torch.testing.assert_close(gradient(torch.ones_like(made)), expected, rtol=1e-12, atol=1e-12)
