from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.analysis.synthetic import make_surface
from tests.cli.calling import Call, calling, stored
from tests.surfaces.test_foreign import X, Y, write_theirs


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)
    return calling(capsys)


@pytest.fixture
def key(tmp_path: Path) -> str:
    """A stored surface of which half the points are there."""
    surface = make_surface(num_directions=2, num_examples=5, grid="-1:1:3", missing=((1, 0), (1, 1)))
    return stored(surface, tmp_path / "cache", finish=False)


@pytest.mark.parametrize("name", ["a.csv", "a.npz", "a.vtp"])
def test_a_surface_is_exported_by_the_start_of_its_key(call: Call, key: str, tmp_path: Path, name: str) -> None:
    code, out, _ = call("cache", "export", key[:8], "--to", name)
    assert (code, out) == (0, f"digits-at, {key[:12]} (5 of 7 points are done): {name}\n")
    assert (tmp_path / name).stat().st_size > 100


def test_a_file_is_exported_too(call: Call, key: str, tmp_path: Path) -> None:
    call("cache", "merge", key)
    code, _, _ = call("cache", "export", tmp_path / "cache" / f"{key}.h5", "--to", "deep/a.csv", "--by-example")
    assert code == 0 and (tmp_path / "deep" / "a.csv").read_text().count("\n") == 1 + 5 * 5


def test_export_refuses_in_one_sentence(call: Call, key: str) -> None:
    assert call("cache", "export", key, "--to", "a.vts")[0] == 1
    code, _, err = call("cache", "export", "nothing", "--to", "a.csv")
    assert code == 1 and "has a key that begins with 'nothing'" in err
    assert call("cache", "export", key)[0] == 2


def test_an_imported_surface_is_drawn_with_its_foreign_origin(call: Call, tmp_path: Path) -> None:
    write_theirs(tmp_path / "vgg9.h5", Y, missing=(0,), train_loss=lambda a, b: a * a, train_acc=lambda a, b: 90 - a)
    code, out, _ = call("cache", "import", "vgg9.h5", "--label", "VGG-9")
    assert code == 0 and "train_loss: 4 of 5 points done, 1 missing, 0 not finite" in out
    (path,) = (tmp_path / "cache" / "imported").iterdir()
    assert out.rstrip().endswith(f"landscape plot {path}")
    code, out, _ = call("plot", path)
    assert code == 0 and "Foreign: computed by tomgoldstein/loss-landscape" in out
    assert "figure   VGG-9-plot.png" in out and (tmp_path / "VGG-9-plot.png").stat().st_size > 10_000
    code, out, _ = call("plot", path, "--json", "--out", "b.svg")
    assert json.loads(out)["surfaces"][0]["foreign"] is True
    assert "VGG-9" in call("cache", "list")[1]


def test_imported_and_own_surfaces_are_not_mixed(call: Call, key: str, tmp_path: Path) -> None:
    call("cache", "merge", key)
    call("cache", "import", write_theirs(tmp_path / "a.h5", X, train_loss=lambda a, b: a * a))
    (path,) = (tmp_path / "cache" / "imported").iterdir()
    code, _, err = call("plot", path, tmp_path / "cache" / f"{key}.h5")
    assert code == 1 and "imported surfaces have means only and are not compared with others" in err


def test_torch_is_not_imported() -> None:
    code = (
        "import sys, landscape.surfaces.export, landscape.surfaces.foreign, landscape.analysis.foreign_figure, "
        "landscape.surfaces.evidence; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
