"""What is measured: a model with the name that its surface's key has for it, and examples that fit it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from landscape.checkpoints import Checkpoint
from landscape.datasets.examples import Examples
from landscape.errors import InputError
from landscape.weights import bind

if TYPE_CHECKING:
    from landscape.protocols import Forward

logger = logging.getLogger(__name__)

CUDA_ROUNDING = 1e-2
"""Share of the largest logit by which two calls may differ on CUDA: its kernels add in any order, perhaps in TF32."""


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


def require_fit(model: nn.Module, examples: Examples, *, label: str) -> None:
    """Try one example on a model, before anything is spent; a model that is random in eval mode causes a warning.

    Args:
        model: not touched.
        examples: the first is tried.
        label: what the warning calls the model.

    Raises:
        InputError: the model does not take it, or has fewer classes than the labels.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    forward, example = bind(model, {}), examples.inputs[:1].to(device)
    try:
        with torch.no_grad():
            logits = forward(example)
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
    if not _repeats(forward, example, logits):
        logger.warning(
            "%s gives other logits for the same input at a second call, so that its numbers cannot be repeated; switch "
            "off in eval mode what draws random numbers.",
            label,
        )


def _repeats(forward: Forward, example: torch.Tensor, logits: torch.Tensor) -> bool:
    """Whether another call gives the same logits: on the CPU bit for bit, on CUDA up to `CUDA_ROUNDING`."""
    on_cuda = example.device.type == "cuda"
    # What a random model draws later is what it would draw without this call.
    with torch.no_grad(), torch.random.fork_rng([example.device] if on_cuda else []):
        again = forward(example)
    allowed = CUDA_ROUNDING * float(logits.nan_to_num().abs().max()) if on_cuda else 0.0
    return torch.allclose(again, logits, rtol=0.0, atol=allowed, equal_nan=True)
