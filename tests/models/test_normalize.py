from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from landscape.errors import InputError
from landscape.models.normalize import NORMALIZATIONS, NormalizedModel, normalized, parse_normalization
from landscape.models.small_cnn import small_cnn

CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))


def test_gives_the_numbers_of_normalizing_by_hand() -> None:
    network = small_cnn(in_channels=3).eval()
    inputs = torch.rand(4, 3, 8, 8)
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in CIFAR10)
    assert torch.equal(normalized(network, CIFAR10)(inputs), network((inputs - mean) / std))


def test_none_is_the_network_itself() -> None:
    network = small_cnn()
    assert normalized(network, None) is network


def test_takes_over_the_training_flag_and_leaves_those_inside() -> None:
    network = small_cnn(in_channels=3).eval()
    network.bn1.train()
    model = normalized(network, CIFAR10)
    assert not model.training
    assert network.bn1.training


def test_numbers_are_no_weights() -> None:
    network = small_cnn(in_channels=3)
    model = normalized(network, CIFAR10)
    assert isinstance(model, NormalizedModel)
    assert list(model.state_dict()) == [f"network.{name}" for name in network.state_dict()]
    assert model.mean.shape == model.std.shape == (1, 3, 1, 1)
    assert [name for name, _ in model.named_buffers() if "." not in name] == ["mean", "std"]


SPELLINGS: dict[str, tuple[Any, Any]] = {
    "none given": (None, None),
    "none": ("none", None),
    "name": ("cifar10", CIFAR10),
    "text": ("0.4914,0.4822,0.4465/0.2471,0.2435,0.2616", CIFAR10),
    "one number for all": ("0.5/0.25", ((0.5,), (0.25,))),
    "lists": ([[0.5, 0.4], [1, 2]], ((0.5, 0.4), (1.0, 2.0))),
    "svhn": ("svhn", ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))),
}


@pytest.mark.parametrize(("value", "expected"), SPELLINGS.values(), ids=SPELLINGS)
def test_spellings(value: Any, expected: Any) -> None:
    assert parse_normalization(value) == expected


def test_cifar100_has_the_published_digits() -> None:
    preset = NORMALIZATIONS["cifar100"]
    assert preset is not None
    assert preset[0][0] == 0.5070751592371323
    assert preset[1][2] == 0.27615047132568404


WRONG: dict[str, tuple[Any, str]] = {
    "unknown name": ("imagenet", r"a normalization is cifar10, cifar100, svhn, none or .*, got 'imagenet'\."),
    "three parts": ("0.1/0.2/0.3", r"got '0\.1/0\.2/0\.3'\."),
    "not numbers": ("a,b/c,d", r"got 'a,b/c,d'\."),
    "unequal": ("0.5,0.5/0.5", r"as many means as standard deviations"),
    "zero": ("0.5/0", r"above 0"),
    "nan": ("nan/1", r"as many means"),
    "infinite": ("0.5/inf", r"as many means"),
    "empty": (((), ()), r"as many means"),
    "number": (0.5, r"got 0\.5\."),
}


@pytest.mark.parametrize(("value", "message"), WRONG.values(), ids=WRONG)
def test_wrong_ones_are_refused(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_normalization(value)


def test_model_checks_its_numbers_too() -> None:
    with pytest.raises(InputError, match="above 0"):
        NormalizedModel(nn.Identity(), (0.5,), (-1.0,))
