from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import save_checkpoint
from landscape.cli import lsc_groups
from landscape.models.registry import build_model
from landscape.surfaces.store import load_surface
from tests.cli.calling import Call, calling

SMALL = ("--directions", "3", "--alpha", "-1:1:5", "--examples", "60", "--attack", "pgd-2", "--device", "cpu")


def write_checkpoint(path: Path, *, seed: int = 0) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_model("small_cnn")
    return save_checkpoint(
        path,
        network=network,
        model_name="small_cnn",
        model_arguments={},
        normalization=None,
        dataset="digits",
        threat=ThreatModel(norm="linf", epsilon=0.15),
        step_size=0.0375,
        training={"method": "at", "epoch": 1},
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "a.pt")
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    return calling(capsys, "lsc-groups")


def stored(folder: Path) -> list[Path]:
    return sorted((folder / "cache").glob("*.h5"))


def test_the_bare_call_shows_the_bundled_early_and_last_checkpoints_on_both_splits(
    here: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = call(*SMALL)
    assert code == 0, err
    for label in ("digits-at-early (train)", "digits-at-early (test)", "digits-at (train)", "digits-at (test)"):
        assert f"{label}: adversarial loss" in out
    assert "digits-at-early at r = 0.5, train minus test: " in out
    assert (here / "digits-at-early-and-digits-at-lsc-groups.png").stat().st_size > 50_000
    specs = [load_surface(path).spec for path in stored(here)]
    assert len(specs) == 4 and {spec["objective"] for spec in specs} == {"fixed"}
    assert lsc_groups.BARE == ("digits-at-early", "digits-at")


def test_every_grouping_is_a_view_of_one_surface(here: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("a.pt", *SMALL)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in stored(here)}
    monkeypatch.setattr("landscape.surfaces.sweep.measure", _never)
    for by in (("--by", "class"), ("--edges", "0,1,2.5"), ("--by", "correct", "--quantity", "robust-error")):
        code, out, err = call("a.pt", *SMALL, *by, "--json")
        assert code == 0, err
        panels = json.loads(out)["panels"]
        assert all(sum(group["size"] for group in panel["groups"]) == 60 for panel in panels)
    assert {path: path.stat().st_mtime_ns for path in stored(here)} == before
    assert (here / "a-lsc-groups-by-class.png").is_file()


def _never(*given: Any, **named: Any) -> None:
    raise AssertionError("nothing is measured again")


def test_examples_are_made_anew_on_the_fly_where_asked(here: Path, call: Call) -> None:
    assert call("a.pt", *SMALL, "--on-the-fly", "--split", "test")[0] == 0
    (surface,) = [load_surface(path) for path in stored(here)]
    assert (surface.spec["objective"], surface.spec["data"]["split"]) == ("adversarial", "test")
    assert (here / "a-lsc-groups-on-the-fly-test.png").is_file()


def test_json_is_all_that_is_printed(here: Path, call: Call) -> None:
    code, out, err = call("a.pt", *SMALL, "--json")
    numbers = json.loads(out)
    assert code == 0 and err == ""
    assert [panel["label"] for panel in numbers["panels"]] == ["a", "a"]
    assert sorted(numbers["surfaces"]) == [str(path) for path in stored(here)]
    assert numbers["figure"] == "a-lsc-groups.png" and "layers" not in numbers


def test_groups_are_of_the_loss_that_is_measured(here: Path, call: Call) -> None:
    wanted = ("--loss", "margin", "--edges=-2,0,2", "--layers", "conv", "--split", "train")
    numbers = json.loads(call("a.pt", *SMALL, *wanted, "--json")[1])
    assert numbers["layers"] and numbers["figure"] == "a-lsc-groups-layers-conv-margin-train.png"
    (panel,) = numbers["panels"]
    (surface,) = [load_surface(path) for path in stored(here)]
    wrong = [group for group in panel["groups"] if group["name"] == "[0, 2)"]
    assert sum(group["size"] for group in wrong) == int((surface.centre.adversarial_loss >= 0).sum())


def test_a_dry_run_writes_nothing_and_shards_fill_the_surfaces(here: Path, call: Call) -> None:
    before = sorted(here.iterdir())
    code, out, _ = call("a.pt", *SMALL, "--dry-run")
    assert code == 0 and "a (train): 16 of 16 points to compute" in out and "a (test)" in out
    assert sorted(here.iterdir()) == before
    assert "9 of 16 points are there" in call("a.pt", *SMALL, "--shard", "1/2")[1]
    assert not list(here.glob("*.png"))
    assert call("a.pt", *SMALL, "--shard", "2/2")[0] == 0
    assert all(load_surface(path).complete for path in stored(here))


def test_a_set_without_splits_has_one_panel(here: Path, call: Call) -> None:
    generator = np.random.default_rng(0)
    np.savez(here / "own.npz", inputs=generator.random((30, 1, 8, 8), dtype=np.float32), labels=np.arange(30) % 10)
    few = ("a.pt", "--directions", "1", "--alpha", "-1:1:3", "--attack", "fgsm", "--dataset", "./own.npz")
    code, out, err = call(*few)
    assert code == 0, err
    assert len(stored(here)) == 1 and "train − test" not in out
    code, _, err = call(*few, "--split", "both")
    assert code == 1 and "is one set of examples, not a train and a test split" in err


def test_a_run_folder_gives_a_panel_for_each_epoch_with_best_and_last(here: Path, call: Call) -> None:
    from landscape.training.config import TrainConfig
    from landscape.training.fit import train

    train(TrainConfig(method="at", epochs=2, checkpoint_every=1, attack_steps=1, eval_examples=20), here / "run")
    code, out, err = call("run", *SMALL, "--epochs", "1:1:1", "--split", "train", "--json")
    assert code == 0, err
    labels = [panel["label"] for panel in json.loads(out)["panels"]]
    assert labels[0].startswith("epoch 1") and labels[-1].startswith("epoch 2") and labels[-1].endswith("last")
    assert any("best" in label for label in labels)
    assert (here / "run-lsc-groups-train.png").is_file()
    code, _, err = call("run", *SMALL, "--epochs", "1:1:1", "--split-at", "gap:0.999")
    assert code == 1 and "name a smaller one than gap:0.999" in err
    code, _, err = call("run", *SMALL, "--epochs", "1:1:1", "--split-at", "worst")
    assert code == 1 and "a series parts at best or at gap:G" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["--edges", "1"], 2, "'1' needs at least 2 edges", id="one edge"),
        pytest.param(["--edges", "0,1,1"], 2, "each above the one before", id="not increasing"),
        pytest.param(["--edges", "0,x"], 2, "is not a list of finite numbers such as 0,0.5,1.", id="no number"),
        pytest.param(["--edges", "0,inf"], 2, "is not a list of finite numbers", id="infinite"),
        pytest.param(["--edges", "0,nan"], 2, "is not a list of finite numbers", id="not a number"),
        pytest.param(["--edges", "0,1e999"], 2, "is not a list of finite numbers", id="too large"),
        pytest.param(["--edges", ""], 2, "is not a list of finite numbers", id="nothing"),
        pytest.param(["--edges", "0,1", "--by", "class"], 2, "--edges are of groups by loss", id="by"),
        pytest.param(["--by", "colour"], 2, "'colour' is not one of", id="unknown grouping"),
        pytest.param(
            ["--on-the-fly", "--objective", "clean"], 2, "--on-the-fly does not go with --objective clean", id="both"
        ),
        pytest.param(
            ["--objective", "clean", "--quantity", "robust-error"], 1, "no robust error without", id="no attack"
        ),
        pytest.param(["--epochs", "1:3:1"], 1, "a series of --epochs needs one run folder", id="no series"),
        pytest.param(["--out", "figure.gif"], 1, ".png", id="unknown figure"),
        pytest.param(["missing.pt"], 1, "missing.pt", id="no such file"),
        pytest.param(["--examples", "9999"], 1, "got a request for 9,999", id="too many"),
    ],
)
def test_wrong_calls_say_so_and_write_nothing(
    arguments: list[str], code: int, message: str, here: Path, call: Call
) -> None:
    before = sorted(here.rglob("*"))
    given, _, err = call("a.pt", *arguments)
    said = [line for line in err.strip().splitlines() if line and not line.startswith(("Usage:", "Try "))]
    assert given == code
    assert message in err and "Traceback" not in err
    assert len(said) == 1, said
    assert sorted(path for path in here.rglob("*") if "cache" not in path.parts) == before
