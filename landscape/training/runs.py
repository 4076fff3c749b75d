"""The folder of a training run: which files it holds, who may write there, and whether a run may go on there."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from landscape import files
from landscape.errors import FileError, InputError, TrainingError
from landscape.training.config import Settings, TrainConfig

STATE_FORMAT = "landscape-run-state/1"


@dataclass(frozen=True)
class RunFolder:
    """`config.json`, `history.csv`, `last.pt`, `best.pt`, `epoch-NNN.pt` and `state.pt`, in one folder.

    `state.pt` is what a run continues from. It is written first; all other files follow from it and are written again
    on resuming, so that a kill between any two of them loses nothing.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The settings."""
        return self.path / "config.json"

    @property
    def history(self) -> Path:
        """One row for each epoch."""
        return self.path / "history.csv"

    @property
    def state(self) -> Path:
        """Weights, momentum, random state and position: what an exact continuation needs."""
        return self.path / "state.pt"

    @property
    def last(self) -> Path:
        """The checkpoint after the last finished epoch."""
        return self.path / "last.pt"

    @property
    def best(self) -> Path:
        """The checkpoint of the epoch with the highest robust accuracy on test examples."""
        return self.path / "best.pt"

    def at_epoch(self, epoch: int) -> Path:
        """The kept checkpoint after `epoch` finished epochs."""
        return self.path / f"epoch-{epoch:03d}.pt"

    def contents(self) -> list[Path]:
        """The files of a run that exist."""
        named = [self.config, self.history, self.state, self.last, self.best]
        return [path for path in named if path.exists()] + sorted(self.path.glob("epoch-*.pt"))

    def clear(self) -> None:
        """Remove the files of a run, and nothing else.

        Raises:
            FileError: one of them cannot be removed.
        """
        for path in self.contents():
            try:
                path.unlink()
            except OSError as error:
                raise FileError(f"cannot remove {path}: {error.strerror}; name another folder.") from error

    def sweep(self) -> None:
        """Remove what a killed process left half-written; only for whoever may write here."""
        for path in self.path.glob(".*.*.*"):
            if path.name.startswith(
                (".config.json.", ".history.csv.", ".state.pt.", ".last.pt.", ".best.pt.", ".epoch-")
            ):
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only process that writes here; the operating system ends this with the process.

        Raises:
            TrainingError: another process trains in this folder.
            FileError: the folder cannot be made or written.
        """
        import filelock

        files.require_writable(self.path)
        try:
            with filelock.FileLock(str(self.path / ".lock"), timeout=0):
                yield
        except filelock.Timeout as error:
            raise TrainingError(
                f"another process is training in {self.path}; wait for it or name another --out."
            ) from error


def save_config(folder: RunFolder, settings: Settings) -> None:
    """Write every effective setting."""
    files.write_text(folder.config, json.dumps(settings.to_dict(), indent=2) + "\n")


def load_config(path: str | Path) -> TrainConfig:
    """The settings in a `config.json`, or in that of a run folder.

    Raises:
        TrainingError: the file cannot be read or is no JSON object.
        InputError: a setting is unknown or not allowed.
    """
    path = Path(path)
    path = path / "config.json" if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{path} is not a readable JSON file of training settings; name a run's config.json."
        ) from error
    if not isinstance(content, dict):
        raise TrainingError(f"{path} should hold one JSON object of training settings, got {type(content).__name__}.")
    try:
        return TrainConfig.from_dict(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def require_same_settings(folder: RunFolder, settings: Settings) -> None:
    """Refuse to mix two runs in one folder.

    Raises:
        TrainingError: the folder holds a run with other settings, or files of a run without its settings or state.
    """
    if not folder.contents():
        return
    if not folder.config.exists():
        raise TrainingError(f"{folder.path} holds {folder.contents()[0].name} but no config.json; name another --out.")
    before, now = load_config(folder.config).to_dict(), settings.identity()
    if differing := [f"{name} {before[name]!r}, now {value!r}" for name, value in now.items() if before[name] != value]:
        raise TrainingError(
            f"{folder.path} holds a run with other settings ({'; '.join(differing)}); "
            "name another --out, or --overwrite it."
        )
    if folder.last.exists() and not folder.state.exists():
        raise TrainingError(
            f"{folder.path} has no state.pt, so its run cannot go on; name another --out, or --overwrite it."
        )


def save_state(folder: RunFolder, state: Mapping[str, Any]) -> None:
    """Write what a continuation needs: plain values and tensors."""
    buffer = io.BytesIO()
    torch.save({"format": STATE_FORMAT, **state}, buffer)
    with files.written_atomically(folder.state) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_state(folder: RunFolder) -> dict[str, Any] | None:
    """What `save_state` wrote, on the CPU; None where nothing was written yet.

    Raises:
        TrainingError: the file is damaged or of another version.
    """
    if not folder.state.exists():
        return None
    try:
        state = torch.load(folder.state, map_location="cpu", weights_only=True)
        found = state["format"]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"{folder.state} is damaged, so its run cannot go on; name another --out, or --overwrite it."
        ) from error
    if found != STATE_FORMAT:
        raise TrainingError(
            f"{folder.state} has the format {found!r}, this version reads {STATE_FORMAT!r}; --overwrite it."
        )
    return dict(state)


def is_finished(path: str | Path) -> bool:
    """Whether the run in the folder `path` has nothing left to do."""
    state = load_state(RunFolder(Path(path)))
    return state is not None and bool(state["finished"])
