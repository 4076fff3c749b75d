"""Files: default places, atomic writes, digests and locks. Nothing here knows what the files hold."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from landscape.errors import FileError

_DEEPEST_JSON = 64


def cache_folder() -> Path:
    """The folder for surfaces: `$LANDSCAPE_CACHE`, else `$XDG_CACHE_HOME/landscape`, else `~/.cache/landscape`."""
    if own := os.environ.get("LANDSCAPE_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "landscape"


def data_folder() -> Path:
    """The folder for data sets: `$LANDSCAPE_DATA`, else `data` in the cache folder."""
    own = os.environ.get("LANDSCAPE_DATA")
    return Path(own).expanduser() if own else cache_folder() / "data"


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`; when the block succeeds, its bytes are flushed to disk and take `path`'s place.

    A reader sees the old file or the new one, never a part; when the block fails, the old file stays and nothing is
    left behind.

    Raises:
        FileError: the folder cannot be made, or the file cannot be written.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
        sync_folder(path.parent)
    except OSError as error:
        raise FileError(f"cannot write {path}: {reason_of(error)}; name another place or make room.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with written_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def require_writable(folder: Path) -> None:
    """Make `folder` if needed and prove that a file can be written there, before hours are spent.

    Raises:
        FileError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-") as probe:
            probe.write(b"\0")
            probe.flush()
    except OSError as error:
        raise FileError(f"cannot write in {folder}: {reason_of(error)}; name another folder or make room.") from error


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; unlike `open` it never waits, as a pipe or a device in the place of a file would.

    Raises:
        OSError: there is no such file, it cannot be read, or it is no regular file.
    """
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return open(path, "rb")


def remove_file(path: Path) -> None:
    """Delete a file that may be gone already.

    Raises:
        FileError: it cannot be deleted.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(f"cannot remove {path}: {reason_of(error)}; remove it or name another folder.") from error


def sync_folder(folder: Path) -> None:
    """Make new, renamed and deleted names in a folder survive the loss of power.

    Raises:
        OSError: the disk is full or gone.
    """
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def reason_of(error: OSError) -> str:
    """What the operating system says, as the middle of a sentence."""
    return (error.strerror or str(error)).rstrip(".")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` for the block; the operating system frees it when the process dies."""
    import filelock

    lock = filelock.FileLock(str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise FileError(f"cannot lock {path}: {reason_of(error)}.") from error
    try:
        yield
    finally:
        lock.release()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values have equal text. NaN and infinities are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def parse_json(text: str | bytes) -> Any:
    """The value whose text this is: whatever it gives back, `canonical_json` takes.

    Raises:
        ValueError: no JSON, or with NaN, infinities, or nesting beyond what any file of this package has.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    level = [value]
    for _ in range(_DEEPEST_JSON):
        level = [part for outer in level for part in _parts(outer)]
    if level:
        raise ValueError("it is nested too deeply")
    canonical_json(value)
    return value


def digest_json(value: Any) -> str:
    """sha256 of the canonical JSON of `value`, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """sha256 over the names, shapes, dtypes and bytes of `arrays`, in the order of their names, in hexadecimal."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(canonical_json([name, list(array.shape), array.dtype.str]).encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def digest_file(path: Path) -> str:
    """sha256 of the bytes of a file, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
