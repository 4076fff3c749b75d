"""State dicts that others wrote: find the one in a file's content, read its names, fit it to a network."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.errors import CheckpointError, InputError
from landscape.models.normalize import NORMALIZATIONS, Normalization, parse_normalization

_CONTAINERS = ("state_dict", "model", "net", "model_state_dict", "rmodel")
_PREFIXES = ("module.", "model.", "network.", "_orig_mod.", "1.")
_BEHIND_A_LAYER = "1."
_STATISTICS = (("mu", "sigma"), ("normalize.mean", "normalize.std"), ("0.mean", "0.std"), ("mean", "std"))
"""Buffers of wrappers that compute (x - mean) / std: RobustBench's two, RST's `normalize_input` and MAIR's, others."""

_MAIR_CLASSES = "n_classes"
"""The mark of MAIR's wrapper, which keeps `mean` and `std` beside its `model.` and does not apply them."""

_CHANNELS = (1, 3)
_SHOWN = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Named:
    """Weights under one reading of their names.

    Attributes:
        weights: a state dict.
        dropped: the prefixes that were dropped, outermost first.
        statistics: (mean, standard deviation) that a layer in front of the network applied and whose buffers were
            taken out of the weights; None where there was none.
        recorded: the same of numbers that the file keeps but its wrapper did not apply.
    """

    weights: dict[str, Tensor]
    dropped: tuple[str, ...] = ()
    statistics: Normalization | None = None
    recorded: Normalization | None = None

    @property
    def behind_a_layer(self) -> bool:
        """Whether the network was the second layer of an `nn.Sequential` and the file does not hold the first."""
        return _BEHIND_A_LAYER in self.dropped and self.statistics is None


def foreign_weights(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The state dict of a foreign file: the file itself, or its entry `state_dict`, `model`, `net`, `model_state_dict`,
    or `rmodel`.

    Raises:
        CheckpointError: there is no such entry, or an entry of the state dict is not a tensor.
    """
    state: Any = content
    for _ in range(3):
        inner = next((state[key] for key in _CONTAINERS if isinstance(state.get(key), Mapping)), None)
        if inner is None:
            break
        state = inner
    if not any(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(
            f"{path} holds no weights: expected a state dict, or one under {', '.join(map(repr, _CONTAINERS))}, "
            f"found {_some(list(map(repr, state))) or 'nothing'}."
        )
    return require_tensors(state, path)


def require_tensors(state: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    """A state dict whose entries are all ordinary tensors with text names.

    Raises:
        CheckpointError: naming the first entry that is not.
    """
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: the entry {key!r} should be a tensor, it is {type(value).__name__}.")
        if value.layout is not torch.strided or value.is_quantized or value.is_meta or value.is_nested:
            raise CheckpointError(
                f"{path}: {key} is a sparse, quantized, nested or empty tensor, expected a dense one."
            )
    return dict(state)


def readings(weights: dict[str, Tensor]) -> list[Named]:
    """The weights as they are named, then ever barer: without a prefix that all share, without a wrapper's buffers.

    A pair of buffers counts as a normalization if both are there, of one size, and hold one number for each channel.
    """
    found = [Named(weights=weights)]
    while (barer := _without_prefix(found[-1]) or _without_wrapper(found[-1])) is not None:
        found.append(barer)
    return found


def reading_for(network: nn.Module, candidates: list[Named]) -> Named:
    """The reading whose names are those of `network`; the barest one where none fits."""
    expected = set(network.state_dict())
    return next((named for named in candidates if set(named.weights) == expected), candidates[-1])


def fill(network: nn.Module, weights: Mapping[str, Tensor], *, path: Path, title: str) -> None:
    """Load `weights` into `network`, which may lie on the meta device; floating-point weights become float32.

    Two differences are taken, see `without_known_differences`.

    Args:
        network: changed in place.
        weights: a state dict by the network's names.
        path: the file, for messages.
        title: the network's name and arguments, for messages.

    Raises:
        CheckpointError: names, shapes or kinds differ (the first ones are named), or a weight is not finite.
    """
    expected: dict[str, Tensor] = network.state_dict()
    found = without_known_differences(weights, expected)
    _require_same_names(found, expected, path=path, title=title)
    _require_same_shapes(found, expected, path=path, title=title)
    if halves := sorted({str(value.dtype) for value in found.values() if _is_other_float(value)}):
        logger.info("%s: %s weights are converted to torch.float32.", path, " and ".join(halves))
    state = {key: converted(found[key], expected[key], key, path) for key in expected}
    on_meta = any(value.is_meta for value in expected.values())
    network.load_state_dict(state, assign=on_meta)


def without_known_differences(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without `sub_block1`, dead ones in RST's published files, and with the counters of BatchNorm.

    Files from before torch 0.4.1 lack the counters (`num_batches_tracked`), which nothing here uses: they start at 0.

    Args:
        weights: a state dict by the network's names.
        expected: the network's state dict.
    """
    found = {key: value for key, value in weights.items() if key in expected or "sub_block1." not in key}
    for key, value in expected.items():
        if key.endswith("num_batches_tracked") and key not in found:
            found[key] = torch.zeros(value.shape, dtype=value.dtype, device="cpu")
    return found


def _without_prefix(named: Named) -> Named | None:
    prefix = next((entry for entry in _PREFIXES if all(key.startswith(entry) for key in named.weights)), None)
    if prefix is None or not named.weights:
        return None
    shorter = {key.removeprefix(prefix): value for key, value in named.weights.items()}
    return dataclasses.replace(named, weights=shorter, dropped=(*named.dropped, prefix))


def _without_wrapper(named: Named) -> Named | None:
    """The reading without the buffers of a layer around the network, whose numbers are kept apart."""
    is_mair = _MAIR_CLASSES in named.weights and any(key.startswith("model.") for key in named.weights)
    for pair in _STATISTICS:
        numbers = _normalization_in(named.weights, pair)
        if numbers is None or (named.statistics is not None and not is_mair):
            continue
        barer = {key: value for key, value in named.weights.items() if key not in (*pair, _MAIR_CLASSES)}
        if is_mair:
            return dataclasses.replace(named, weights=barer, recorded=numbers)
        return dataclasses.replace(named, weights=barer, statistics=numbers)
    if is_mair:
        barer = {key: value for key, value in named.weights.items() if key != _MAIR_CLASSES}
        return dataclasses.replace(named, weights=barer)
    return None


def _normalization_in(weights: Mapping[str, Tensor], pair: tuple[str, str]) -> Normalization | None:
    """The numbers of a pair of buffers, or None where the pair is not there or is no normalization."""
    buffers = [weights[name] for name in pair if name in weights]
    if len(buffers) != 2 or buffers[0].shape != buffers[1].shape or len(weights) == 2:
        return None
    if not all(value.is_floating_point() and value.numel() in _CHANNELS for value in buffers):
        return None
    if max(buffers[0].shape, default=1) != buffers[0].numel():
        return None
    mean, std = (value.flatten().tolist() for value in buffers)
    try:
        return _as_written(parse_normalization((mean, std)))
    except InputError:
        return None


def _as_written(stored: Normalization | None) -> Normalization | None:
    """The numbers that a file's float32 were made from: those of a known normalization, or the shortest decimals."""
    rounded = np.asarray(stored, np.float32)
    for known in NORMALIZATIONS.values():
        if known is not None and np.array_equal(np.asarray(known, np.float32), rounded):
            return known
    mean, std = (tuple(float(str(number)) for number in numbers) for numbers in rounded)
    return mean, std


def _require_same_names(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, path: Path, title: str) -> None:
    missing = [key for key in expected if key not in found]
    extra = [key for key in found if key not in expected]
    if missing or extra:
        differences = [f"missing {_some(missing)}"] * bool(missing) + [f"unexpected {_some(extra)}"] * bool(extra)
        raise CheckpointError(
            f"{path} does not hold the weights of {title}: {'; '.join(differences)}; choose the model it was made with."
        )


def _require_same_shapes(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, path: Path, title: str
) -> None:
    differing = [
        f"{key} is {tuple(found[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if found[key].shape != value.shape
    ]
    if differing:
        raise CheckpointError(
            f"{path} does not fit {title}: {_some(differing)}; choose the model, classes and data it was made with."
        )


def converted(value: Tensor, expected: Tensor, key: str, path: Path) -> Tensor:
    """A copy of its own memory, since tensors of a file may share or overlap theirs; floats become float32.

    Raises:
        CheckpointError: the weight is of another kind, or not finite.
    """
    if value.is_floating_point() != expected.is_floating_point() or value.is_complex() != expected.is_complex():
        raise CheckpointError(f"{path}: {key} holds {value.dtype}, expected {expected.dtype}.")
    dtype = torch.float32 if value.is_floating_point() else expected.dtype
    copy = value.detach().to(dtype).clone(memory_format=torch.contiguous_format)
    if not torch.isfinite(copy).all():
        raise CheckpointError(f"{path}: {key} holds numbers that are not finite, so every loss would be NaN.")
    return copy


def _is_other_float(value: Tensor) -> bool:
    return value.is_floating_point() and value.dtype is not torch.float32


def _some(items: list[str]) -> str:
    rest = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
