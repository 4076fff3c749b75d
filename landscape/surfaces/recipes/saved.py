"""Directions in files: saved once, moved along by any checkpoint of the same shape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from landscape.errors import FileError, InputError
from landscape.files import canonical_json, parse_json, reason_of, written_atomically
from landscape.models.normalize import PREFIX
from landscape.weights import Weights, digest_weights

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.protocols import DirectionRecipe

FORMAT = "landscape-directions/1"

METADATA = "landscape"
"""The entry of the metadata that says what the file is."""

SUFFIX = ".safetensors"


@dataclass(frozen=True, kw_only=True, eq=False)
class SavedDirections:
    """Directions as they stand in a file, with the lengths that they have there: nothing is normalized again.

    Attributes:
        directions: the tensors of each by the parameters' names in the network, without the prefix of a normalization.
        origin: the settings of the recipe that made them; empty if the file does not say.
    """

    directions: Sequence[Weights]
    origin: Mapping[str, Any]

    @cached_property
    def digests(self) -> list[str]:
        """Of each direction, the sha256 of its names, shapes, dtypes and bytes."""
        return [digest_weights(direction) for direction in self.directions]

    def settings(self) -> dict[str, Any]:
        """The kind, the kind of their origin, and their content."""
        return {"kind": "saved", "origin": self.origin.get("kind"), "directions": self.digests}

    def moving(self, weights: Weights) -> list[str]:
        """The names of the parameters that some direction moves.

        Raises:
            InputError: a name or a shape is not the model's, or nothing moves.
        """
        known = {name.removeprefix(PREFIX): weight for name, weight in weights.items()}
        for direction in self.directions:
            for name, part in direction.items():
                if name not in known or known[name].shape != part.shape:
                    there = f"it has {tuple(known[name].shape)}" if name in known else "it has no such parameter"
                    raise InputError(
                        f"the directions move {name} {tuple(part.shape)}, which is not the model's: {there}."
                    )
        moved = {name for direction in self.directions for name in direction}
        if not moved:
            raise InputError("the directions move no parameter.")
        return [name for name in weights if name.removeprefix(PREFIX) in moved]

    def direction(self, weights: Weights, index: int) -> Weights:
        """Direction `index` of the file.

        Raises:
            InputError: the file has not so many.
        """
        if index >= len(self.directions):
            raise InputError(f"the file holds {len(self.directions)} directions, got a call for {index + 1}.")
        chosen = self.directions[index]
        plain = {name: name.removeprefix(PREFIX) for name in weights}
        return {name: chosen[plain[name]].to(weight) for name, weight in weights.items() if plain[name] in chosen}


def save_directions(path: Path | str, recipe: DirectionRecipe, weights: Weights, *, count: int) -> Path:
    """Write the first `count` directions of a recipe at `weights` as safetensors, atomically.

    The tensors are named INDEX/PARAMETER; the metadata hold the format and the settings of the recipe. Equal directions
    give equal bytes.

    Raises:
        InputError: the name does not end in .safetensors, or a direction is not a displacement of weights alone.
        FileError: the file cannot be written.
    """
    import safetensors.torch

    path = Path(path)
    require_suffix(path)
    tensors = {
        f"{index}/{name.removeprefix(PREFIX)}": part.detach().cpu().clone(memory_format=torch.contiguous_format)
        for index in range(count)
        for name, part in recipe.direction(weights, index).items()
    }
    # One entry, because the format writes several of them in a random order.
    metadata = {METADATA: canonical_json({"format": FORMAT, "recipe": dict(recipe.settings())})}
    content = safetensors.torch.save(tensors, metadata=metadata)
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)
    return path


def load_directions(path: Path | str) -> SavedDirections:
    """Read directions that `save_directions` wrote, or one direction from a file of tensors named as parameters.

    Raises:
        FileError: the file cannot be read, is damaged, or is of another kind.
    """
    import safetensors

    path = Path(path)
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except OSError as error:
        raise FileError(f"cannot read {path}: {reason_of(error)}.") from error
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise FileError(f"{path} is damaged or not a safetensors file; save the directions again.") from error
    if not tensors or not all(_is_finite(part) for part in tensors.values()):
        raise FileError(f"{path} holds no directions of finite numbers; save the directions again.")
    if METADATA not in metadata:
        return SavedDirections(directions=[_plain(tensors)], origin={})
    about = _parsed(metadata[METADATA])
    if about.get("format") != FORMAT:
        raise FileError(
            f"{path} has the format {about.get('format')!r}, this version reads {FORMAT!r}; update the package."
        )
    origin = about.get("recipe")
    return SavedDirections(directions=_by_index(tensors, path), origin=origin if isinstance(origin, dict) else {})


def require_suffix(path: Path) -> None:
    """Refuse a file name that is not of the format, before anything is computed.

    Raises:
        InputError: the suffix is not .safetensors.
    """
    if path.suffix != SUFFIX:
        raise InputError(f"directions are kept in {SUFFIX} files, got {path.name!r}; give the name this suffix.")


def _is_finite(part: Tensor) -> bool:
    """Whether a tensor holds real floating-point numbers that are finite in single precision."""
    return part.is_floating_point() and bool(torch.isfinite(part.float()).all())


def _by_index(tensors: Mapping[str, Tensor], path: Path) -> list[Weights]:
    found: dict[int, Weights] = {}
    for key, part in tensors.items():
        match = re.fullmatch(r"(0|[1-9][0-9]{0,8})/(.+)", key)
        if match is None:
            raise FileError(f"{path} has a tensor {key[:40]!r}, expected INDEX/PARAMETER; save the directions again.")
        found.setdefault(int(match[1]), {})[match[2]] = part
    if sorted(found) != list(range(len(found))):
        raise FileError(f"{path} lacks a direction between the first and the last; save the directions again.")
    return [found[index] for index in sorted(found)]


def _plain(tensors: Mapping[str, Tensor]) -> Weights:
    return {name.removeprefix(PREFIX): part for name, part in tensors.items()}


def _parsed(text: str) -> dict[str, Any]:
    try:
        about = parse_json(text)
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}
