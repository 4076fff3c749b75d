from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from landscape.cli.plot import command
from landscape.cli.report import figure_path, report_curves
from landscape.errors import FileError, InputError, SurfaceError, TrainingError
from landscape.surfaces.store import load_surface
from landscape.surfaces.surface import Surface
from landscape.training.history import Row, write_history
from tests.analysis.synthetic import make_surface
from tests.cli.calling import stored

Store = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Writes a synthetic surface as `landscape plot-1d` would, and gives back its file."""

    def write(**changes: Any) -> Path:
        surface = make_surface(**{"num_directions": 3, "num_examples": 20, **changes})
        return tmp_path / "cache" / f"{stored(surface, tmp_path / 'cache')}.h5"

    return write


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def test_redraws_two_surfaces_with_tables(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    at, awp = store(label="at", weights="a", sharpness=8.0), store(label="awp", weights="b", sharpness=4.0)
    result = run(at, awp)
    assert result.exit_code == 0
    assert (tmp_path / "at-and-awp-plot.png").read_bytes().startswith(b"\x89PNG")
    assert "at: adversarial loss g(0) = " in result.output
    assert "awp is flatter than at at r = 0.5 by" in result.output
    assert "paired over 3 directions, 20 examples" in result.output
    assert result.output.splitlines()[-3:] == [
        "figure   at-and-awp-plot.png",
        f"surface  {at}",
        f"surface  {awp}",
    ]
    assert run(at, awp).output == result.output


def test_json_holds_the_numbers_unrounded(store: Store, tmp_path: Path) -> None:
    path = store(label="at", not_finite=((0, 20),))
    result = run(path, "--json", "--quantity", "robust-error", "--out", tmp_path / "figure.svg")
    content = json.loads(result.output)
    surface = load_surface(path)
    assert content["quantity"] == "robust-error"
    assert content["figure"] == str(tmp_path / "figure.svg")
    assert content["surfaces"] == [str(path)]
    (curve,) = content["curves"]
    assert curve["num_not_finite"] == 1
    assert curve["mean"][0] == pytest.approx(surface.mean("robust-error")[:, 0].mean())
    assert curve["spec"] == surface.spec
    assert (tmp_path / "figure.svg").exists()


@pytest.mark.parametrize("suffix", [".jpg", "", ".png.txt"])
def test_other_suffixes_are_refused_before_anything_is_written(store: Store, tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match=r"written as \.png, \.pdf or \.svg"):
        run(store(), "--out", tmp_path / f"figure{suffix}")
    assert not list(tmp_path.glob("figure*"))


def test_a_file_that_is_no_surface_is_a_known_failure(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no surface")
    for name, failure in (("text.h5", SurfaceError), ("absent.h5", FileError)):
        with pytest.raises(failure, match=name):
            run(tmp_path / name, "--out", tmp_path / "figure.png")
    assert not (tmp_path / "figure.png").exists()


@pytest.mark.parametrize("arguments", [[], ["file.h5", "--quantity", "accuracy"]], ids=["no file", "quantity"])
def test_wrong_calls_exit_with_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_a_figure_that_fails_does_not_cost_the_tables(store: Store, tmp_path: Path, form: tuple[str, ...]) -> None:
    (tmp_path / "figure.png").mkdir()
    path = store(label="at")
    result = CliRunner().invoke(command, [str(path), "--out", str(tmp_path / "figure.png"), *form])
    assert isinstance(result.exception, FileError)
    if form:
        content = json.loads(result.output)
        assert content["figure"] is None
        assert content["curves"][0]["rises"]
    else:
        assert "at: adversarial loss g(0) = " in result.output
        assert result.output.splitlines()[-1] == f"surface  {path}"
        assert "figure   " not in result.output


CLEAN: dict[str, Any] = {"objective": "clean", "attack": {"name": "none"}}


def test_robust_error_without_attack_is_refused(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "figure.png"
    with pytest.raises(InputError, match="robust-error needs an attack, but nothing was attacked in at; take natural"):
        run(store(label="at", **CLEAN), "--quantity", "robust-error", "--out", out)
    assert not out.exists()
    assert "natural accuracy" in run(store(label="at", **CLEAN), "--out", out).output


def test_a_control_of_the_same_checkpoint_is_named_and_not_judged(store: Store, tmp_path: Path) -> None:
    files = [store(label="at"), store(label="at", objective="fixed", sharpness=4.0)]
    output = run(*files, "--out", tmp_path / "figure.png").output
    assert "flatter" not in output and "measured differently" not in output
    assert "at: fixed underestimates the rise at r = 0.5 by " in output
    assert (
        "measured in the same way: there is no difference." in run(*files[:1] * 2, "--out", tmp_path / "f.png").output
    )


def test_tables_stand_below_their_settings(store: Store, tmp_path: Path) -> None:
    first = run(store(label="at"), "--out", tmp_path / "figure.png").output.splitlines()[0]
    for setting in ("PGD-10, L∞, ε = 0.15", "attacked anew", "20 of digits train", "3 random Gaussian", "directions 0"):
        assert setting in first


def test_torch_is_not_imported(store: Store, tmp_path: Path) -> None:
    code = (
        "import sys; from landscape.cli.plot import command; command(sys.argv[1:], standalone_mode=False); "
        "print('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    call = [sys.executable, "-c", code, str(store()), "--out", str(tmp_path / "figure.png")]
    result = subprocess.run(call, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False False"


@pytest.mark.parametrize(
    ("out", "titles", "expected"),
    [
        (None, "digits-at", "digits-at-plot-1d.png"),
        (None, ["a run/last", "b"], "a-run-last-and-b-plot-1d.png"),
        (None, ["a", "b", "c", "a"], "a-and-2-more-plot-1d.png"),
        (None, "../..", "surface-plot-1d.png"),
        ("some/where.pdf", "digits-at", "some/where.pdf"),
    ],
)
def test_default_names_of_figures(out: str | None, titles: str | list[str], expected: str) -> None:
    assert figure_path(out, titles, "plot-1d") == Path(expected)


def series(epochs: list[int]) -> list[Surface]:
    return [make_surface(label=f"epoch {e}", num_directions=3, num_examples=10, sharpness=e / 10) for e in epochs]


def test_a_series_reports_rises_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    epochs = [20, 40, 60]
    accuracies = {"train_robust_accuracy": 0.5, "test_robust_accuracy": 0.4}
    rows: list[Row] = [{"epoch": epoch, **accuracies} for epoch in epochs]
    write_history(tmp_path / "history.csv", rows)
    out = tmp_path / "figure.png"
    report_curves(series(epochs), paths=[], out=out, epochs=epochs, run=tmp_path, split_at="gap:0.1")
    output = capsys.readouterr().out
    assert "epoch 40  0.25" in output
    assert "SD directions" not in output
    assert out.exists()


def test_a_series_without_history_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "figure.png"
    with pytest.raises(TrainingError, match=r"there is no .*history"):
        report_curves(series([20]), paths=[], out=out, epochs=[20], run=tmp_path)
    assert not out.exists()
