from __future__ import annotations

import dataclasses
import hashlib
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from landscape.datasets import cifar10, cifar100, download
from landscape.datasets.registry import load_examples
from landscape.errors import DataError, FileError, InputError
from tests.datasets.layouts import (
    CIFAR100_RECORDS,
    CIFAR_FILES,
    RECORDS,
    all_files,
    cifar_archive,
    serving,
    write_cifar10,
    write_cifar100,
    write_mnist,
    write_svhn,
)

TAR = "cifar-10-binary.tar.gz"


@pytest.fixture(autouse=True)
def _loopback_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(cifar10, "RECORDS_PER_FILE", RECORDS)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of both data sets as they are published, small, with their hashes known to the package."""
    folder = tmp_path / "published"
    write_mnist(folder, zipped=True)
    write_cifar10(tmp_path / "original")
    publish_cifar10(folder, cifar_archive(tmp_path / "original"), monkeypatch)
    hashes = {path.name: md5(path) for path in folder.glob("*ubyte.gz")}
    known(monkeypatch, "mnist", hashes)
    return folder


def md5(path: Path) -> str:
    return "md5:" + hashlib.md5(path.read_bytes()).hexdigest()


def known(monkeypatch: pytest.MonkeyPatch, name: str, hashes: dict[str, str]) -> None:
    changed = dataclasses.replace(download.DOWNLOADS[name], hashes=hashes)
    monkeypatch.setitem(download.DOWNLOADS, name, changed)


def publish_cifar10(folder: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / TAR).write_bytes(archive)
    known(monkeypatch, "cifar10", {TAR: md5(folder / TAR)})


def test_the_published_hashes() -> None:
    assert set(download.DOWNLOADS) == {"cifar10", "cifar100", "svhn", "mnist"}
    for name, entry in download.DOWNLOADS.items():
        assert entry.base.startswith("http://ufldl.stanford.edu/" if name == "svhn" else "https://")
        assert all(value.startswith("md5:") and len(value) == 36 for value in entry.hashes.values())


def test_cifar10(tmp_path: Path, published: Path) -> None:
    data = tmp_path / "data"
    with serving(published) as mirror:
        place = download.fetch("cifar10", data_dir=data, mirror=mirror + "/")
    assert place == data / "cifar-10-batches-bin"
    assert all_files(data) == sorted(f"cifar-10-batches-bin/{name}" for name in CIFAR_FILES)
    for name in CIFAR_FILES:
        assert (place / name).read_bytes() == (tmp_path / "original" / name).read_bytes()
    assert len(load_examples("cifar10", data_dir=data)) == 5 * RECORDS


def test_mnist(tmp_path: Path, published: Path) -> None:
    data = tmp_path / "data"
    with serving(published) as mirror:
        assert download.fetch("mnist", data_dir=data, mirror=mirror) == data / "mnist"
    assert len(all_files(data)) == 4
    assert len(load_examples("mnist", data_dir=data)) == 30
    assert (data / "mnist" / "t10k-labels-idx1-ubyte.gz").stat().st_mode & 0o400


def test_cifar100(tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write_cifar100(tmp_path / "cifar100")
    archive = cifar_archive(tmp_path / "cifar100", prefix="cifar-100-binary/", names=("train.bin", "test.bin"))
    (published / "cifar-100-binary.tar.gz").write_bytes(archive)
    known(monkeypatch, "cifar100", {"cifar-100-binary.tar.gz": md5(published / "cifar-100-binary.tar.gz")})
    monkeypatch.setattr(cifar100, "RECORDS", CIFAR100_RECORDS)
    data = tmp_path / "data"
    with serving(published) as mirror:
        assert download.fetch("cifar100", data_dir=data, mirror=mirror) == data / "cifar-100-binary"
    assert load_examples("cifar100", data_dir=data).labels.tolist() == content["train"][:, 1].tolist()
    assert download.fetch("cifar100", data_dir=data, mirror="http://127.0.0.1:9") is None


def test_svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_svhn(tmp_path / "svhn")
    known(monkeypatch, "svhn", {path.name: md5(path) for path in (tmp_path / "svhn").iterdir()})
    data = tmp_path / "data"
    with serving(tmp_path / "svhn") as mirror:
        assert download.fetch("svhn", data_dir=data, mirror=mirror) == data / "svhn"
    assert len(load_examples("svhn", data_dir=data)) == 30
    (data / "svhn" / "test_32x32.mat").write_bytes(b"cut")
    with serving(tmp_path / "svhn") as mirror:
        assert download.fetch("svhn", data_dir=data, mirror=mirror) == data / "svhn"
    assert download.fetch("svhn", data_dir=data, mirror="http://127.0.0.1:9") is None


def test_a_second_fetch_needs_no_server(tmp_path: Path, published: Path) -> None:
    with serving(published) as mirror:
        download.fetch("mnist", data_dir=tmp_path / "data", mirror=mirror)
    assert download.fetch("mnist", data_dir=tmp_path / "data", mirror="http://127.0.0.1:9") is None
    assert download.fetch("digits", data_dir=tmp_path / "data") is None


def test_a_truncated_copy_is_replaced(tmp_path: Path, published: Path) -> None:
    data = tmp_path / "data"
    write_cifar10(data / "cifar-10-batches-bin", records=RECORDS - 1)
    with serving(published) as mirror:
        download.fetch("cifar10", data_dir=data, mirror=mirror)
    assert len(load_examples("cifar10", data_dir=data)) == 5 * RECORDS


@pytest.mark.parametrize("below", ["", "mnist"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_damaged_copy_is_replaced(tmp_path: Path, published: Path, below: str, suffix: str) -> None:
    data = tmp_path / "data"
    write_mnist(data / below, zipped=bool(suffix))
    (data / below / f"train-images-idx3-ubyte{suffix}").write_bytes(b"cut")
    with serving(published) as mirror:
        assert download.fetch("mnist", data_dir=data, mirror=mirror) == data / "mnist"
    assert len(load_examples("mnist", data_dir=data)) == 30


def test_a_server_that_hangs_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(answer_half, server)
        with pytest.raises(DataError, match=r"broke off|no connection|its hash differs"):
            download.fetch("mnist", data_dir=tmp_path / "data", mirror=f"http://127.0.0.1:{server.getsockname()[1]}")
    assert all_files(tmp_path / "data") == []


def answer_half(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_wrong_hash(tmp_path: Path, published: Path, name: str) -> None:
    last = next(reversed(download.DOWNLOADS[name].hashes))
    (published / last).write_bytes(b"something else")
    with (
        serving(published) as mirror,
        pytest.raises(DataError, match=f"{last} is not the published file: its hash differs"),
    ):
        download.fetch(name, data_dir=tmp_path / "data", mirror=mirror)
    assert all_files(tmp_path / "data") == []


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_404(tmp_path: Path, published: Path, name: str) -> None:
    (published / next(reversed(download.DOWNLOADS[name].hashes))).unlink()
    with (
        serving(published) as mirror,
        pytest.raises(DataError, match=r"downloaded: the server answered 404 .*--mirror"),
    ):
        download.fetch(name, data_dir=tmp_path / "data", mirror=mirror)
    assert all_files(tmp_path / "data") == []


def test_refused_connection(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match="cannot be downloaded: no connection; check the network"):
        download.fetch("mnist", data_dir=tmp_path / "data", mirror=f"http://127.0.0.1:{port}")
    assert all_files(tmp_path / "data") == []


def test_nothing_outside_the_expected_members_is_written(
    tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"../../escaped.bin": b"x", "/tmp/landscape-escaped.bin": b"x", "cifar-10-batches-bin/readme.html": b"x"}
    publish_cifar10(published, cifar_archive(tmp_path / "original", extra=extra), monkeypatch)
    before = set(all_files(tmp_path))
    with serving(published) as mirror:
        download.fetch("cifar10", data_dir=tmp_path / "data", mirror=mirror)
    added = set(all_files(tmp_path)) - before
    assert added == {f"data/cifar-10-batches-bin/{name}" for name in CIFAR_FILES}
    assert not Path("/tmp/landscape-escaped.bin").exists()


def test_an_archive_without_the_members(tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_cifar10(published, cifar_archive(tmp_path / "original", prefix="other/"), monkeypatch)
    with (
        serving(published) as mirror,
        pytest.raises(DataError, match=r"must hold cifar-10-batches-bin/data_batch_1\.bin"),
    ):
        download.fetch("cifar10", data_dir=tmp_path / "data", mirror=mirror)
    assert all_files(tmp_path / "data") == []


@pytest.mark.parametrize(
    ("name", "mirror", "message"),
    [
        ("arrays", None, "your own files, so there is nothing to fetch"),
        ("mine.npz", None, "your own files, so there is nothing to fetch"),
        ("svhm", None, "the data set is one of"),
        ("mnist", "ftp://example.org", "a mirror is an address such as https://example.org/data, got 'ftp:"),
        ("mnist", "/home/me", "a mirror is an address"),
    ],
    ids=["arrays", "path", "unknown", "ftp", "folder"],
)
def test_wrong_calls(tmp_path: Path, name: str, mirror: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        download.fetch(name, data_dir=None if name == "mine.npz" else tmp_path, mirror=mirror)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileError, match="cannot write in"):
        download.fetch("mnist", data_dir=tmp_path / "file", mirror="http://127.0.0.1:9")


def test_progress_is_told_of_every_file(tmp_path: Path, published: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    with serving(published) as mirror:
        download.fetch("mnist", data_dir=tmp_path / "data", mirror=mirror, progress=lambda *news: told.append(news))
    sizes = {path.name: path.stat().st_size for path in published.glob("*ubyte.gz")}
    assert {file: (done, total) for file, done, total in told} == {file: (size, size) for file, size in sizes.items()}
