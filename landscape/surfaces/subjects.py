"""What is measured: a model with the name that its surface's key has for it, and examples that fit it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from landscape.checkpoints import Checkpoint
from landscape.datasets.examples import Examples
from landscape.errors import InputError
from landscape.weights import bind


def identify(model: nn.Module | Checkpoint) -> tuple[nn.Module, dict[str, Any], str]:
    """The module, its identity for the key, and what figures call it.

    Raises:
        InputError: it is no model.
    """
    if isinstance(model, Checkpoint):
        normalization = None if model.normalization is None else [list(part) for part in model.normalization]
        identity = {
            "name": model.model_name,
            "arguments": dict(model.model_arguments),
            "normalization": normalization,
            "own_code": ":" in model.model_name,
        }
        return model.model, identity, model.name
    if not isinstance(model, nn.Module):
        raise InputError(f"a model is a torch.nn.Module or a Checkpoint, got {type(model).__name__}.")
    name = f"{type(model).__module__}.{type(model).__qualname__}"
    return model, {"name": name, "arguments": {}, "normalization": None, "own_code": True}, type(model).__name__


def own_examples(pair: Any) -> Examples:
    """Examples of a user's own pair (inputs, labels) of tensors or arrays.

    Raises:
        InputError: inputs or labels are of another kind or shape.
    """
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise InputError(f"examples are landscape.Examples or a pair (inputs, labels), got {type(pair).__name__}.")
    try:
        inputs, labels = (torch.as_tensor(part).detach().cpu() for part in pair)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"inputs and labels are tensors or arrays, got {[type(part).__name__ for part in pair]}."
        ) from error
    if inputs.dim() != 4 or not inputs.is_floating_point():
        raise InputError(
            f"inputs are floats in [0, 1] of (n, channels, height, width), got {inputs.dtype} {tuple(inputs.shape)}."
        )
    if labels.shape != inputs.shape[:1] or labels.is_floating_point() or labels.is_complex():
        raise InputError(f"labels are {len(inputs)} whole numbers, got {labels.dtype} {tuple(labels.shape)}.")
    return Examples(
        inputs=inputs.float(),
        labels=labels.long(),
        ids=torch.arange(len(inputs)),
        dataset="own",
        split="all",
        num_classes=max(int(labels.max()) + 1 if len(labels) else 0, 2),
    )


def require_fit(model: nn.Module, examples: Examples) -> None:
    """Try one example on a model, before anything is spent.

    Raises:
        InputError: the model does not take it, or has fewer classes than the labels.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    try:
        with torch.no_grad():
            logits = bind(model, {})(examples.inputs[:1].to(device))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        shape = "x".join(map(str, examples.image_shape))
        raise InputError(f"the model does not take inputs of {shape} ({examples.dataset}): {reason}.") from error
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != 1:
        raise InputError("a model gives logits (batch, classes) for inputs (batch, channels, height, width).")
    if logits.shape[1] <= int(examples.labels.max()):
        raise InputError(
            f"the model has {logits.shape[1]} classes, but the labels go up to {int(examples.labels.max())}."
        )
