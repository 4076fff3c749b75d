from __future__ import annotations

import errno
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from landscape import names
from landscape.checkpoint_files import (
    bundled_folder,
    find_checkpoint,
    plain_value,
    read_checkpoint_file,
    run_checkpoints,
    write_checkpoint_file,
)
from landscape.errors import CheckpointError, FileError, InputError

STATE = {"weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)}


class RunsACommand:
    """Unpickled by a careless reader, this makes the file `mark`."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.mark}'",)


Writer = Callable[[Path, RunsACommand], None]


def pickled(protocol: int) -> Writer:
    def write(path: Path, bomb: RunsACommand) -> None:
        path.write_bytes(pickle.dumps({"weight": bomb}, protocol=protocol))

    return write


UNSAFE: dict[str, Writer] = {
    "whole module": lambda path, bomb: torch.save(nn.Linear(2, 2), path),
    "command": lambda path, bomb: torch.save({"state_dict": STATE, "note": bomb}, path),
    "command, format before torch 1.6": lambda path, bomb: torch.save(
        {"state_dict": STATE, "note": bomb}, path, _use_new_zipfile_serialization=False
    ),
    "numpy number": lambda path, bomb: torch.save({"state_dict": STATE, "accuracy": np.float64(0.5)}, path),
    "path": lambda path, bomb: torch.save({"state_dict": STATE, "folder": Path("runs")}, path),
    "plain pickle 2": pickled(2),
    "plain pickle 4": pickled(4),
    "plain pickle 5": pickled(5),
}


@pytest.mark.parametrize("writer", UNSAFE.values(), ids=UNSAFE)
def test_files_with_objects_are_refused_and_run_nothing(writer: Writer, tmp_path: Path) -> None:
    path, mark = tmp_path / "model.pt", tmp_path / "mark"
    writer(path, RunsACommand(mark))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointError) as caught:
            read_checkpoint_file(path)
    assert not mark.exists()
    assert str(caught.value) == (
        f"{path} holds Python objects that could run code when they are loaded, so it is not opened; save the weights "
        "alone with torch.save(model.state_dict(), 'weights.pt') where the file was made."
    )
    assert caught.value.__context__ is None  # torch's advice to use weights_only=False is not shown


def test_the_command_is_a_real_one(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = tmp_path / "model.pt"
    torch.save(RunsACommand(mark), path)
    torch.load(path, weights_only=False)
    assert mark.exists()


def test_text_pickle_is_not_even_opened_as_one(tmp_path: Path) -> None:
    path, mark = tmp_path / "model.pt", tmp_path / "mark"
    path.write_bytes(pickle.dumps(RunsACommand(mark), protocol=0))
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        read_checkpoint_file(path)
    assert not mark.exists()


@pytest.mark.parametrize("new", [True, False], ids=["zip", "format before torch 1.6"])
def test_plain_files_are_read(new: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    content = {"state_dict": STATE, "note": "text", "numbers": [1, 2.5, None, (True,)]}
    torch.save(content, path, _use_new_zipfile_serialization=new)
    found = read_checkpoint_file(path)
    assert found["numbers"] == content["numbers"]
    assert torch.equal(found["state_dict"]["weight"], STATE["weight"])


@pytest.mark.parametrize("new", [True, False], ids=["zip", "format before torch 1.6"])
def test_a_file_cut_anywhere_is_refused(new: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(STATE, path, _use_new_zipfile_serialization=new)
    whole = path.read_bytes()
    for length in [*range(2, 64, 7), *range(64, len(whole) - 1, 131)]:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"is damaged or cut off, so it cannot be read; copy it again\.$"):
            read_checkpoint_file(path)


OTHERS: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.pt", b"", r"a\.pt is empty; copy or train the checkpoint again\.$"),
    "text": (
        "a.pt",
        b"hello\n",
        r"a\.pt is not a checkpoint: expected a file written by torch\.save or a \.safetensors",
    ),
    "zip in name only": ("a.pt", b"PK and then text", r"is damaged or cut off"),
    "binary": ("a.pt", b"\x80\xff\x00\x01", r"is damaged or cut off"),
    "safetensors": ("a.safetensors", b"hello\n", r"is damaged or not a safetensors file; copy it again\.$"),
    "torch named safetensors": ("a.safetensors", b"PK\x03\x04" + bytes(99), r"is damaged or not a safetensors file"),
}


@pytest.mark.parametrize(("name", "content", "message"), OTHERS.values(), ids=OTHERS)
def test_other_files_are_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint_file(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[STATE], torch.zeros(2), {1: torch.zeros(2)}], ids=["list", "tensor", "numbers"])
def test_content_that_is_no_state_dict_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"holds a (list|Tensor|dict), expected a state dict; save the weights"):
        read_checkpoint_file(tmp_path / "model.pt")


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(STATE, path)
    found = read_checkpoint_file(path)
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint_file(path)


def test_folder_and_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^cannot read .*: Is a directory\.$"):
        read_checkpoint_file(tmp_path)
    with pytest.raises(CheckpointError, match=r"^cannot read .*: No such file or directory\.$"):
        read_checkpoint_file(tmp_path / "none.pt")


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    first = write_checkpoint_file(tmp_path / "a.pt", {"state_dict": STATE})
    second = write_checkpoint_file(tmp_path / "new" / "another.pt", {"state_dict": STATE})
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("place", ["write_bytes", "fsync", "replace"])
def test_a_full_disk_keeps_the_old_file(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_checkpoint_file(tmp_path / "model.pt", {"state_dict": STATE})
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path if place == "write_bytes" else os, place, full)
    with pytest.raises(FileError, match="No space left on device"):
        write_checkpoint_file(path, {"state_dict": {}})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_finds_files_run_folders_and_bundled_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, run = tmp_path / "bundle", tmp_path / "work" / "my-run"
    for path in (bundle / "digits-at.pt", run / "last.pt", tmp_path / "work" / "file.pth"):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"x")
    monkeypatch.setattr("landscape.checkpoint_files.bundled_folder", lambda: bundle)
    monkeypatch.chdir(tmp_path / "work")
    assert find_checkpoint("file.pth") == Path("file.pth")
    assert find_checkpoint(run) == run / "last.pt"
    assert find_checkpoint("digits-at") == bundle / "digits-at.pt"
    (tmp_path / "work" / "digits-at").mkdir()
    assert find_checkpoint("digits-at") == bundle / "digits-at.pt"
    (tmp_path / "work" / "digits-at" / "last.pt").write_bytes(b"x")
    assert find_checkpoint("digits-at") == Path("digits-at/last.pt")


MISSING = {
    "name": ("no-such", r"^there is no checkpoint no-such: give a file, a run folder, or a bundled name \(digits-at, "),
    "no run folder": (
        "runs/digits-at-awp",
        r"^there is no checkpoint runs/digits-at-awp: `landscape train --method at-awp --out runs/digits-at-awp` makes "
        r"a run folder of this name, and the bundled checkpoint is called digits-at-awp\.$",
    ),
    "inside the bundle": ("../bundle/digits-at", r"^there is no checkpoint \.\./bundle/digits-at"),
    "folder": ("folder", r"^folder is a folder without last\.pt, so it is no run folder; name a checkpoint file\.$"),
    "null byte": ("a\0b", r"^there is no checkpoint"),
    "long": ("a" * 5000, r"^there is no checkpoint"),
}


@pytest.mark.parametrize(("name", "message"), MISSING.values(), ids=MISSING)
def test_missing_checkpoints(name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        find_checkpoint(name)


def test_bundled_folder_of_a_clone() -> None:
    assert bundled_folder().name in ("bundled", "checkpoints")
    assert "digits-at" in names.BUNDLED


def write_epoch(path: Path, epoch: Any) -> None:
    write_checkpoint_file(path, {"format": "landscape-checkpoint/1", "training": {"epoch": epoch}})


def test_run_checkpoints_by_epoch_with_best_and_last(tmp_path: Path) -> None:
    for epoch in (100, 20, 3):
        write_epoch(tmp_path / f"epoch-{epoch:03d}.pt", epoch)
    write_epoch(tmp_path / "best.pt", 57)
    write_epoch(tmp_path / "last.pt", 100)  # the same weights as epoch-100.pt
    (tmp_path / "epoch-old.pt").write_bytes(b"")
    (tmp_path / "state.pt").write_bytes(b"")
    found = [(epoch, path.name) for epoch, path in run_checkpoints(tmp_path)]
    assert found == [(3, "epoch-003.pt"), (20, "epoch-020.pt"), (57, "best.pt"), (100, "epoch-100.pt")]


def test_run_with_a_last_state_only(tmp_path: Path) -> None:
    write_epoch(tmp_path / "last.pt", 4)
    assert run_checkpoints(tmp_path) == [(4, tmp_path / "last.pt")]


def test_wrong_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no checkpoints: expected epoch-NNN\.pt, best\.pt or last\.pt\.$"):
        run_checkpoints(tmp_path)
    with pytest.raises(CheckpointError, match=r"^there is no run folder .*none\.$"):
        run_checkpoints(tmp_path / "none")
    write_epoch(tmp_path / "last.pt", None)
    with pytest.raises(CheckpointError, match=r"last\.pt does not say its epoch"):
        run_checkpoints(tmp_path)


def test_plain_value_gives_exact_types() -> None:
    class Text(str):
        pass

    found = plain_value({"a": np.float64(0.5), "b": [np.int64(2), Text("t")], "c": (None, np.bool_(True))}, "training")
    assert found == {"a": 0.5, "b": [2, "t"], "c": [None, True]}
    assert [type(entry) for entry in (found["a"], *found["b"], *found["c"])] == [float, int, str, type(None), bool]


NOT_PLAIN: dict[str, tuple[Any, str]] = {
    "path": ({"a": [1, Path("x")]}, r"^training\['a'\]\[1\] of a checkpoint should be a plain value, got PosixPath;"),
    "tensor": ({"a": torch.zeros(2)}, r"^training\['a'\] .*, got Tensor;"),
    "array": (np.zeros(2), r"^training .*, got ndarray;"),
    "key": ({1: 2}, r"^training .*, got dict;"),
}


@pytest.mark.parametrize(("value", "message"), NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_values_that_are_not_plain_are_refused(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plain_value(value, "training")
