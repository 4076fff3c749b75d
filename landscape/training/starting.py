"""Begin a run with the weights of a checkpoint: pre-training and fine-tuning."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from landscape.checkpoint_files import find_checkpoint, read_checkpoint_file
from landscape.errors import CheckpointError
from landscape.models.noisy import noise_scales
from landscape.weights import digest_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

logger = logging.getLogger(__name__)


@torch.no_grad()
def start_from(network: nn.Module, checkpoint: Path) -> bool:
    """Copy the weights of a checkpoint into a network, except a last layer for other classes, which stays new.

    Scales of noise that the checkpoint does not have stay new too.

    Args:
        network: built for the data of the run; changed in place.
        checkpoint: a checkpoint of this package, or the name of a bundled one.

    Returns:
        Whether the last layer stays new.

    Raises:
        CheckpointError: the file cannot be read, or its weights are not those of such a network.
    """
    weights = _weights(checkpoint)
    state = network.state_dict()
    other = [name for name, tensor in state.items() if name not in weights or weights[name].shape != tensor.shape]
    strange = [name for name in weights if name not in state]
    head = _last_layer(network)
    scales = [name for name in noise_scales(network) if name not in weights]
    other = [name for name in other if name not in scales]
    if strange or [name for name in other if name not in head]:
        wrong = (strange or [name for name in other if name not in head])[0]
        raise CheckpointError(
            f"{checkpoint} does not hold the weights of this network: {wrong} does not fit; "
            "name its --model and --model-arguments."
        )
    for name, tensor in state.items():
        if name not in (*other, *scales):
            tensor.copy_(weights[name])
    if other:
        logger.info("the last layer (%s) is new: %s has other classes", ", ".join(other), checkpoint)
    return bool(other)


def starting_digest(checkpoint: str | None) -> dict[str, str]:
    """The digest of the weights that a run begins with, by the name `start`; nothing without a checkpoint.

    Raises:
        CheckpointError: the file cannot be read.
    """
    return {} if checkpoint is None else {"start": digest_weights(_weights(Path(checkpoint)))}


def _weights(checkpoint: Path) -> dict[str, Tensor]:
    content = read_checkpoint_file(find_checkpoint(checkpoint))
    if "state_dict" not in content:
        raise CheckpointError(f"{checkpoint} is no checkpoint of this package; load it and save it with landscape.")
    return dict(content["state_dict"])


def _last_layer(network: nn.Module) -> list[str]:
    """Names of the tensors of the last linear layer."""
    linear = [name for name, module in network.named_modules() if isinstance(module, torch.nn.Linear)]
    return [f"{linear[-1]}.{kind}" for kind in ("weight", "bias")] if linear else []
