"""Checkpoints: a network, how it was trained, and what it expects; read and written without running code from files."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from landscape import names
from landscape.attacks.threat import ThreatModel
from landscape.checkpoint_files import (
    bundled_folder,
    epoch_of,
    find_checkpoint,
    plain_value,
    read_checkpoint_file,
    require_intact,
    run_checkpoints,
    write_checkpoint_file,
)
from landscape.errors import CheckpointError, InputError, LandscapeError
from landscape.models.noisy import KIND, inject_noise, is_noisy
from landscape.models.normalize import Normalization, NormalizedModel, normalized, parse_normalization
from landscape.models.registry import arguments_for_weights, build_model, is_own, written
from landscape.state_dicts import Named, fill, foreign_weights, reading_for, readings, require_tensors
from landscape.weights import digest_weights

__all__ = [
    "Checkpoint",
    "bundled_folder",
    "epoch_of",
    "find_checkpoint",
    "load_checkpoint",
    "run_checkpoints",
    "save_checkpoint",
]

FORMAT = "landscape-checkpoint/1"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A trained model and what its file says about it.

    Attributes:
        model: takes inputs in [0, 1]; in eval mode, on the CPU, in float32.
        network: `model` without its normalization; holds all the weights.
        model_name: name in the registry, or `package.module:factory`.
        model_arguments: the model's arguments.
        normalization: (mean, standard deviation) that `model` applies, or None.
        dataset: data set it was trained on, or None if unknown.
        threat: threat model it was trained against, or None if unknown or none.
        step_size: attack step in training, in units of inputs in [0, 1]; None if unknown.
        training: method, epoch, settings, metrics; empty for foreign files.
        path: the file.
        name: short name for legends and file names, such as `digits-at` or `digits-at/last`.
    """

    model: nn.Module
    network: nn.Module
    model_name: str
    model_arguments: dict[str, Any]
    normalization: Normalization | None
    dataset: str | None
    threat: ThreatModel | None
    step_size: float | None
    training: dict[str, Any]
    path: Path
    name: str

    @cached_property
    def weights_digest(self) -> str:
        """sha256 of the network's weights when it was first asked for."""
        return digest_weights(self.network)


def load_checkpoint(
    path: str | Path,
    *,
    model: str | None = None,
    num_classes: int | None = None,
    normalization: str | Normalization | None = None,
    dataset: str | None = None,
    image_shape: tuple[int, ...] | None = None,
) -> Checkpoint:
    """Read a checkpoint of this package, or a foreign one with the user's word for what the file does not say.

    Args:
        path: a file, a run folder (its last checkpoint), or the name of a bundled checkpoint.
        model: for foreign files: a name in the registry or `package.module:factory`. A file of this package that was
            made with a model of the user's needs it too, since no code is started because a file names it.
        num_classes: number of classes; None to take it from the weights.
        normalization: for foreign files: as in `parse_normalization`; None takes the numbers of a normalization layer
            that the file holds, else assumes none, with a warning.
        dataset: the data set; None for what the file says.
        image_shape: for foreign files: (C, H, W) of a picture; None to take it from the weights.

    Raises:
        CheckpointError: the file cannot be read, is unsafe to read, does not fit the model, or contradicts an argument.
        InputError: the normalization cannot be understood.
        ModelError: the model is unknown or cannot be built.
    """
    path = find_checkpoint(path)
    parse_normalization(normalization)
    content = read_checkpoint_file(path)
    if str(content.get("format")).startswith(FORMAT.partition("/")[0]):
        require_intact(path)
        own = _own_fields(content, path, model=model)
        _require_agreement(own, path, num_classes=num_classes, normalization=normalization)
        network = _filled(own["name"], own["arguments"], content["state_dict"], path, noisy=_has_noise(content, path))
        return _checkpoint(path, network=network, **{**own, "dataset": dataset or own["dataset"]})
    if model is None:
        raise CheckpointError(
            f"{path} does not say which network it holds; name it with --model (model=... in Python): "
            f"{', '.join(names.MODELS)} or package.module:factory."
        )
    candidates = readings(foreign_weights(content, path))
    arguments = arguments_for_weights(model, candidates[-1].weights, image_shape=image_shape, num_classes=num_classes)
    network = _empty_network(model, arguments)
    named = reading_for(network, candidates)
    scale = _normalization_of(named, path, given=normalization)
    fill(network, named.weights, path=path, title=_title(model, arguments))
    if normalization is None and named.statistics is None:
        logger.warning("%s: no normalization is assumed; a wrong one costs tens of points (--normalization).", path)
    return _checkpoint(
        path,
        network=network,
        name=model,
        arguments=arguments,
        normalization=scale,
        dataset=dataset,
        threat=None,
        step_size=None,
        training={},
    )


def save_checkpoint(
    path: str | Path,
    *,
    network: nn.Module,
    model_name: str,
    model_arguments: Mapping[str, Any],
    normalization: str | Normalization | None,
    dataset: str | None,
    threat: ThreatModel | None,
    step_size: float | None,
    training: Mapping[str, Any],
) -> Path:
    """Write a checkpoint atomically, of plain types and tensors only; equal content gives equal bytes.

    Args:
        path: the file; its folder is made.
        network: the model without its normalization; if it has parametric noise, the file says so.
        model_name: with `model_arguments`, what `build_model` takes to make such a network.
        model_arguments: plain values.
        normalization: as in `parse_normalization`.
        dataset: data set it was trained on.
        threat: threat model it was trained against.
        step_size: attack step in training, in units of inputs in [0, 1].
        training: method, epoch, settings, metrics: plain values, nested in dicts and lists.

    Raises:
        InputError: a value is not plain, or the network is a `NormalizedModel`.
        FileError: the file cannot be written; an older file of this name stays as it was.
    """
    if isinstance(network, NormalizedModel):
        raise InputError(
            "a checkpoint holds the network without its normalization, got a NormalizedModel; pass .network."
        )
    scale = parse_normalization(normalization)
    content = {
        "format": FORMAT,
        "model": {"name": model_name, "arguments": plain_value(dict(model_arguments), "model_arguments")},
        "state_dict": {key: value.detach().cpu().clone() for key, value in network.state_dict().items()},
        "normalization": None if scale is None else {"mean": list(scale[0]), "std": list(scale[1])},
        "dataset": dataset,
        "threat": None if threat is None else {"norm": threat.norm, "epsilon": threat.epsilon, "step_size": step_size},
        "training": plain_value(dict(training), "training"),
    }
    if is_noisy(network):
        content["noise"] = KIND
    return write_checkpoint_file(Path(path), content)


def _normalization_of(named: Named, path: Path, *, given: str | Normalization | None) -> Normalization | None:
    """What a foreign file's layer in front of the network applied, or what is given where the file does not say."""
    scale = parse_normalization(given)
    if named.statistics is not None:
        if given is not None and not _same_numbers(scale, named.statistics):
            raise CheckpointError(
                f"{path} holds its normalization itself, mean and standard deviation {named.statistics}, and it is "
                "another one; leave the option out."
            )
        return named.statistics
    if given is None and named.behind_a_layer:
        raise CheckpointError(
            f"{path}: the network stands behind another layer, mostly a normalization, whose numbers the file does not "
            "hold; give them with --normalization NAME|none|MEAN,../STD,.. (normalization=... in Python)."
        )
    if given is None and named.recorded is not None and not _is_identity(named.recorded):
        raise CheckpointError(
            f"{path} notes a normalization, mean and standard deviation {named.recorded}, that MAIR's wrapper does not "
            "apply; say with --normalization whether the network takes normalized pictures (none, or these numbers)."
        )
    return scale


def _same_numbers(first: Normalization | None, second: Normalization) -> bool:
    if first is None:
        return _is_identity(second)
    return all(
        len(left) == len(right) and np.allclose(left, right, rtol=0, atol=1e-6)
        for left, right in zip(first, second, strict=True)
    )


def _is_identity(scale: Normalization) -> bool:
    return set(scale[0]) == {0.0} and set(scale[1]) == {1.0}


def _own_fields(content: Mapping[str, Any], path: Path, *, model: str | None) -> dict[str, Any]:
    """The fields of a file of this package in the types of `Checkpoint`, without the weights."""
    if content["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has the format {content['format']!r}, this version reads {FORMAT!r}; update the package."
        )
    try:
        described, threat, scale = content["model"], content["threat"], content["normalization"]
        fields = {
            "name": _named_model(str(described["name"]), model, path),
            "arguments": dict(described["arguments"]),
            "normalization": None if scale is None else parse_normalization((scale["mean"], scale["std"])),
            "dataset": None if content["dataset"] is None else str(content["dataset"]),
            "threat": None if threat is None else ThreatModel(norm=threat["norm"], epsilon=threat["epsilon"]),
            "step_size": None if threat is None or threat["step_size"] is None else float(threat["step_size"]),
            "training": dict(content["training"]),
        }
        require_tensors(content["state_dict"], path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).rstrip(".")
        raise CheckpointError(f"{path} is damaged: a field is missing or wrong ({reason}); copy it again.") from error
    return fields


def _has_noise(content: Mapping[str, Any], path: Path) -> bool:
    """Whether the network has parametric noise; files of networks without it do not speak of it."""
    kind = content.get("noise")
    if kind not in (None, KIND):
        raise CheckpointError(f"{path} has the noise {kind!r}, this version knows {KIND!r} alone; update the package.")
    return kind is not None


def _named_model(stored: str, given: str | None, path: Path) -> str:
    """The model to build. A stored name of the user's code is never followed: a file could name any function."""
    if is_own(stored):
        if given is None or not is_own(given):
            raise CheckpointError(
                f"{path} was made with {stored!r}, code outside this package, which is not started because a "
                f"file names it; if it is yours, add --model {stored} (model=... in Python)."
            )
        return given
    if given not in (None, stored):
        raise CheckpointError(f"{path} is a {stored}, got --model {given}; leave the option out.")
    return stored


def _require_agreement(
    own: Mapping[str, Any], path: Path, *, num_classes: int | None, normalization: str | Normalization | None
) -> None:
    stored = own["arguments"].get("num_classes", num_classes)
    if num_classes not in (None, stored):
        raise CheckpointError(f"{path} has {stored} classes, got {num_classes}; name the data it was trained on.")
    if normalization is not None and parse_normalization(normalization) != own["normalization"]:
        raise CheckpointError(f"{path} says its normalization itself, and it is another one; leave the option out.")


def _filled(name: str, arguments: Mapping[str, Any], weights: Any, path: Path, *, noisy: bool) -> nn.Module:
    """The network of a file of this package."""
    try:
        network = _empty_network(name, arguments)
        network = inject_noise(network) if noisy else network
    except LandscapeError as error:
        raise CheckpointError(f"{path} cannot be built: {error}") from error
    fill(network, weights, path=path, title=_title(name, arguments))
    return network


def _empty_network(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A network whose weights are about to be replaced; torch's global random numbers are left as they were."""
    if is_own(name):
        with torch.random.fork_rng(devices=[]):
            return build_model(name, **arguments).to(device="cpu", dtype=torch.float32)
    with torch.device("meta"):
        return build_model(name, **arguments)


def _checkpoint(
    path: Path,
    *,
    network: nn.Module,
    name: str,
    arguments: dict[str, Any],
    normalization: Normalization | None,
    **rest: Any,
) -> Checkpoint:
    channels = arguments.get("in_channels")
    if normalization is not None and channels and len(normalization[0]) not in (1, channels):
        raise CheckpointError(
            f"{path} takes pictures of {channels} channels, got a normalization of {len(normalization[0])}."
        )
    network.eval()
    return Checkpoint(
        model=normalized(network, normalization),
        network=network,
        model_name=name,
        model_arguments=arguments,
        normalization=normalization,
        path=path,
        name=_label(path),
        **rest,
    )


def _title(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name} ({written(arguments)})"


def _label(path: Path) -> str:
    """`digits-at`, and in a run folder `digits-at/last`, since all runs name their files alike."""
    if re.fullmatch(r"last|best|epoch-\d+", path.stem):
        return f"{path.absolute().parent.name}/{path.stem}"
    return path.stem
