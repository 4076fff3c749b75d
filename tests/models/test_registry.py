from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from landscape import names
from landscape.errors import ModelError
from landscape.models import registry
from landscape.models.registry import (
    arguments_for_weights,
    build_model,
    is_own,
    model_arguments,
    require_fit,
    with_given,
)

OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, in_channels=1):
        super().__init__()
        self.fc = nn.Linear(in_channels * 4, num_classes)

    def forward(self, inputs):
        return self.fc(inputs.flatten(1))

def anything(**arguments):
    module = nn.Identity()
    module.arguments = arguments
    return module

def nothing(): return nn.Identity()
def depth(depth): return nn.Identity()
def positional(num_classes, /): return nn.Identity()
def wrong(): return 3
def fails(): raise KeyError("no such\\nthing")
number = 3
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module in the working folder, which is not on the import path."""
    name = "users_networks"
    (tmp_path / f"{name}.py").write_text(OWN)
    (tmp_path / "users_broken.py").write_text("import users_missing_dependency\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield name
    sys.modules.pop(name, None)


def test_every_name_is_registered() -> None:
    assert tuple(registry._MODELS) == names.MODELS


SMALL = {"wide_resnet": {"depth": 10, "widen_factor": 1}, "wide_resnet34_10": {}, "wide_resnet28_10": {}}


@pytest.mark.parametrize("name", [name for name in names.MODELS if SMALL.get(name) != {}])
def test_builds_for_the_data(name: str) -> None:
    arguments = model_arguments(name, image_shape=(3, 32, 32), num_classes=4)
    network = build_model(name, **with_given(name, arguments, SMALL.get(name, {"width": 2})))
    assert network.training
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 4)


@pytest.mark.parametrize("name", names.MODELS)
def test_arguments_of_the_weights_build_the_same_network(name: str) -> None:
    with torch.device("meta"):
        network = build_model(name, **SMALL.get(name, {"width": 2}), num_classes=7)
        again = build_model(
            name, **arguments_for_weights(name, network.state_dict(), image_shape=None, num_classes=None)
        )
    assert {key: value.shape for key, value in network.state_dict().items()} == {
        key: value.shape for key, value in again.state_dict().items()
    }


def test_given_arguments_win_and_must_be_known(own_module: str) -> None:
    assert with_given("small_cnn", {"num_classes": 3}, {"width": 2}) == {"num_classes": 3, "width": 2}
    assert with_given(f"{own_module}:anything", {}, {"depth": 2}) == {"depth": 2}
    with pytest.raises(ModelError, match=r"^users_networks:Net does not take the argument 'depth'; correct its name"):
        with_given(f"{own_module}:Net", {"num_classes": 3}, {"depth": 2})


def test_arguments_of_the_data() -> None:
    assert model_arguments("small_cnn", image_shape=(1, 8, 8), num_classes=10) == {
        "in_channels": 1,
        "image_size": 8,
        "num_classes": 10,
    }
    assert model_arguments("preact_resnet18", image_shape=(3, 32, 20), num_classes=100) == {
        "in_channels": 3,
        "num_classes": 100,
    }


def test_same_seed_same_weights() -> None:
    torch.manual_seed(3)
    first = build_model("small_cnn").state_dict()
    torch.manual_seed(3)
    second = build_model("small_cnn").state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "name": (
        "resnet50",
        {},
        r"^the models are small_cnn, preact_resnet18, .* and package\.module:factory, got 'resnet50'\.$",
    ),
    "argument": (
        "small_cnn",
        {"depth": 3},
        r"^small_cnn takes the arguments in_channels, image_size, num_classes, width",
    ),
    "zero": ("small_cnn", {"width": 0}, r"^width of small_cnn is a whole number of at least 1, got 0\.$"),
    "text": ("preact_resnet18", {"num_classes": "10"}, r"whole number of at least 1, got '10'"),
    "bool": ("preact_resnet18", {"num_classes": True}, r"whole number of at least 1, got True"),
    "huge": ("small_cnn", {"width": 10**30}, r"^small_cnn cannot be built with width=10+; choose smaller numbers\.$"),
}


@pytest.mark.parametrize(("name", "arguments", "message"), WRONG.values(), ids=WRONG)
def test_wrong_calls_are_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_model(name, **arguments)


def test_small_cnn_needs_square_pictures() -> None:
    with pytest.raises(ModelError, match=r"^small_cnn takes square pictures, got 8 x 9; choose preact_resnet18"):
        model_arguments("small_cnn", image_shape=(1, 8, 9), num_classes=2)


def test_arguments_for_weights_put_what_is_given_first() -> None:
    weights = build_model("small_cnn", in_channels=2, image_size=12, num_classes=3, width=4).state_dict()
    shown = arguments_for_weights("small_cnn", weights, image_shape=None, num_classes=None)
    assert shown == {"in_channels": 2, "image_size": 12, "num_classes": 3, "width": 4}
    given = arguments_for_weights("small_cnn", weights, image_shape=(1, 8, 8), num_classes=5)
    assert given == {"in_channels": 1, "image_size": 8, "num_classes": 5, "width": 4}


def test_own_model_gets_what_it_takes(own_module: str) -> None:
    name = f"{own_module}:Net"
    assert is_own(name)
    assert model_arguments(name, image_shape=(3, 2, 2), num_classes=4) == {"num_classes": 4, "in_channels": 3}
    network = build_model(name, num_classes=4, in_channels=3, image_size=2)
    assert network(torch.rand(5, 3, 2, 2)).shape == (5, 4)
    anything: Any = build_model(f"{own_module}:anything", num_classes=4, depth=2)
    assert anything.arguments == {"num_classes": 4, "depth": 2}
    assert isinstance(build_model(f"{own_module}:nothing", num_classes=4), nn.Identity)
    weights = {"body.weight": torch.zeros(9, 9), "fc.weight": torch.zeros(6, 9), "z.weight": torch.zeros(2, 2)}
    found = arguments_for_weights(name, weights, image_shape=None, num_classes=None)
    assert found == {"num_classes": 6}


def test_import_path_is_left_as_it_was(own_module: str) -> None:
    before = list(sys.path)
    build_model(f"{own_module}:nothing")
    assert sys.path == before


WRONG_OWN = {
    "spelling": ("{}:", r"^a model of your own is written package\.module:factory, got"),
    "spaces": ("os:system ('x')", r"^a model of your own is written"),
    "no module": (
        "users_missing:net",
        r"^cannot import 'users_missing' \(ModuleNotFoundError: .*\); install it, or run",
    ),
    "broken module": ("users_broken:net", r"^cannot import 'users_broken' \(.*'users_missing_dependency'\)"),
    "no attribute": ("{}:net", r"^the module 'users_networks' has no 'net'; name a callable in it\.$"),
    "not callable": ("{}:number", r"should be a callable that returns a torch\.nn\.Module, it is int\.$"),
    "needs more": ("{}:depth", r"needs the argument 'depth', which is not known here; .*\(known: num_classes\)\.$"),
    "positional only": ("{}:positional", r"needs the argument 'num_classes'"),
    "wrong return": ("{}:wrong", r"^users_networks:wrong should return a torch\.nn\.Module, it returned int\.$"),
    "fails": ("{}:fails", r"^users_networks:fails failed with KeyError: "),
}


@pytest.mark.parametrize(("name", "message"), WRONG_OWN.values(), ids=WRONG_OWN)
def test_wrong_own_models_are_refused(own_module: str, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        build_model(name.format(own_module), num_classes=3)
    assert "\n" not in str(caught.value)


def test_require_fit_tries_the_model_and_restores_its_modes() -> None:
    network = build_model("small_cnn", width=2)
    network.get_submodule("bn2").eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    require_fit(network, image_shape=(1, 8, 8), num_classes=10)
    assert [module.training for module in network.modules()].count(False) == 1
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


MISFITS: dict[str, tuple[tuple[int, int, int], int, str]] = {
    "channels": ((3, 8, 8), 10, r"^the model does not take pictures of 3 x 8 x 8; name the data set"),
    "size": ((1, 28, 28), 10, r"^the model does not take pictures of 1 x 28 x 28;"),
    "classes": (
        (1, 8, 8),
        100,
        r"should give \(1, 100\) logits for one picture, it gave an output of shape \(1, 10\)\.",
    ),
}


@pytest.mark.parametrize(("shape", "classes", "message"), MISFITS.values(), ids=MISFITS)
def test_require_fit_refuses(shape: tuple[int, int, int], classes: int, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        require_fit(build_model("small_cnn", width=2), image_shape=shape, num_classes=classes)
