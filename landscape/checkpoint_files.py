"""Checkpoint files: where they lie, how they are read without running anything, and how they are written."""

from __future__ import annotations

import io
import logging
import os
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape import names
from landscape.errors import CheckpointError, InputError
from landscape.files import written_atomically

LAST, BEST = "last.pt", "best.pt"
_HOW_TO_CONVERT = "save the weights alone with torch.save(model.state_dict(), 'weights.pt') where the file was made"

logger = logging.getLogger(__name__)


def find_checkpoint(name_or_path: str | Path) -> Path:
    """The file of a checkpoint: an existing file, the last checkpoint of a run folder, or a bundled one by its name.

    Raises:
        CheckpointError: there is none; the message lists the bundled names.
    """
    path = Path(name_or_path)
    # os.path's questions answer False where pathlib's raise: for names that no file system takes.
    is_folder = os.path.isdir(path)
    if is_folder and os.path.isfile(path / LAST):
        return path / LAST
    if os.path.exists(path) and not is_folder:
        return path
    bundled = bundled_folder() / f"{path.name}.pt"
    if len(path.parts) == 1 and os.path.isfile(bundled):
        return bundled
    if is_folder:
        raise CheckpointError(f"{path} is a folder without {LAST}, so it is no run folder; name a checkpoint file.")
    if path.name in names.BUNDLED:
        method = "at-awp" if "awp" in path.name else "at"
        raise CheckpointError(
            f"there is no checkpoint {path}: `landscape train --method {method} --out {path}` makes a run folder of "
            f"this name, and the bundled checkpoint is called {path.name}."
        )
    raise CheckpointError(
        f"there is no checkpoint {path}: give a file, a run folder, or a bundled name ({', '.join(names.BUNDLED)})."
    )


def bundled_folder() -> Path:
    """Where the bundled checkpoints lie: in the installed package, or in `checkpoints/` of a clone."""
    package = Path(__file__).parent
    return package / "bundled" if (package / "bundled").is_dir() else package.parent / "checkpoints"


def run_checkpoints(folder: str | Path) -> list[tuple[int, Path]]:
    """The checkpoints of a run folder as (epoch, file), by epoch: `epoch-NNN.pt`, and `best.pt` and `last.pt`.

    The best and the last state are left out where the file of their epoch exists, since it holds the same weights.

    Raises:
        CheckpointError: the folder does not exist or holds no checkpoint, or a file does not say its epoch.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"there is no run folder {folder}.")
    found: dict[int, Path] = {}
    for path in sorted(folder.glob("epoch-*.pt")):
        if match := re.fullmatch(r"epoch-(\d+)", path.stem):
            found[int(match[1])] = path
    for name in (BEST, LAST):
        if (folder / name).is_file():
            found.setdefault(epoch_of(folder / name), folder / name)
    if not found:
        raise CheckpointError(f"{folder} holds no checkpoints: expected epoch-NNN.pt, {BEST} or {LAST}.")
    return sorted(found.items())


def is_of_run(path: Path) -> bool:
    """Whether a file is named as the checkpoints of a run folder are."""
    return re.fullmatch(r"epoch-\d+|best|last", path.stem) is not None


def epoch_of(path: Path) -> int:
    """The finished epochs that a checkpoint of this package says it has.

    Raises:
        CheckpointError: the file cannot be read or does not say it.
    """
    training = read_checkpoint_file(path).get("training")
    epoch = training.get("epoch") if isinstance(training, Mapping) else None
    if not isinstance(epoch, int):
        raise CheckpointError(f"{path} does not say its epoch, so it cannot be placed in its run; name it by itself.")
    return epoch


def read_checkpoint_file(path: Path) -> dict[str, Any]:
    """The content of a `.pt`/`.pth` file of plain types and tensors, or of a `.safetensors` file. Nothing is executed.

    Raises:
        CheckpointError: the file cannot be read, is empty, damaged, of another kind, or holds other Python objects.
    """
    try:
        with open(path, "rb") as stream:
            head = stream.read(2)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}.") from error
    if not head:
        raise CheckpointError(f"{path} is empty; copy or train the checkpoint again.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    # A file of torch is a zip archive or, before torch 1.6, a binary pickle.
    if head != b"PK" and not head.startswith(b"\x80"):
        raise CheckpointError(
            f"{path} is not a checkpoint: expected a file written by torch.save or a .safetensors file."
        )
    content = _read_torch(path)
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, expected a state dict; {_HOW_TO_CONVERT}.")
    return dict(content)


def require_intact(path: Path) -> None:
    """Compare the check sums in a file that `write_checkpoint_file` wrote; torch reads a changed weight without a word.

    Raises:
        CheckpointError: the bytes are not those that were written.
    """
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError):
        damaged = "the archive"
    if damaged is not None:
        raise CheckpointError(f"{path} is damaged: the check sum of {damaged} is wrong; copy it again.")


def plain_value(value: Any, place: str) -> Any:
    """`value` in exact built-in types: a subclass, such as numpy's float64, would not load again.

    Raises:
        InputError: naming the `place` of a value that is not plain.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, list | tuple):
        return [plain_value(entry, f"{place}[{index}]") for index, entry in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {str(key): plain_value(entry, f"{place}[{key!r}]") for key, entry in value.items()}
    raise InputError(f"{place} of a checkpoint should be a plain value, got {type(value).__name__}; write it as text.")


def write_checkpoint_file(path: Path, content: Mapping[str, Any]) -> Path:
    """Write `content`, of plain values and tensors, atomically; equal content gives equal bytes.

    Raises:
        FileError: the file cannot be written; an older one of this name stays as it was.
    """
    # Through memory, because torch reports a full disk as a RuntimeError without a reason.
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    with written_atomically(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
    return path


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on old pickles, which are no trouble here
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        refused = isinstance(error, pickle.UnpicklingError) and _pickle_is_whole(path)
        logger.debug("torch could not read %s: %s", path, error)
        if not refused and "TorchScript" not in str(error):
            raise CheckpointError(f"{path} is damaged or cut off, so it cannot be read; copy it again.") from None
    # torch's own message advises weights_only=False, which would run what the file says.
    raise CheckpointError(
        f"{path} holds Python objects that could run code when they are loaded, so it is not opened; {_HOW_TO_CONVERT}."
    )


def _pickle_is_whole(path: Path) -> bool:
    """Whether the file's objects can be listed, without making them: what torch refused is then no damage."""
    import pickletools
    import zipfile

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                member = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                return _names_objects(pickletools.genops(archive.read(member)))
        with open(path, "rb") as stream:
            # The format before torch 1.6 has three pickles without objects first: a mark, a version, the machine.
            return any(_names_objects(pickletools.genops(stream)) for _ in range(4))
    except Exception:  # any failure to list means damage
        return False


def _names_objects(operations: Iterable[tuple[Any, Any, Any]]) -> bool:
    # The whole list is read: a pickle that breaks off is damaged, whatever it names before.
    found = {operation.name for operation, _, _ in operations}
    return bool(found & {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ"})


def _read_safetensors(path: Path) -> dict[str, Any]:
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path, device="cpu")
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path} is damaged or not a safetensors file; copy it again.") from error
