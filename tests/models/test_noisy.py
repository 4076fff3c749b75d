from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.errors import InputError, ModelError
from landscape.models.noisy import (
    NoiseDraws,
    NoiseName,
    NoisyConv2d,
    NoisyLinear,
    inject_noise,
    noise_scales,
    set_noise,
)
from landscape.models.registry import build_model
from landscape.randomness import Stream, gaussian
from landscape.weights import ResidentModel, digest_weights

INPUTS = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def make_model(alpha: float = 0.25) -> nn.Module:
    torch.manual_seed(0)
    return inject_noise(build_model("small_cnn", width=2).eval(), alpha=alpha)


def literal_weight(weight: Tensor, alpha: float, *, position: int, seed: int, draw: int) -> Tensor:
    """W + alpha sigma eta, number by number."""
    numbers = weight.reshape(-1).tolist()
    mean = sum(numbers) / len(numbers)
    sigma = math.sqrt(sum((x - mean) ** 2 for x in numbers) / (len(numbers) - 1))
    eta = gaussian(len(numbers), seed=seed, stream=Stream.PARAMETRIC_NOISE, a=draw, b=position).tolist()
    return torch.tensor([x + alpha * sigma * z for x, z in zip(numbers, eta, strict=True)]).view(weight.shape)


def test_a_noisy_network_is_the_plain_one_at_noisy_weights() -> None:
    torch.manual_seed(0)
    plain = build_model("small_cnn", width=2).eval()
    noisy = make_model(alpha=0.4)
    layers = ("conv1", "conv2", "conv3", "linear")
    for seed, draw in ((0, 0), (3, 2)):
        expected = copy.deepcopy(plain)
        with torch.no_grad():
            for position, name in enumerate(layers):
                weight = expected.get_parameter(f"{name}.weight")
                weight.copy_(literal_weight(weight, 0.4, position=position, seed=seed, draw=draw))
        set_noise(noisy, NoiseName(seed=seed, draw=draw))
        torch.testing.assert_close(noisy(INPUTS), expected(INPUTS), rtol=1e-4, atol=1e-5)
    assert list(noise_scales(noisy)) == [f"{name}.alpha" for name in layers]


def test_names_and_weights_are_those_of_the_network_without_noise() -> None:
    torch.manual_seed(0)
    plain = build_model("small_cnn", width=2).state_dict()
    noisy = make_model().state_dict()
    assert [name for name in noisy if not name.endswith("alpha")] == list(plain)
    assert all(torch.equal(noisy[name], tensor) for name, tensor in plain.items())


def test_without_scale_there_is_no_noise() -> None:
    torch.manual_seed(0)
    plain = build_model("small_cnn", width=2).eval()
    assert torch.equal(make_model(alpha=0.0)(INPUTS), plain(INPUTS))


def test_the_same_noise_in_any_batch_and_order_and_another_in_another_draw() -> None:
    model = make_model()
    logits = model(INPUTS)
    one_by_one = torch.cat([model(INPUTS[i : i + 1]) for i in reversed(range(6))]).flip(0)
    torch.testing.assert_close(one_by_one, logits, rtol=1e-5, atol=1e-6)
    assert torch.equal(model(INPUTS), logits)
    seen = []
    for name in (NoiseName(draw=1), NoiseName(seed=1), NoiseName(epoch=1), NoiseName(seed=2**64 - 1, draw=2**40)):
        set_noise(model, name)
        seen.append(model(INPUTS))
    for other in seen:
        assert (other - logits).abs().max() > 1e-3
    assert len({float(other.detach().sum()) for other in seen}) == 4
    set_noise(model, NoiseName())
    assert torch.equal(model(INPUTS), logits)


def test_no_global_random_numbers_are_drawn() -> None:
    model, before = make_model(), torch.get_rng_state()
    inject_noise(build_model("small_cnn", width=1))
    torch.set_rng_state(before)
    model(INPUTS)
    assert torch.equal(before, torch.get_rng_state())


def test_the_gradients_to_weight_and_scale_are_those_of_the_formula() -> None:
    """dL/dalpha = sigma <dL/dW~, eta> and dL/dW = dL/dW~: sigma is no part of the gradient."""
    torch.manual_seed(1)
    layer = inject_noise(nn.Linear(5, 3).double(), alpha=0.3)
    assert isinstance(layer, NoisyLinear)
    inputs, labels = torch.rand(4, 5, dtype=torch.float64), torch.tensor([0, 2, 1, 1])
    F.cross_entropy(layer(inputs), labels).backward()  # type: ignore[no-untyped-call]  # torch's stubs lack it
    eta = torch.from_numpy(gaussian(15, seed=0, stream=Stream.PARAMETRIC_NOISE)).view(3, 5)
    sigma = layer.weight.detach().std()
    there = (layer.weight.detach() + 0.3 * sigma * eta).requires_grad_()
    (expected,) = torch.autograd.grad(F.cross_entropy(inputs @ there.T + layer.bias.data, labels), [there])
    assert layer.weight.grad is not None and layer.alpha.grad is not None
    torch.testing.assert_close(layer.weight.grad, expected, rtol=0, atol=1e-14)
    assert layer.alpha.grad.item() == pytest.approx((sigma * (expected * eta).sum()).item(), abs=1e-14)


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False), id="strided"),
        pytest.param(nn.Conv2d(2, 4, (3, 1), padding="same", dilation=2, groups=2), id="grouped"),
        pytest.param(nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), id="reflected"),
        pytest.param(nn.Conv2d(2, 1, 1), id="one-by-one"),
    ],
)
def test_every_kind_of_convolution_keeps_its_settings(layer: nn.Conv2d) -> None:
    inputs = torch.rand(2, 2, 6, 6)
    expected = layer(inputs)
    noisy = inject_noise(copy.deepcopy(layer), alpha=0.0)
    assert isinstance(noisy, NoisyConv2d)
    assert torch.equal(noisy(inputs), expected)


def test_a_single_weight_has_no_spread_and_no_noise() -> None:
    layer = nn.Linear(1, 1)
    assert torch.equal(inject_noise(copy.deepcopy(layer))(torch.ones(2, 1)), layer(torch.ones(2, 1)))


def test_a_layer_at_two_places_stays_one_layer() -> None:
    layer = nn.Linear(4, 4)
    model = inject_noise(nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(4, 2)))
    assert isinstance(model, nn.Sequential)
    assert model[0] is model[2] and isinstance(model[0], NoisyLinear)
    assert [model[0].position, model[3].position] == [0, 1]


def test_noise_is_put_in_once_and_copies_have_their_own() -> None:
    model = make_model()
    assert inject_noise(model) is model
    resident = ResidentModel(model)
    set_noise(resident.module, NoiseName(draw=5))
    assert torch.equal(model(INPUTS), make_model()(INPUTS))
    assert digest_weights(resident.module) == digest_weights(model)  # which noise is drawn is no part of the weights
    with torch.no_grad():
        next(iter(noise_scales(model).values())).add_(0.1)
    assert digest_weights(resident.module) != digest_weights(model)


def test_double_precision_has_double_noise() -> None:
    logits = make_model().double()(INPUTS.double())
    used = make_model()
    used(INPUTS)
    assert torch.equal(used.double()(INPUTS.double()), logits)
    torch.testing.assert_close(logits.float(), make_model()(INPUTS), rtol=1e-4, atol=1e-5)
    assert logits.dtype == torch.float64


def test_draws_come_one_after_the_other() -> None:
    model, seen = make_model(), []
    for draw in NoiseDraws(seed=4, count=3).of(model):
        seen.append(model(INPUTS))
        set_noise(model, NoiseName(seed=4, draw=draw))
        assert torch.equal(model(INPUTS), seen[-1])
    assert len({float(logits.detach().sum()) for logits in seen}) == 3
    assert list(NoiseDraws(count=3).of(build_model("small_cnn", width=1))) == [0]


@pytest.mark.parametrize("count", [0, 255])
def test_another_number_of_draws_is_refused(count: int) -> None:
    with pytest.raises(InputError, match=f"noise is averaged over 1 to 254 draws, got {count}"):
        NoiseDraws(count=count)


def test_a_network_without_a_place_for_noise_is_refused() -> None:
    class Own(nn.Linear):
        def forward(self, inputs: Any) -> Any:
            return super().forward(inputs) * 2

    with pytest.raises(ModelError, match="parametric noise goes on the weights of torch's Conv2d and Linear layers"):
        inject_noise(nn.Sequential(nn.Flatten(), Own(4, 2)))
