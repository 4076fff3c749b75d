from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from landscape.cli import data
from landscape.cli.main import main
from landscape.datasets import download
from tests.datasets.layouts import serving, write_mnist


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["data", *arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.fixture(autouse=True)
def _own_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_list(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_mnist(tmp_path / "data" / "mnist", zipped=True)
    assert run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split() for line in lines}
    assert list(rows) == ["name", "digits", "cifar10", "cifar100", "svhn", "mnist", "arrays"]
    assert rows["digits"][1:4] == ["10", "1x8x8", "present"]
    assert rows["cifar10"][1:] == ["10", "3x32x32", "missing", str(tmp_path / "data")]
    assert rows["mnist"][1:] == ["10", "1x28x28", "present", str(tmp_path / "data" / "mnist")]
    assert "--data-dir PATH" in lines[-1]


def test_list_of_another_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("list", "--data-dir", str(tmp_path / "other")) == 0
    assert f"missing  {tmp_path / 'other'}" in capsys.readouterr().out


def test_fetch_from_a_mirror(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(tmp_path / "published", zipped=True)
    hashes = {
        path.name: "md5:" + hashlib.md5(path.read_bytes()).hexdigest() for path in (tmp_path / "published").iterdir()
    }
    entry = download.Download(base="https://example.org", hashes=hashes, folder="mnist")
    monkeypatch.setitem(download.DOWNLOADS, "mnist", entry)
    with serving(tmp_path / "published") as mirror:
        assert run("fetch", "mnist", "--mirror", mirror) == 0
    place = tmp_path / "data" / "mnist"
    assert capsys.readouterr() == (f"mnist is in {place}\n", "")
    assert run("fetch", "mnist") == 0
    assert capsys.readouterr().out == f"mnist is there already: {place}\n"


def test_fetch_failure_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    with serving(tmp_path / "published") as mirror:
        assert run("fetch", "cifar10", "--mirror", mirror) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: http://127.0.0.1")
    assert "the server answered 404" in err
    assert err.count("\n") == 1
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["fetch", "svhm"], 2, "'svhm' is not one of"),
        (["fetch"], 2, "Missing argument"),
        (["fetch", "arrays"], 1, "nothing to fetch"),
        (["fetch", "digits"], 0, "digits is there already"),
    ],
    ids=["unknown", "no-name", "arrays", "digits"],
)
def test_calls(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, text: str) -> None:
    assert run(*arguments) == code
    assert text in "".join(capsys.readouterr())


def test_the_bar_shows_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    with data._progress(shown=True) as bar:
        assert bar is not None
        for file in ("one.gz", "two.gz"):
            bar(file, 500_000, 2_000_000)
            bar(file, 2_000_000, None)
    with data._progress(shown=False) as none:
        assert none is None
    assert capsys.readouterr().out == ""


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from landscape.cli import data;"
        "print([name for name in ('torch', 'numpy', 'pooch', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
