from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import click
import numpy as np
import pytest

from landscape.cli.direction_options import Direction, Kind
from landscape.cli.directions import covering
from landscape.cli.less_work import in_name
from landscape.cli.measuring import unusual
from landscape.surfaces.grid import Grid
from landscape.surfaces.recipes.saved import load_directions
from landscape.surfaces.store import load_surface
from tests.cli.calling import Call
from tests.cli.test_plot_1d import surfaces_in, write_checkpoint

SMALL = ("--examples", "10", "--attack", "pgd-2", "--device", "cpu")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate("abc"):
        write_checkpoint(tmp_path / f"{name}.pt", seed=seed)
    return tmp_path


def test_towards_another_checkpoint(here: Path, call: Call) -> None:
    code, out, _ = call("plot-1d", "a.pt", "--towards", "b.pt", *SMALL)
    assert code == 0 and (here / "a-plot-1d-towards-b.png").is_file()
    surface = load_surface(surfaces_in(here)[0])
    assert surface.grid == Grid.parse("0:1:21") and len(surface.direction_ids) == 1
    assert "at t = 0\n" in out and "SE examples: standard error over examples.\n" in out
    assert not re.search("rise|No row|SD directions|at the centre", out)
    assert "a: the barrier in adversarial loss" in out
    assert "from the checkpoint (0) towards b (1)" in out
    call("plot-1d", "b.pt", "--towards", "a.pt", *SMALL, "--alpha", "0:1:2")
    other = next(s for path in surfaces_in(here) if len((s := load_surface(path)).grid.alpha) == 2)
    np.testing.assert_array_equal(other.centre.adversarial_loss, surface.adversarial_loss[0, -1])


def test_groups_take_the_usual_line_of_every_kind(here: Path, call: Call) -> None:
    code, _, _ = call("lsc-groups", "a.pt", "--towards", "b.pt", "--split", "train", *SMALL)
    assert code == 0 and (here / "a-lsc-groups-towards-b-train.png").is_file()
    assert load_surface(surfaces_in(here)[0]).grid == Grid.parse("0:1:21")


def test_check_refuses_the_way_towards_another_checkpoint(here: Path, call: Call) -> None:
    code, _, err = call("check", "a.pt", "--towards", "b.pt", *SMALL)
    assert code == 1 and "which the way towards another checkpoint is not made for; leave out --towards." in err


def test_worst_case_and_hessian_have_one_direction(here: Path, call: Call) -> None:
    names = {"worst-case:gamma=1/50,steps=2": "worst-case-gamma-0.02-steps-2", "hessian": "hessian"}
    for kind, name in names.items():
        code, out, _ = call("plot-1d", "a.pt", "--direction", kind, "--alpha", "-0.1:0.1:3", *SMALL)
        assert code == 0
        assert f"figure   a-plot-1d-{name}.png" in out
    recipes = [load_surface(path).spec["directions"] for path in surfaces_in(here)]
    assert sorted(recipe["kind"] for recipe in recipes) == ["hessian", "worst-case"]
    (worst,) = (recipe for recipe in recipes if recipe["kind"] == "worst-case")
    assert worst["gamma"] == 0.02 and worst["num_steps"] == 2


def test_the_principal_components_of_a_path(here: Path, call: Call) -> None:
    code, out, _ = call("plot-1d", "c.pt", "--trajectory", "a.pt", "--trajectory", "b.pt", *SMALL, "--json")
    assert code == 0
    (curve,) = json.loads(out)["curves"]
    found = curve["directions"]
    assert [mark["name"] for mark in found["landmarks"]] == ["a", "b"]
    assert len(found["explained_variance"]) == 1 and curve["rises"] is not None
    low, high = curve["alpha"][0], curve["alpha"][-1]
    assert all(low < mark["position"][0] < high for mark in found["landmarks"]) and 0.0 in curve["alpha"]


def test_a_run_folder_is_a_path_up_to_the_checkpoint(here: Path, call: Call) -> None:
    for epoch in (1, 2, 3):
        write_checkpoint(here / "run" / f"epoch-{epoch:03d}.pt", seed=epoch)
    call("plot-1d", "run/epoch-002.pt", "--trajectory", "run", *SMALL, "--alpha", "-1:1:3")
    found = load_surface(surfaces_in(here)[0]).provenance[0]["directions"]
    assert [mark["name"] for mark in found["landmarks"]] == ["epoch 1"]


def test_directions_are_saved_and_shared(here: Path, call: Call) -> None:
    line = ("--alpha", "-1:1:3", *SMALL)
    code, out, _ = call("plot-1d", "a.pt", "--directions", "2", "--save-directions", "d.safetensors", *line)
    assert code == 0 and "directions  d.safetensors" in out
    assert len(load_directions(here / "d.safetensors").directions) == 2
    code, out, _ = call("plot-1d", "a.pt", "b.pt", "--direction", "d.safetensors", *line)
    assert code == 0 and "2 from a file (kind: random), as they are" in out
    surfaces = [load_surface(path) for path in surfaces_in(here)]
    of_a = [s for s in surfaces if s.label == "a"]
    np.testing.assert_array_equal(of_a[0].adversarial_loss, of_a[1].adversarial_loss)
    assert len({s.key for s in surfaces}) == 3


def test_dry_run_makes_the_directions_but_no_file(here: Path, call: Call) -> None:
    before = sorted(here.iterdir())
    code, out, _ = call("plot-1d", "a.pt", "--direction", "hessian", *SMALL, "--dry-run")
    assert code == 0 and "22 of 22 points to compute" in out
    assert re.search(r"making the directions [0-9.e-]+ s: about", out)
    path = ("--trajectory", "b.pt", "--trajectory", "c.pt")
    code, out, _ = call("plot-1d", "a.pt", *path, *SMALL, "--dry-run", "--json")
    (row,) = json.loads(out)["surfaces"]
    measured = (row["num_points"] + 2) * row["seconds_per_point"]
    assert row["num_landmarks"] == 2 and row["seconds_for_directions"] > 0
    assert json.loads(out)["seconds"] == pytest.approx(measured + row["seconds_for_directions"])
    assert sorted(here.iterdir()) == before


WRONG: dict[str, tuple[int, tuple[str, ...], str]] = {
    "unknown kind": (2, ("--direction", "spiral"), "'spiral' is not random, worst-case"),
    "unknown setting": (2, ("--direction", "worst-case:step=1"), "takes gamma and steps"),
    "no radius": (2, ("--direction", "worst-case:gamma=0"), "needs a gamma above 0 and at least 1 step"),
    "two kinds": (
        1,
        ("--direction", "hessian", "--towards", "b.pt"),
        "directions are of one kind, got --towards and --direction hessian; leave one out.",
    ),
    "norm of another kind": (1, ("--direction", "hessian", "--one-dim", "copy"), "are about random directions"),
    "layers of another kind": (1, ("--towards", "b.pt", "--layers", "conv"), "--layers chooses what random"),
    "two ends": (
        1,
        ("--towards", "b.pt", "--towards", "c.pt"),
        "a line goes towards 1 other checkpoint, got 2; give --towards once; a plane through 2",
    ),
    "several lines": (
        1,
        ("--towards", "b.pt", "--directions", "3"),
        "--towards is one line from each checkpoint, got --directions 3; leave it out.",
    ),
    "two worst cases": (1, ("--direction", "worst-case", "--directions", "2"), "there is 1 worst-case direction"),
    "another model": (1, ("--towards", "wide.pt"), "a line leads through models of one shape"),
    "no path": (1, ("--trajectory", "a.pt"), "a path of 1 checkpoints has at most 0 principal components"),
    "no file": (1, ("--direction", "none.safetensors"), "cannot read none.safetensors"),
    "no checkpoint": (1, ("--towards", "none.pt"), "there is no checkpoint none.pt"),
    "unsavable": (1, ("--towards", "b.pt", "--save-directions", "d.safetensors"), "is not saved"),
    "wrong suffix": (1, ("--save-directions", "d.pt"), "directions are kept in .safetensors files"),
    "several to save": (1, ("b.pt", "--save-directions", "d.safetensors"), "those of one checkpoint and split, got 2"),
}


@pytest.mark.parametrize(("expected", "options", "message"), WRONG.values(), ids=WRONG.keys())
def test_calls_that_make_no_sense(
    expected: int, options: tuple[str, ...], message: str, here: Path, call: Call
) -> None:
    write_checkpoint(here / "wide.pt", width=8)
    code, out, err = call("plot-1d", "a.pt", *options, *SMALL)
    assert code == expected and message in err and out == ""
    assert not (here / "cache").exists() or surfaces_in(here) == []


NAMES: dict[str, tuple[tuple[str, ...], str]] = {
    "bare": ((), "a-plot-1d"),
    "file": (("--direction", "d.safetensors"), "a-plot-1d-along-d"),
    "file elsewhere": (("--direction", "x/d.safetensors"), "a-plot-1d-along-x-d-ba96"),
    "layers": (("--layers", "conv1"), "a-plot-1d-layers-conv1"),
    "layers of a pattern": (("--layers", "^conv1"), "a-plot-1d-layers-conv1-629e"),
    "norm": (("--direction-norm", "layer", "--one-dim", "copy"), "a-plot-1d-layer-norm-one-dim-copy"),
    "norm that is usual": (("--direction-norm", "filter", "--one-dim", "zero"), "a-plot-1d"),
    "precision": (("--precision", "bf16", "--quantity", "natural-loss"), "a-plot-1d-bf16-natural-loss"),
    "less work": (("--until-se", "0.3", "--warm-start", "3"), "a-plot-1d-until-se-0.3-warm-start-3"),
    "seed": (("--seed", "3"), "a-plot-1d-seed-3"),
    "threat": (("--norm", "l2", "--epsilon", "0.5", "--attack", "fgsm"), "a-plot-1d-l2-epsilon-0.5-fgsm"),
    "towards": (("--towards", "b.pt"), "a-plot-1d-towards-b"),
    "path": (("--trajectory", "b.pt", "--trajectory", "c.pt"), "a-plot-1d-trajectory-b-1-more"),
}


@pytest.mark.parametrize(("given", "name"), NAMES.values(), ids=NAMES.keys())
def test_the_name_of_a_figure_says_along_what(given: tuple[str, ...], name: str) -> None:
    from landscape.cli.plot_1d import command

    context = command.make_context("plot-1d", ["a.pt", *given])
    assert "-".join(["a-plot-1d", *unusual(context.params), *in_name(context.params)]) == name


def test_kinds_are_read_with_their_settings() -> None:
    parse = Direction()
    assert parse.convert("worst-case", None, None) == Kind(name="worst-case", gamma=0.01, steps=10)
    assert parse.convert("x/y.safetensors", None, None) == Kind(name="saved", path=Path("x/y.safetensors"))
    with pytest.raises(click.BadParameter):
        parse.convert("worst-case:steps=0", None, None)


@pytest.mark.parametrize("positions", [[0.0, 7.3], [0.0, -0.02, 0.031], [0.0, 120.0, -3.0], [0.0]])
def test_a_path_is_covered_with_a_margin_by_round_nodes(positions: list[float]) -> None:
    nodes = Grid.parse(covering(positions)).alpha
    assert 0.0 in nodes and 11 <= len(nodes) <= 24
    assert nodes[0] < min(positions) or min(positions) == max(positions)
    assert nodes[-1] > max(positions)
    step = Fraction(str(round(nodes[1] - nodes[0], 9)))
    assert str(step.numerator).rstrip("0") in ("1", "2", "5")


def test_defaults_of_the_worst_case_are_those_of_its_recipe() -> None:
    from landscape.surfaces.recipes import worst_case

    assert Kind(name="worst-case").gamma == worst_case.GAMMA and Kind(name="worst-case").steps == worst_case.NUM_STEPS


def test_planes_of_every_kind(here: Path, call: Call) -> None:
    plane = ("plot-2d", "a.pt", "--alpha", "0:1:2", *SMALL)
    code, out, _ = call(*plane, "--towards", "b.pt", "--towards", "c.pt")
    assert code == 0 and (here / "a-plot-2d-towards-b-1-more.png").is_file()
    assert "No row for r = 0.1, 0.25, 0.5, 1: t runs from one checkpoint to another." in out
    (surface,) = (load_surface(path) for path in surfaces_in(here))
    marks = surface.provenance[0]["directions"]["landmarks"]
    assert [mark["position"] for mark in marks] == [[1.0, 0.0], [0.0, 1.0]]
    assert marks[0]["loss"] == pytest.approx(float(surface.mean()[0, 1, 0]), rel=1e-6)
    code, out, _ = call(*plane, "--direction", "worst-case:steps=1", "--orthogonal")
    assert code == 0 and "and a random direction" in out
    code, _, err = call(*plane, "--towards", "b.pt")
    assert code == 1 and "a plane goes through 2 other checkpoints, got 1; give --towards twice." in err
