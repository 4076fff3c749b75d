"""Fetching published data sets: known files, known hashes, and nothing left behind when something fails."""

from __future__ import annotations

import logging
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape import files
from landscape.datasets import cifar10, cifar100, mnist, svhn
from landscape.datasets.registry import data_place, reader
from landscape.datasets.source import Reader
from landscape.errors import DataError, FileError, InputError
from landscape.names import SPLITS

TIMEOUT = 30
"""Seconds without a byte after which a server counts as gone."""

CHUNK = 1 << 16
"""Bytes read at once."""

Progress = Callable[[str, int, int | None], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Download:
    """Where the files of a data set are published.

    Attributes:
        base: address of the folder of the files.
        hashes: file name to its known hash, as "algorithm:hexadecimal".
        folder: folder, inside the data folder, that the files end up in.
        members: for an archive, names of the files that are taken out of it; nothing else ever is.
    """

    base: str
    hashes: dict[str, str]
    folder: str
    members: tuple[str, ...] = ()


DOWNLOADS = {
    "cifar10": Download(
        base="https://www.cs.toronto.edu/~kriz",
        hashes={"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"},
        folder=cifar10.FOLDER,
        members=cifar10.FILES["train"] + cifar10.FILES["test"],
    ),
    "cifar100": Download(
        base="https://www.cs.toronto.edu/~kriz",
        hashes={"cifar-100-binary.tar.gz": "md5:03b5dce01913d631647c71ecec9e9cb8"},
        folder=cifar100.FOLDER,
        members=tuple(cifar100.FILES.values()),
    ),
    "svhn": Download(
        # Published without https; the hashes say whether the files are the published ones.
        base="http://ufldl.stanford.edu/housenumbers",
        hashes={
            "train_32x32.mat": "md5:e26dedcc434d2e4c54c9b2d4a06d8373",
            "test_32x32.mat": "md5:eb5a983be6a315427106f1b164d9cef3",
        },
        folder=svhn.FOLDER,
    ),
    "mnist": Download(
        base="https://ossci-datasets.s3.amazonaws.com/mnist",
        hashes={
            "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
        },
        folder=mnist.FOLDERS[0],
    ),
}


def fetch(
    name: str,
    *,
    data_dir: str | Path | None = None,
    mirror: str | None = None,
    progress: Progress | None = None,
) -> Path | None:
    """Download a data set into the data folder; every file is checked before the first is put in its place.

    Args:
        name: name of the data set.
        data_dir: folder of the data; None for `$LANDSCAPE_DATA` or its default.
        mirror: address of a folder that holds the same files; None for the published one.
        progress: called as bytes arrive, with the file's name, the bytes so far and their total (None if unknown).

    Returns:
        The folder of the files; None if they were there already, undamaged.

    Raises:
        InputError: the data set is unknown or the user's own, or the mirror is no http address.
        DataError: a file cannot be had or is not the published one.
        FileError: the folder cannot be written.
    """
    name, folder = data_place(name, "." if name == "arrays" else data_dir)
    if name == "arrays":
        raise InputError("arrays are your own files, so there is nothing to fetch; name their path with --data-dir.")
    if _is_whole(reader(name), folder):
        return None
    if name not in DOWNLOADS:
        raise DataError(f"{name} cannot be fetched: it comes with {reader(name).expected(folder)}.")
    download = DOWNLOADS[name]
    base = (mirror or download.base).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise InputError(f"a mirror is an address such as https://example.org/data, got {mirror!r}.")
    files.require_writable(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        fetched = [
            _retrieve(f"{base}/{file}", known, Path(scratch), progress) for file, known in download.hashes.items()
        ]
        if download.members:
            fetched = _extracted(fetched[0], download, Path(scratch))
        return _put(fetched, folder / download.folder)


def _is_whole(source: Reader, folder: Path) -> bool:
    if source.located(folder) is None:
        return False
    try:
        for split in SPLITS:
            source.open_split(folder, split)
    except DataError:
        return False
    return True


def _retrieve(url: str, known_hash: str, folder: Path, progress: Progress | None) -> Path:
    import pooch
    import requests

    _log.info("downloading %s", url)
    file = url.rsplit("/", 1)[1]

    def downloader(address: str, out: str, _: Any) -> None:
        # Not pooch's own: that one leaves the connection open when the server answers with an error.
        with requests.get(address, stream=True, timeout=TIMEOUT) as response, open(out, "wb") as stream:
            response.raise_for_status()
            total = int(response.headers.get("content-length", 0)) or None
            for chunk in response.iter_content(CHUNK):
                stream.write(chunk)
                if progress is not None:
                    progress(file, stream.tell(), total)

    try:
        return Path(pooch.retrieve(url, known_hash, fname=file, path=folder, downloader=downloader))
    except requests.RequestException as error:
        raise DataError(
            f"{url} cannot be downloaded: {_cause(error)}; check the network or name another place with --mirror."
        ) from error
    except ValueError as error:
        raise DataError(
            f"{url} is not the published file: its hash differs from {known_hash}; "
            "nothing was kept, try again or name another place with --mirror."
        ) from error
    except OSError as error:
        raise FileError(f"cannot write in {folder.parent}: {error.strerror or error}; make room.") from error


def _cause(error: Any) -> str:
    if error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    causes = {
        "ConnectionError": "no connection",
        "ConnectTimeout": "no answer",
        "ReadTimeout": "no answer",
        "ProxyError": "the proxy gives no connection",
        "SSLError": "the server's certificate is not trusted",
        "InvalidURL": "that is no address",
    }
    return causes.get(type(error).__name__, "the connection broke off")


def _extracted(archive: Path, download: Download, scratch: Path) -> list[Path]:
    """The expected members of a tar file, by their full names and as plain files; no path in the archive is used."""
    target = scratch / "members"
    target.mkdir()
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for name in download.members:
                content = tar.extractfile(f"{download.folder}/{name}")
                if content is None:
                    raise KeyError(name)
                with content, open(target / name, "xb") as out:
                    shutil.copyfileobj(content, out)
    except (KeyError, tarfile.TarError, EOFError) as error:
        raise DataError(
            f"the archive {archive.name} must hold {download.folder}/{download.members[0]} and its like as plain "
            "files; nothing was kept, name another place with --mirror."
        ) from error
    except OSError as error:
        raise FileError(f"cannot write in {scratch.parent}: {error.strerror or error}; make room.") from error
    return [target / name for name in download.members]


def _put(fetched: list[Path], place: Path) -> Path:
    for path in fetched:
        with files.written_atomically(place / path.name) as temporary:
            shutil.copyfile(path, temporary)
    return place
