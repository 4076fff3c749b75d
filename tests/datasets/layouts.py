"""Small data sets in their official layouts, and a server of files on loopback."""

from __future__ import annotations

import contextlib
import functools
import gzip
import http.server
import io
import struct
import tarfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io

RECORDS = 20
CIFAR100_RECORDS = {"train": 30, "test": 12}
CIFAR_FILES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
MNIST_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def cifar_records(number: int, records: int = RECORDS) -> npt.NDArray[np.uint8]:
    generator = np.random.default_rng(number)
    rows = generator.integers(0, 256, (records, 3073), dtype=np.uint8)
    rows[:, 0] %= 10
    return rows


def write_cifar10(folder: Path, records: int = RECORDS) -> dict[str, npt.NDArray[np.uint8]]:
    """The six files in `folder`; returns their records (n, 3073) by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {name: cifar_records(number, records) for number, name in enumerate(CIFAR_FILES)}
    for name, rows in content.items():
        (folder / name).write_bytes(rows.tobytes())
    return content


def write_cifar100(folder: Path) -> dict[str, npt.NDArray[np.uint8]]:
    """The two files in `folder`; returns their records (n, 3074) by split."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {}
    for split, count in CIFAR100_RECORDS.items():
        rows = np.random.default_rng(count).integers(0, 256, (count, 3074), dtype=np.uint8)
        rows[:, 0] %= 20
        rows[:, 1] %= 100
        (folder / f"{split}.bin").write_bytes(rows.tobytes())
        content[split] = rows
    return content


def write_svhn(folder: Path) -> dict[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """The two files in `folder`; returns images (32, 32, 3, n) and labels (n, 1) from 1 to 10 by split."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {}
    for split, count in {"train": 30, "test": 12}.items():
        images = np.random.default_rng(count).integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        labels = (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]
        scipy.io.savemat(folder / f"{split}_32x32.mat", {"X": images, "y": labels}, do_compression=True)
        content[split] = (images, labels)
    return content


def cifar_archive(
    folder: Path,
    prefix: str = "cifar-10-batches-bin/",
    extra: dict[str, bytes] | None = None,
    names: Sequence[str] = CIFAR_FILES,
) -> bytes:
    """A tar.gz of the files in `folder` and of `extra` members, whose names are taken as they are."""
    stream = io.BytesIO()
    members = {prefix + name: (folder / name).read_bytes() for name in names} | (extra or {})
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def idx(array: npt.NDArray[np.uint8]) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder: Path, *, zipped: bool, counts: tuple[int, int] = (30, 12)) -> dict[str, Any]:
    """The four files in `folder`; returns (images, labels) by split."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {}
    for (split, names), count in zip(MNIST_FILES.items(), counts, strict=True):
        generator = np.random.default_rng(count)
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = generator.integers(0, 10, count, dtype=np.uint8)
        content[split] = (images, labels)
        for name, array in zip(names, (images, labels), strict=True):
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (folder / name).write_bytes(idx(array))
    return content


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        pass

    def log_error(self, *arguments: Any) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a server of the files in `folder`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Silent, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def all_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
