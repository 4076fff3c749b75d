"""Begin a run with the weights of a checkpoint, this package's or a published one: pre-training and fine-tuning."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from landscape.checkpoint_files import find_checkpoint, read_checkpoint_file, require_intact
from landscape.checkpoints import FORMAT
from landscape.errors import CheckpointError
from landscape.models.noisy import noise_scales
from landscape.models.normalize import parse_normalization
from landscape.state_dicts import (
    Named,
    converted,
    foreign_weights,
    reading_for,
    readings,
    without_known_differences,
)
from landscape.weights import digest_weights

if TYPE_CHECKING:
    from torch import nn

    from landscape.models.normalize import Normalization

logger = logging.getLogger(__name__)


@torch.no_grad()
def start_from(network: nn.Module, checkpoint: Path, *, normalization: Normalization | None = None) -> bool:
    """Copy the weights of a checkpoint into a network, except a last layer for other classes, which stays new.

    Scales of noise that the checkpoint does not have stay new too. A published file is read as `load_checkpoint` reads
    it: without the prefixes and dead weights of the programs that wrote it.

    Args:
        network: built for the data of the run; changed in place.
        checkpoint: a checkpoint of this package, the name of a bundled one, or a published file.
        normalization: of the run; another one than the checkpoint's is said in a warning.

    Returns:
        Whether the last layer stays new.

    Raises:
        CheckpointError: the file cannot be read, or its weights are not those of such a network.
    """
    path = find_checkpoint(checkpoint)
    found = _reading(read_checkpoint_file(path), path, network)
    state = network.state_dict()
    weights = without_known_differences(found.weights, state)
    scales = [name for name in noise_scales(network) if name not in weights]
    other = [name for name, tensor in state.items() if name not in weights or weights[name].shape != tensor.shape]
    other = [name for name in other if name not in scales]
    head = _last_layer(network)
    wrong = [name for name in weights if name not in state] + [name for name in other if name not in head]
    if wrong or set(other) == set(state):
        raise CheckpointError(
            f"{checkpoint} does not hold the weights of this network: {(wrong or other)[0]} does not fit; "
            "name its --model and --model-arguments."
        )
    # All are converted before one is copied, so that a wrong one leaves the network as it was.
    taken = {name: converted(weights[name], state[name], name, path) for name in state if name not in (*other, *scales)}
    for name, value in taken.items():
        state[name].copy_(value)
    if other:
        logger.info("the last layer (%s) is new: %s has other classes", ", ".join(other), checkpoint)
    if found.statistics is not None and found.statistics != normalization:
        logger.warning(
            "%s was trained with another normalization than this run: mean and standard deviation %s.",
            checkpoint,
            found.statistics,
        )
    return bool(other)


def starting_digest(checkpoint: str | None) -> dict[str, str]:
    """The digest of the weights that a run begins with, by the name `start`; nothing without a checkpoint.

    Raises:
        CheckpointError: the file cannot be read.
    """
    if checkpoint is None:
        return {}
    path = find_checkpoint(checkpoint)
    return {"start": digest_weights(foreign_weights(read_checkpoint_file(path), path))}


def _reading(content: Mapping[str, Any], path: Path, network: nn.Module) -> Named:
    """The weights by the names of `network`, as far as they can be read so, and the file's normalization."""
    weights = foreign_weights(content, path)
    if content.get("format") != FORMAT:
        return reading_for(network, readings(weights))
    require_intact(path)
    try:
        scale = content["normalization"]
        statistics = None if scale is None else parse_normalization((scale["mean"], scale["std"]))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: its normalization is missing or wrong; copy it again.") from error
    return Named(weights=weights, statistics=statistics)


def _last_layer(network: nn.Module) -> list[str]:
    """Names of the tensors of the last linear layer."""
    linear = [name for name, module in network.named_modules() if isinstance(module, torch.nn.Linear)]
    return [f"{linear[-1]}.{kind}" for kind in ("weight", "bias")] if linear else []
