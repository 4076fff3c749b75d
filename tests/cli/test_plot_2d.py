from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from landscape.surfaces.store import load_surface
from tests.cli.calling import Call
from tests.cli.test_plot_1d import surfaces_in, write_checkpoint

SMALL = ("--alpha", "-1:1:5", "--beta", "-1/2:1:4", "--examples", "12", "--attack", "pgd-2", "--device", "cpu")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "a.pt")
    write_checkpoint(tmp_path / "b.pt", seed=1)
    return tmp_path


def test_one_checkpoint_gives_table_figure_and_surface_and_the_second_call_the_same(here: Path, call: Call) -> None:
    code, out, err = call("plot-2d", "a.pt", *SMALL)
    assert (code, err) == (0, "")
    assert (here / "a-plot-2d.png").stat().st_size > 30_000
    (stored,) = surfaces_in(here)
    surface = load_surface(stored)
    assert surface.adversarial_loss.shape == (1, 5, 4, 12)
    (cosine,) = surface.provenance[0]["cosines"]
    assert f"Cosine of the directions: {cosine:.2g}." in out
    row = next(line for line in out.splitlines() if line.startswith("a  "))
    mean = surface.mean()[0]
    assert row.split()[1:3] == [f"{surface.centre_mean():.4f}", f"{mean.min():.4f}"]
    assert f"{mean.max():.4f}" in row and row.split()[-1] == f"{cosine:.2g}"
    assert f"surface  {stored}" in out and "figure   a-plot-2d.png" in out
    assert call("plot-2d", "a.pt", *SMALL)[1] == out
    assert len(surfaces_in(here)) == 1


def test_beta_is_alpha_unless_given(here: Path, call: Call) -> None:
    assert call("plot-2d", "a.pt", "--alpha=-1:1:3", "--examples", "5", "--attack", "fgsm")[0] == 0
    (stored,) = surfaces_in(here)
    grid = load_surface(stored).grid
    assert grid.alpha == grid.beta == (-1.0, 0.0, 1.0)


def test_orthogonal_directions_have_cosine_zero_and_a_figure_of_their_own(here: Path, call: Call) -> None:
    assert call("plot-2d", "a.pt", *SMALL)[0] == 0
    code, out, _ = call("plot-2d", "a.pt", *SMALL, "--orthogonal", "--json")
    numbers = json.loads(out)
    assert code == 0 and numbers["figure"] == "a-plot-2d-orthogonal.png"
    assert abs(numbers["planes"][0]["cosine"]) < 1e-6
    assert "the second orthogonal to the first in every filter" in numbers["settings"]
    first, second = (load_surface(path) for path in surfaces_in(here))
    np.testing.assert_array_equal(first.adversarial_loss[:, :, 1], second.adversarial_loss[:, :, 1])
    assert not np.array_equal(first.adversarial_loss, second.adversarial_loss)


def test_json_is_all_that_is_printed(here: Path, call: Call) -> None:
    code, out, err = call("plot-2d", "a.pt", "b.pt", *SMALL, "--json", "--quantity", "robust-error")
    numbers = json.loads(out)
    assert (code, err) == (0, "")
    assert [plane["label"] for plane in numbers["planes"]] == ["a", "b"]
    assert numbers["figure"] == "a-and-b-plot-2d-robust-error.png"
    assert np.shape(numbers["planes"][1]["mean"]) == (5, 4)
    assert sorted(numbers["surfaces"]) == [str(path) for path in surfaces_in(here)]


def test_a_stored_plane_is_redrawn_without_torch(here: Path, call: Call) -> None:
    _, out, _ = call("plot-2d", "a.pt", "b.pt", *SMALL)
    stored = [line.split()[-1] for line in out.splitlines() if line.startswith("surface")]
    code = (
        "import sys; from landscape.cli.plot import command; command(sys.argv[1:], standalone_mode=False); "
        "print('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    arguments = [*stored, "--levels", "0.5,1,2,4", "--out", "again.pdf"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
    assert done.stdout.splitlines()[:-1] == out.replace("a-and-b-plot-2d.png", "again.pdf").splitlines()
    assert (here / "again.pdf").read_bytes().startswith(b"%PDF")


def test_curves_and_planes_are_not_drawn_together(here: Path, call: Call) -> None:
    call("plot-1d", "a.pt", "--directions", "1", "--alpha=-1:1:3", "--examples", "5", "--attack", "none")
    (curve,) = surfaces_in(here)
    call("plot-2d", "a.pt", "--alpha=-1:1:3", "--examples", "5", "--attack", "none")
    (plane,) = set(surfaces_in(here)) - {curve}
    code, _, err = call("plot", curve, plane)
    assert code == 1
    assert err.strip() == f"Error: curves and planes make two figures, but {curve} holds curves and {plane} a plane."
    code, _, err = call("plot", curve, "--levels", "log")
    assert code == 1 and "--levels are of contours" in err
    assert call("plot", plane, "--levels", "log", "--quantity", "natural-loss")[0] == 0


def test_dry_run_says_points_passes_and_time_and_writes_nothing(here: Path, call: Call) -> None:
    before = sorted(here.iterdir())
    code, out, _ = call("plot-2d", "a.pt", *SMALL, "--dry-run")
    assert code == 0
    assert "21 of 21 points to compute, each 12 examples x 6 passes through the model" in out
    assert "s measured" in out and "Nothing was written." in out
    assert sorted(here.iterdir()) == before


def test_shards_fill_one_plane(here: Path, call: Call) -> None:
    assert "11 of 21 points are there" in call("plot-2d", "a.pt", *SMALL, "--shard", "1/2")[1]
    assert not list(here.glob("*.png"))
    assert call("plot-2d", "a.pt", *SMALL, "--shard", "2/2")[0] == 0
    assert load_surface(surfaces_in(here)[0]).complete


def test_controls_and_both_splits(here: Path, call: Call) -> None:
    code, out, _ = call("plot-2d", "a.pt", *SMALL, "--split", "both", "--objective", "fixed")
    assert code == 0 and "a (train)" in out and "a (test)" in out
    assert "adversarial examples made once, at the centre" in out
    assert (here / "a-plot-2d-fixed-both.png").exists()


REFINED = ("--alpha", "-1:1:17", "--examples", "8", "--attack", "fgsm", "--device", "cpu", "--refine", "0.3")


def test_a_refined_plane_says_how_many_nodes_were_measured_wherever_it_is_shown(here: Path, call: Call) -> None:
    code, out, err = call("plot-2d", "a.pt", *REFINED)
    assert (code, err) == (0, "")
    (stored,) = surfaces_in(here)
    surface = load_surface(stored)
    measured = surface.num_done - 1
    assert surface.complete and 25 <= measured < 289
    assert f"Nodes measured: {measured} of 289. Refinement: every 4th node, and between them where the mean" in out
    assert "by more than 0.3; the others interpolated." in out and "Masked" not in out
    assert (here / "a-plot-2d-fgsm-refine-0.3.png").stat().st_size > 30_000
    assert call("plot-2d", "a.pt", *REFINED)[1] == out
    code, again, _ = call("plot", stored, "--out", "a-plot-2d-fgsm-refine-0.3.png")
    assert code == 0 and again.splitlines()[:-1] == out.splitlines()[:-1]
    assert f"complete {measured + 1}/290" in call("cache", "list")[1] and "refined 0.3" in call("cache", "list")[1]


def test_the_json_of_a_refined_plane_says_which_nodes_were_measured(here: Path, call: Call) -> None:
    (plane,) = json.loads(call("plot-2d", "a.pt", *REFINED, "--json")[1])["planes"]
    surface = load_surface(surfaces_in(here)[0])
    np.testing.assert_array_equal(plane["measured"], surface.status[0] == 1)
    assert plane["num_interpolated"] == 290 - surface.num_done and plane["num_missing"] == 0
    assert np.isfinite(np.array(plane["mean"], dtype=float)).all()
    np.testing.assert_array_equal(np.array(plane["mean"])[surface.status[0] == 1], surface.mean()[surface.status == 1])


def test_a_dry_run_of_a_refined_plane_says_the_most_that_it_can_cost(here: Path, call: Call) -> None:
    out = call("plot-2d", "a.pt", *REFINED, "--dry-run")[1]
    assert "a (train): at most 290 of 290 points to compute" in out and "In all at most " in out
    rows = json.loads(call("plot-2d", "a.pt", *REFINED, "--dry-run", "--json")[1])["surfaces"]
    assert rows[0]["at_most"] is True and rows[0]["num_points"] == 290
    assert call("plot-2d", "a.pt", *REFINED)[0] == 0
    assert "a (train): 0 of 290 points to compute" in call("plot-2d", "a.pt", *REFINED, "--dry-run")[1]


def test_refinement_goes_with_until_se(here: Path, call: Call) -> None:
    code, out, _ = call("plot-2d", "a.pt", *REFINED, "--until-se", "5")
    assert code == 0 and "all there were, asked for a standard error of 5.0" in out and " of 289. Refinement: " in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param([], 2, "Missing argument 'CKPT...'", id="nothing"),
        pytest.param(["missing.pt"], 1, "missing.pt", id="no such file"),
        pytest.param(["text.pt"], 1, "text.pt", id="a text file"),
        pytest.param(["a.pt", "--beta", "1:1:5"], 2, "'1:1:5' needs FROM below TO", id="beta of one place"),
        pytest.param(["a.pt", "--beta", "1:-1:5"], 2, "'1:-1:5' needs FROM below TO", id="beta backwards"),
        pytest.param(["a.pt", "--beta=-1:1"], 2, "'-1:1' is not FROM:TO:NUM", id="beta of two"),
        pytest.param(["a.pt", "--beta=-1:1:1"], 2, "NUM of at least 2", id="one row"),
        pytest.param(["a.pt", "--alpha=-1e39:1e39:3"], 1, "at most 1e+30 in size", id="alpha beyond float32"),
        pytest.param(
            ["a.pt", "--levels", "5,1"], 2, "'5,1' needs at least two increasing numbers", id="levels backwards"
        ),
        pytest.param(["a.pt", "--levels", "many"], 2, "'many' is neither auto, paper, log nor", id="levels"),
        pytest.param(
            ["a.pt", "--levels", "paper", "--quantity", "robust-error"],
            1,
            "the paper's levels are of a loss",
            id="paper",
        ),
        pytest.param(["a.pt", "--refine", "0"], 2, "0.0 is not in the range x>0", id="no tolerance"),
        pytest.param(["a.pt", "--refine", "nan"], 1, "a finite number above 0, got nan", id="tolerance nan"),
        pytest.param(["a.pt", *SMALL, "--refine", "1"], 1, "at least 17 x 17 nodes, got one of 5 x 4", id="too small"),
        pytest.param(
            ["a.pt", "--refine", "1", "--shard", "1/2"], 1, "level by level, which shards cannot", id="refined shard"
        ),
        pytest.param(["a.pt"] * 5, 1, "a figure holds 1 to 4 planes, got 5", id="five"),
        pytest.param(["a.pt", "b.pt", "a.pt", "--split", "both"], 1, "1 to 4 planes, got 6", id="three on both splits"),
        pytest.param(["a.pt", "--directions", "3"], 2, "No such option", id="directions"),
        pytest.param(["a.pt", "--out", "figure.gif"], 1, ".png", id="unknown figure"),
        pytest.param(["a.pt", "--layers", "nothing"], 1, "no parameter moves", id="no layer"),
        pytest.param(
            ["a.pt", "--objective", "clean", "--quantity", "robust-error"], 1, "no robust error without", id="no attack"
        ),
        pytest.param(["a.pt", "--examples", "9999"], 1, "has 1,000 examples, got a request for 9,999", id="too many"),
    ],
)
def test_wrong_calls_say_so_and_write_nothing(
    arguments: list[str], code: int, message: str, here: Path, call: Call
) -> None:
    (here / "text.pt").write_text("these are no weights")
    before = sorted(here.rglob("*"))
    given, _, err = call("plot-2d", *arguments)
    said = [line for line in err.strip().splitlines() if not line.startswith(("Usage:", "Try ")) and line]
    assert given == code
    assert message in err and "Traceback" not in err
    assert len(said) == 1, said
    assert sorted(path for path in here.rglob("*") if "cache" not in path.parts) == before
    assert not surfaces_in(here)
