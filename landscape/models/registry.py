"""Models by name: those of this package, and the user's own as `package.module:factory`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from landscape import names
from landscape.errors import ModelError
from landscape.models import mnist_cnn, preact_resnet, resnet, small_cnn, vgg, wide_resnet
from landscape.models.own import arguments_taken, build_own


@dataclass(frozen=True, kw_only=True)
class _RegisteredModel:
    """How a model of this package is built; all its arguments are whole numbers of at least 1."""

    build: Callable[..., nn.Module]
    arguments_from_weights: Callable[[Mapping[str, Tensor]], dict[str, int]]

    @property
    def defaults(self) -> dict[str, int]:
        return {name: entry.default for name, entry in inspect.signature(self.build).parameters.items()}


_MODELS = {
    "small_cnn": _RegisteredModel(
        build=small_cnn.small_cnn,
        arguments_from_weights=small_cnn.arguments_from_weights,
    ),
    "preact_resnet18": _RegisteredModel(
        build=preact_resnet.preact_resnet18,
        arguments_from_weights=preact_resnet.arguments_from_weights,
    ),
    "resnet18": _RegisteredModel(
        build=resnet.resnet18,
        arguments_from_weights=resnet.arguments_from_weights,
    ),
    "wide_resnet": _RegisteredModel(
        build=wide_resnet.wide_resnet,
        arguments_from_weights=wide_resnet.arguments_from_weights,
    ),
    "wide_resnet34_10": _RegisteredModel(
        build=wide_resnet.wide_resnet34_10,
        arguments_from_weights=wide_resnet.data_arguments_from_weights,
    ),
    "wide_resnet28_10": _RegisteredModel(
        build=wide_resnet.wide_resnet28_10,
        arguments_from_weights=wide_resnet.data_arguments_from_weights,
    ),
    "vgg19_bn": _RegisteredModel(
        build=vgg.vgg19_bn,
        arguments_from_weights=vgg.arguments_from_weights,
    ),
    "mnist_cnn4": _RegisteredModel(
        build=mnist_cnn.mnist_cnn4,
        arguments_from_weights=mnist_cnn.cnn4_arguments_from_weights,
    ),
    "mnist_cnn7": _RegisteredModel(
        build=mnist_cnn.mnist_cnn7,
        arguments_from_weights=mnist_cnn.cnn7_arguments_from_weights,
    ),
}


def build_model(name: str, **arguments: Any) -> nn.Module:
    """A new model with initial weights from torch's global random numbers, in training mode.

    Args:
        name: one of `names.MODELS`, or `package.module:factory` for a callable of the user's, which is imported (also
            from the working folder) and called with those of `arguments` that its signature takes.
        arguments: the model's arguments, such as `num_classes=10`.

    Raises:
        ModelError: the name or an argument is unknown, or the model cannot be imported or built.
    """
    if is_own(name):
        return build_own(name, arguments)
    registered = _registered(name)
    for argument, value in arguments.items():
        if argument not in registered.defaults:
            raise ModelError(f"{name} takes the arguments {', '.join(registered.defaults)}, got {argument!r}.")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ModelError(f"{argument} of {name} is a whole number of at least 1, got {value!r}.")
    try:
        return registered.build(**arguments)
    except (RuntimeError, OverflowError, TypeError) as error:  # a size that no memory or no integer holds
        raise ModelError(f"{name} cannot be built with {written(arguments)}; choose smaller numbers.") from error


def is_own(name: str) -> bool:
    """Whether `name` means code of the user's, `package.module:factory`."""
    return ":" in name


def model_arguments(name: str, *, image_shape: tuple[int, ...], num_classes: int) -> dict[str, Any]:
    """The arguments of model `name` that follow from the data; of an own model, those that its signature takes.

    Args:
        name: as in `build_model`.
        image_shape: (C, H, W) of a picture.
        num_classes: number of classes.

    Raises:
        ModelError: the model is unknown or cannot be imported, or it needs square pictures and these are not.
    """
    offered = _from_data(image_shape, num_classes)
    if is_own(name):
        return arguments_taken(name, offered)
    defaults = _registered(name).defaults
    if "image_size" in defaults and "image_size" not in offered:
        _, height, width = image_shape
        raise ModelError(
            f"{name} takes square pictures, got {height} x {width}; choose preact_resnet18 or a model of yours."
        )
    return {argument: value for argument, value in offered.items() if argument in defaults}


def with_given(name: str, from_data: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that follow from the data, with those that a user gives.

    Args:
        name: as in `build_model`.
        from_data: what `model_arguments` says.
        given: arguments by name, which win.

    Raises:
        ModelError: the user's own model does not take one of the given arguments; `build_model` says so of the others.
    """
    if is_own(name):
        taken = arguments_taken(name, given)
        if unknown := [argument for argument in given if argument not in taken]:
            raise ModelError(f"{name} does not take the argument {unknown[0]!r}; correct its name or leave it out.")
    return {**from_data, **given}


def arguments_for_weights(
    name: str, weights: Mapping[str, Tensor], *, image_shape: tuple[int, ...] | None, num_classes: int | None
) -> dict[str, Any]:
    """The arguments of model `name` for foreign weights: what is given, else what the weights show, else the default.

    Args:
        name: as in `build_model`.
        weights: the model's state dict.
        image_shape: (C, H, W) of a picture; None if unknown.
        num_classes: number of classes; None if unknown.

    Raises:
        ModelError: the model is unknown or cannot be imported.
    """
    given = _from_data(image_shape, num_classes)
    if is_own(name):
        return arguments_taken(name, {**_last_linear_rows(weights), **given})
    registered = _registered(name)
    known = registered.defaults
    given = {argument: value for argument, value in given.items() if argument in known}
    return {**known, **registered.arguments_from_weights(weights), **given}


def require_fit(model: nn.Module, *, image_shape: tuple[int, ...], num_classes: int) -> None:
    """Try `model` on one black picture in eval mode, before hours are spent.

    Args:
        model: on any device; its modes are restored.
        image_shape: (C, H, W) of a picture.
        num_classes: number of logits that are expected.

    Raises:
        ModelError: the model does not take such a picture or gives another number of logits.
    """
    device = next((tensor.device for tensor in [*model.parameters(), *model.buffers()]), None)
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad():
            logits = model(torch.zeros(1, *image_shape, device=device))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shape = " x ".join(map(str, image_shape))
        raise ModelError(
            f"the model does not take pictures of {shape}; name the data set it was trained on."
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (1, num_classes):
        found = f"an output of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(f"the model should give (1, {num_classes}) logits for one picture, it gave {found}.")


def written(arguments: Mapping[str, Any]) -> str:
    """`num_classes=10, width=64`, or `no arguments`, for messages."""
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items()) or "no arguments"


def _registered(name: str) -> _RegisteredModel:
    if name not in _MODELS:
        raise ModelError(f"the models are {', '.join(names.MODELS)} and package.module:factory, got {name!r}.")
    return _MODELS[name]


def _from_data(image_shape: tuple[int, ...] | None, num_classes: int | None) -> dict[str, Any]:
    offered: dict[str, Any] = {}
    if num_classes is not None:
        offered["num_classes"] = num_classes
    if image_shape is not None:
        channels, height, width = image_shape
        offered["in_channels"] = channels
        if height == width:
            offered["image_size"] = height
    return offered


def _last_linear_rows(weights: Mapping[str, Tensor]) -> dict[str, int]:
    named = [weights[key] for key in ("linear.weight", "fc.weight") if key in weights]
    matrices = [weight for weight in (named or weights.values()) if weight.ndim == 2]
    return {"num_classes": matrices[-1].shape[0]} if matrices else {}
