from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from landscape.names import FLATNESS_MEASURES
from tests.cli.calling import Call
from tests.cli.test_plot_1d import write_checkpoint

SMALL = ("--directions", "3", "--examples", "12", "--attack", "pgd-1", "--device", "cpu", "--probes", "3")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "a.pt", width=4)
    write_checkpoint(tmp_path / "b.pt", seed=1, width=4)
    return tmp_path


def stored(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.h5")}


def test_every_measure_of_two_checkpoints_with_their_differences(here: Path, call: Call) -> None:
    code, out, _ = call("flatness", "a.pt", "b.pt", *SMALL, "--csv", "numbers.csv")
    assert code == 0
    for wanted in ("rise(r) ± SE (nats)", "curvature", "worst-case(0.01)", "eigenvalue", "trace", "pac-bayes(0.25) CE"):
        assert wanted in out
    assert "a minus b (train); paired: the same draws and examples" in out
    assert "The bound's other term" in out and "csv      numbers.csv" in out
    assert "a and b" in out or "flatter than" in out
    rows = list(csv.DictReader((here / "numbers.csv").read_text().splitlines()))
    assert [row["checkpoint"] for row in rows] == ["a", "b"] and all(row["trace draws"] == "3" for row in rows)

    before = stored(here / "cache")
    code, again, _ = call("flatness", "a.pt", "b.pt", *SMALL, "--csv", "numbers.csv")
    assert code == 0 and again == out and stored(here / "cache") == before and len(before) == 10
    code, out, _ = call("flatness", "a.pt", "b.pt", *SMALL, "--json")
    numbers = json.loads(out)
    assert code == 0 and {one["kind"] for one in numbers["checkpoints"][0]["measures"]} == set(FLATNESS_MEASURES)
    assert numbers["differences"] and len(numbers["surfaces"]) == 10 and numbers["sentences"]


def test_points_of_curves_that_are_stored_are_not_measured_again(here: Path, call: Call) -> None:
    small = SMALL[:-2]
    assert call("plot-1d", "a.pt", *small, "--alpha", "-1:1:5")[0] == 0
    code, out, _ = call("flatness", "a.pt", *small, "--measures", "rise", "--dry-run")
    assert code == 0 and "12 of 25 points to compute" in out  # +-0.5 and +-1 and the centre are there
    code, out, _ = call("flatness", "a.pt", *small, "--measures", "rise", "--alpha", "-1:1:5", "--dry-run")
    assert code == 0 and "0 of 16 points to compute" in out
    given = ("--measures", "rise,curvature", "--radius", "0.5,2", "--alpha", "-1:1:5")
    code, out, _ = call("flatness", "a.pt", *small, *given)
    assert code == 0 and "r = 0.5" in out and "No rise(2): the grid does not reach ±r." in out
    assert "No curvature: it needs nodes on both sides within |α| <= 0.25." in out


def test_only_what_is_asked_for_is_measured(here: Path, call: Call) -> None:
    code, out, _ = call("flatness", "a.pt", *SMALL, "--measures", "trace,eigenvalue", "--layers", "conv")
    assert code == 0 and "rise" not in out and re.search(r"\n +eigenvalue +trace\n", out)
    assert len(stored(here / "cache")) == 2
    code, out, _ = call(
        "flatness", "a.pt", *SMALL, "--measures", "worst-case,pac-bayes", "--gamma", "0.005,0.01",
        "--noise-scale", "0.1,0.2", "--sigma", "layer",
    )  # fmt: skip
    names = ("worst-case(0.005)", "worst-case(0.01)", "pac-bayes(0.1) 0-1", "pac-bayes(0.2) CE")
    assert code == 0 and all(name in out for name in names)


def test_epochs_of_several_runs_are_rows_that_name_their_run(here: Path, call: Call) -> None:
    for number, run in enumerate(("first", "second")):
        (here / run).mkdir()
        for epoch in (1, 2):
            write_checkpoint(here / run / f"epoch-{epoch:03}.pt", seed=10 * number + epoch, width=4, epoch=epoch)
    given = ("--epochs", "1:2:1", *SMALL, "--measures", "rise", "--radius", "0.5", "--no-correlate", "--json")
    code, out, _ = call("flatness", "first", "second", *given)
    rows = json.loads(out)["checkpoints"]
    assert code == 0 and [(row["run"], row["epoch"]) for row in rows] == [
        ("first", 1), ("first", 2), ("second", 1), ("second", 2),
    ]  # fmt: skip
    assert rows[0]["label"] == "first, epoch 1" and len({row["measures"][0]["value"] for row in rows}) == 4
    alone = json.loads(call("flatness", "first", *given)[1])["checkpoints"]
    assert [row["label"] for row in alone] == ["epoch 1", "epoch 2"]


GAP = (*SMALL, "--measures", "rise", "--radius", "0.5")


def test_three_checkpoints_are_put_beside_their_gaps(here: Path, call: Call) -> None:
    write_checkpoint(here / "c.pt", seed=2, width=4, method="trades")
    code, out, _ = call("flatness", "a.pt", "b.pt", "c.pt", *GAP, "--gap-examples", "30", "--out", "gap.png")
    assert code == 0 and (here / "gap.png").stat().st_size > 10_000 and "figure   gap.png" in out
    assert "robust generalization gap (percentage points), train minus test" in out
    assert "association of rise(0.5) with the robust generalization gap, 3 checkpoints of 3 runs" in out
    assert "Gap: under the same attack, 30 train and 30 test examples." in out
    numbers = json.loads(call("flatness", "a.pt", "b.pt", "c.pt", *GAP, "--json")[1])
    rows = numbers["checkpoints"]
    assert [row["method"] for row in rows] == ["at", "at", "trades"] and rows[0]["num_examples"] == 12
    for row in rows:
        assert row["gap"]["value"] == pytest.approx(row["gap"]["robust_train"] - row["gap"]["robust_test"])
        assert row["gap"]["robust_train"] == pytest.approx(row["robust_accuracy"])  # the centre of its surface
    assert numbers["association"]["rise(0.5)"]["num_points"] == 3 and numbers["figure"].endswith("-flatness.png")

    (here / "gap.png").unlink()
    code, out, _ = call("flatness", "a.pt", "b.pt", "c.pt", *GAP, "--no-correlate")
    assert code == 0 and "association" not in out and "gap" not in out and not list(here.glob("gap.png"))


def test_the_best_of_a_run_is_shown_and_no_point_of_the_association(here: Path, call: Call) -> None:
    for run, best in (("first", 2), ("second", 3)):
        (here / run).mkdir()
        names = {1: "epoch-001.pt", 2: "epoch-002.pt", 3: "epoch-003.pt"} if run == "first" else {1: "epoch-001.pt"}
        for epoch, name in {**names, best: "best.pt", 4: "last.pt"}.items():
            write_checkpoint(here / run / name, seed=epoch, width=4, epoch=epoch)
    write_checkpoint(here / "first" / "epoch-002.pt", seed=2, width=4, epoch=2)
    code, out, _ = call("flatness", "first", "second", "--epochs", "1:1:1", *GAP, "--json")
    numbers = json.loads(out)
    assert code == 0 and [(row["run"], row["epoch"]) for row in numbers["checkpoints"]] == [
        ("first", 1), ("first", 2), ("first", 4), ("second", 1), ("second", 3), ("second", 4),
    ]  # fmt: skip
    points = numbers["association"]["rise(0.5)"]["points"]
    assert [(one["run"], one["epoch"], one["is_final"]) for one in points] == [
        ("first", 1, False), ("first", 4, True), ("second", 1, False), ("second", 4, True),
    ]  # fmt: skip


def test_too_few_checkpoints_for_an_association_cost_no_numbers(here: Path, call: Call) -> None:
    (here / "run").mkdir()
    for epoch, name in {1: "epoch-001.pt", 2: "best.pt", 3: "last.pt"}.items():
        write_checkpoint(here / "run" / name, seed=epoch, width=4, epoch=epoch)
    code, out, err = call("flatness", "run", "--epochs", "1:1:1", *GAP)
    assert (code, err) == (0, "") and "robust generalization gap" in out and not list(here.glob("*.png"))
    note = (
        "No association of rise(0.5) with the gap, and no figure: it takes at least 3 checkpoints, and of the 3 above "
        "2 count (left out: 1 chosen as best of a run, whose gap is selected too); name more, or more epochs."
    )
    assert note in out
    numbers = json.loads(call("flatness", "run", "--epochs", "1:1:1", *GAP, "--json")[1])
    assert note in numbers["sentences"] and "association" not in numbers and numbers["figure"] is None


def test_a_dry_run_counts_all_and_measures_each_kind_once(here: Path, call: Call) -> None:
    write_checkpoint(here / "c.pt", seed=2, width=4)
    given = (*SMALL, "--measures", "rise,trace,worst-case", "--radius", "0.5", "--dry-run", "--json")
    code, out, _ = call("flatness", "a.pt", "b.pt", "c.pt", *given)
    rows = json.loads(out)["surfaces"]
    assert code == 0 and [row["label"] for row in rows[:5]] == [
        "a", "a, worst case", "a, trace", "a, gap", "a, gap",
    ]  # fmt: skip
    assert [row["split"] for row in rows[:5]] == ["train", "train", "train", "train", "test"]
    assert rows[0]["seconds_per_point"] == rows[5]["seconds_per_point"] and rows[0]["num_points"] == 7
    assert rows[1]["seconds_for_directions"] > 0 and not (here / "cache").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("a.pt", "--measures", "sharpness"), 2, "'sharpness' is no measure of flatness; known are rise, curvature"),
        (("a.pt", "--direction", "hessian"), 2, "No such option"),
        (("a.pt", "--radius", "0"), 2, "0 is not above 0"),
        (("nowhere.pt",), 1, "nowhere.pt"),
        (("a.pt", "--layers", "nowhere"), 1, "no parameter moves with layers 'nowhere'"),
        (("a.pt", "b.pt", "--epochs", "1:2:1"), 1, "needs one run folder"),
        (
            ("runs/digits-at", "runs/digits-at-awp", "--epochs", "1:2:1"),
            1,
            "`landscape train --method at --out runs/digits-at` makes a run folder of this name",
        ),
        (("a.pt", "--csv", "a.pt/x.csv"), 1, "cannot write in"),
        (("a.pt", "b.pt", "--correlate"), 1, "needs at least 3 checkpoints, got 2"),
        (
            ("a.pt",) * 3 + ("--correlate", "--split", "test"),
            1,
            "measures flatness on train examples, got --split test",
        ),
        (
            (*("a.pt",) * 3, "--correlate", "--objective", "clean", "--attack", "none"),
            1,
            "is about the robust gap, which needs an attack",
        ),
    ],
    ids=["measure", "direction", "radius", "file", "layers", "epochs", "no run", "csv", "two", "test split", "clean"],
)
def test_wrong_calls_are_refused_in_one_sentence(
    arguments: tuple[str, ...], code: int, message: str, here: Path, call: Call
) -> None:
    found, _, err = call("flatness", *SMALL, *arguments)
    assert found == code and message in err and "Traceback" not in err
    assert not (here / "cache").exists() or not stored(here / "cache")
