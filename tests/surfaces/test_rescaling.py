from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.models.normalize import NormalizedModel
from landscape.models.registry import build_model
from landscape.surfaces.rescaling import rescaled_copies

BEFORE = "before BatchNorm"


def trained_statistics(model: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """The model with running statistics and affine parameters that are not those of a fresh one."""
    torch.manual_seed(1)
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(16, *shape))
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn(parameter.shape))
            assert torch.isfinite(parameter).all(), name
    return model.eval()


class Views(nn.Module):
    """Flattens as old code does, by the size of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=2)
        self.linear = nn.Linear(36, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        features = F.relu(self.conv(inputs))
        return self.linear(features.view(features.size(0), -1))  # type: ignore[no-any-return]


class Residual(nn.Module):
    """No layer here can be undone by its consumers: all end in one sum."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        features = F.relu(self.first(inputs))
        return (features + F.relu(self.second(features))).flatten(1)


class Twice(nn.Module):
    """One layer, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 64)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(F.relu(self.layer(inputs.flatten(1))))  # type: ignore[no-any-return]


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
        self.second.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(F.relu(self.first(inputs.flatten(1))))  # type: ignore[no-any-return]


class Reads(nn.Module):
    """Uses a layer's weight behind its back."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 8), nn.Linear(8, 8)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.second(F.relu(self.first(inputs.flatten(1))))
        return logits + self.first.weight.sum()


class Branches(nn.Module):
    """Cannot be traced: it decides by values."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 8)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.linear(inputs.flatten(1))
        return logits if logits.sum() > 0 else -logits


def chain(activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), activation, nn.Linear(8, 8))


def conv_between_batchnorms() -> nn.Module:
    """conv x c, next / c across a frozen BatchNorm is another function; here every conv feeds a BatchNorm only."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(144, 3))


@pytest.mark.parametrize(
    ("make", "shape", "before", "through"),
    [
        (lambda: build_model("small_cnn", width=4), (1, 8, 8), 3, 3),
        (lambda: NormalizedModel(build_model("small_cnn", width=4), (0.5,), (0.25,)), (1, 8, 8), 3, 3),
        (lambda: build_model("preact_resnet18", width=4, num_classes=3), (3, 8, 8), 8, 17),
        (lambda: build_model("mnist_cnn7", image_size=28), (1, 28, 28), 0, 6),
        (Views, (1, 8, 8), 0, 1),
        (lambda: chain(nn.LeakyReLU(0.1)), (1, 8, 8), 0, 1),
        (conv_between_batchnorms, (1, 8, 8), 1, 0),
    ],
    ids=["small_cnn", "normalized", "preact_resnet18", "without-batchnorm", "views", "leaky", "tanh"],
)
def test_copies_compute_the_same_function_with_other_weights(
    make: Callable[[], nn.Module], shape: tuple[int, ...], before: int, through: int
) -> None:
    torch.manual_seed(0)
    model = trained_statistics(make(), shape)
    inputs = torch.rand(4, *shape)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    copies, reason = rescaled_copies(model, inputs)
    assert not reason
    assert [(entry.how.startswith(BEFORE), len(entry.places)) for entry in copies] == [
        (kind, count) for kind, count in ((True, before), (False, through)) if count
    ]
    expected = model(inputs)
    for entry in copies:
        torch.testing.assert_close(entry.model(inputs), expected, rtol=1e-5, atol=1e-6)
        weights = dict(entry.model.named_parameters())
        moved = [name for name, weight in model.named_parameters() if not torch.equal(weight, weights[name])]
        # A layer that is a consumer and a producer in turn may get its weight back, never its norm by chance.
        assert all(any(name.startswith(place) for name in moved) for place in entry.places)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Residual, "no layer has consumers that allow it"),
        (Twice, "no layer has consumers that allow it"),
        (Tied, "no layer has consumers that allow it"),
        (Reads, "no layer has consumers that allow it"),
        (lambda: chain(nn.Tanh()), "no layer has consumers that allow it"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), "no layer has consumers that allow it"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(64, 8)), "cannot be traced"),
        (Branches, "its structure cannot be traced"),
    ],
    ids=["residual", "used-twice", "tied", "read-elsewhere", "tanh", "one-layer", "bare-layer", "branches"],
)
def test_where_the_structure_does_not_allow_it_there_is_no_copy(make: Callable[[], nn.Module], reason: str) -> None:
    torch.manual_seed(0)
    model = make()
    inputs = torch.rand(4, 64) if isinstance(model, nn.Linear) else torch.rand(4, 1, 8, 8)
    copies, why = rescaled_copies(model.eval(), inputs)
    assert copies == [] and (reason in why or why == "no layer has consumers that allow it")


def test_a_normalized_weight_is_left_alone() -> None:
    model = chain(nn.ReLU())
    nn.utils.parametrizations.weight_norm(model[1])  # type: ignore[index]
    assert rescaled_copies(model.eval(), torch.rand(4, 1, 8, 8))[0] == []


def test_a_batchnorm_without_running_statistics_is_left_alone() -> None:
    layers = (
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2, track_running_stats=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(72, 3),
    )
    assert rescaled_copies(nn.Sequential(*layers).eval(), torch.rand(4, 1, 8, 8))[0] == []


def test_factors_in_front_of_a_batchnorm_move_its_statistics_and_its_eps() -> None:
    model = trained_statistics(build_model("small_cnn", width=4), (1, 8, 8))
    (copy, _), _ = rescaled_copies(model, torch.rand(4, 1, 8, 8))
    for name, factor in (("1", 4.0), ("2", 0.25), ("3", 4.0)):
        ours, theirs = model.get_submodule(f"bn{name}"), copy.model.get_submodule(f"bn{name}")
        weight, scaled = model.get_submodule(f"conv{name}").weight, copy.model.get_submodule(f"conv{name}").weight
        assert torch.equal(scaled, factor * weight)  # type: ignore[arg-type, operator]
        assert torch.equal(theirs.running_var, factor**2 * ours.running_var)  # type: ignore[arg-type, operator]
        assert math.isclose(theirs.eps, factor**2 * ours.eps)  # type: ignore[arg-type, operator]
