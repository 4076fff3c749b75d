from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from landscape.errors import FileError
from landscape.files import canonical_json, open_regular, parse_json, remove_file, written_atomically


@pytest.mark.parametrize("value", [{"b": [1, 2.5, None], "a": "\u00e9\ud800"}, [], 3, "x", [[[1]]]], ids=str)
def test_json_comes_back(value: Any) -> None:
    assert parse_json(canonical_json(value)) == value
    assert parse_json(canonical_json(value).encode()) == value


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[-Infinity]", '{"a": 1e400}', "[" * 65 + "]" * 65, '{"a":' * 900 + "1" + "}" * 900, "[" * 10**6],
    ids=["empty", "cut", "NaN", "infinite", "overflow", "65 deep", "900 deep", "very deep"],
)
def test_what_canonical_json_would_not_write_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_bytes_that_are_no_text_are_not_read() -> None:
    with pytest.raises(ValueError, match="codec"):
        parse_json(b"\xff")


def test_a_regular_file_is_opened_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        with open_regular(tmp_path / name) as stream:
            assert stream.read() == b"content"


@pytest.mark.parametrize(
    ("name", "error"),
    [("pipe", errno.EINVAL), ("folder", errno.EISDIR), ("none", errno.ENOENT), ("device", errno.EINVAL)],
)
def test_what_would_wait_or_is_not_there_is_not_opened(tmp_path: Path, name: str, error: int) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    with pytest.raises(OSError, match=r".") as caught:
        open_regular(tmp_path / name)
    assert caught.value.errno == error


def test_removing_is_final_and_may_come_late(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    remove_file(tmp_path / "file")
    remove_file(tmp_path / "file")
    with pytest.raises(FileError, match=r"cannot remove .*; remove it or name another folder\.$"):
        remove_file(tmp_path)


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with written_atomically(path) as new:
            new.write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(FileError, match=r"cannot write .*: No space left on device"):
        write_half()
    assert [place.read_text() for place in tmp_path.iterdir()] == ["old"]
