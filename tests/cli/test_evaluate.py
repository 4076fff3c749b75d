"""`landscape evaluate` from the command line."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from landscape.attacks.pgd import PGD
from landscape.checkpoints import bundled_folder, load_checkpoint, save_checkpoint
from landscape.cli.main import main
from landscape.models.noisy import inject_noise
from landscape.models.registry import build_model

Call = Callable[..., tuple[int, str, str]]

SMALL = ("--examples", "16", "--device", "cpu", "--cache-dir", "cache")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["evaluate", *arguments])
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out, printed.err

    return run


def test_several_checkpoints_under_several_attacks_on_both_splits(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("digits-at", "digits-at-awp", *SMALL, "--attack", "fgsm,pgd-3:restarts=2", "--attack", "cw-3")
    assert code == 0
    lines = out.splitlines()
    assert lines[:3] == [
        "fgsm: FGSM, L∞, ε = 0.15, step 0.15, no random start",
        "pgd-3:restarts=2: PGD-3, L∞, ε = 0.15, step 0.0375, worst of 2 random starts",
        "cw-3: CW-3, L∞, ε = 0.15, step 0.0375, 1 random start, κ = 0.0",
    ]
    heads = [line for line in lines if line.endswith(("%", "points"))]
    assert heads == [
        "train, 16 examples: accuracy, %",
        "test, 16 examples: accuracy, %",
        "gap: train minus test accuracy, percentage points",
    ]
    assert [line.split()[0] for line in lines if line.startswith("digits")] == ["digits-at", "digits-at-awp"] * 3
    assert lines[-1] == "results  12 in cache; `landscape cache list --cache-dir cache` names them"
    assert len(list((tmp_path / "cache").glob("*.h5"))) == 2 * 2 * 3


def test_the_same_call_again_computes_nothing(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    first = call("digits-at", *SMALL, "--attack", "pgd-3", "--json")
    monkeypatch.setattr(PGD, "restarts", lambda *arguments: pytest.fail("nothing has to be attacked"))
    again = call("digits-at", *SMALL, "--attack", "pgd-3", "--json")
    assert again[1] == first[1] and json.loads(first[1])["warnings"] == []
    paths = json.loads(first[1])["surfaces"]
    assert len(paths) == 2 and all(Path(path).is_file() for path in paths)
    assert call("digits-at", *SMALL, "--attack", "pgd-3")[1].splitlines()[-2:] == [f"result   {path}" for path in paths]


def test_an_interrupted_call_keeps_what_is_finished(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("digits-at", *SMALL, "--split", "test", "--attack", "fgsm,pgd-3")
    original = PGD.restarts

    def stopped(self: PGD, *given: Any) -> Iterator[torch.Tensor]:
        if self.num_steps == 3:
            raise KeyboardInterrupt
        return original(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(PGD, "restarts", stopped)
        code, out, err = call(*arguments)
    assert code == 130 and out == ""
    assert err.endswith("Stopped: 1 of 2 evaluations are kept in cache; the same command goes on from there.\n")

    def only_pgd(self: PGD, *given: Any) -> Iterator[torch.Tensor]:
        assert self.num_steps == 3, "FGSM is there already"
        return original(self, *given)

    monkeypatch.setattr(PGD, "restarts", only_pgd)
    assert call(*arguments)[0] == 0


def test_json_and_csv(call: Call, tmp_path: Path) -> None:
    code, out, _ = call(
        "digits-at", *SMALL, "--attack", "pgd-3,transfer-pgd-3:digits-at-awp", "--csv", "t.csv", "--json"
    )
    found = json.loads(out)
    assert code == 0 and found["csv"] == "t.csv"
    test = next(entry for entry in found["models"] if entry["split"] == "test")
    assert test["method"] == "at" and test["seed"] == 0 and test["epoch"] == 100 and test["run"] is None
    assert set(test["accuracy"]) == {"natural", "pgd-3", "transfer-pgd-3:digits-at-awp", "worst case"}
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert len(rows) == 8 and {row["split"] for row in rows} == {"train", "test"}
    worst = next(row for row in rows if row["attack"] == "worst case" and row["split"] == "test")
    assert float(worst["accuracy"]) == test["accuracy"]["worst case"]["value"]


def test_several_epsilons_are_rows_and_the_gap_can_be_left_out(call: Call) -> None:
    _, out, _ = call("digits-at", *SMALL, "--attack", "pgd-2", "--epsilon", "0.05,0.3", "--split", "test")
    assert "digits-at, ε = 0.05" in out and "digits-at, ε = 0.3" in out
    assert "gap" not in out and "train" not in out


def test_a_run_folder_is_its_best_and_its_last(call: Call, tmp_path: Path) -> None:
    for run in ("one", "two"):
        _run_folder(tmp_path / run, seed=0 if run == "one" else 1)
    arguments = ("one", "two", *SMALL, "--attack", "pgd-1", "--group-by", "method")
    grouped = json.loads(call(*arguments, "--json")[1])["by_method"]
    assert set(grouped) == {"train", "test", "gap"} and grouped["gap"][0]["pgd-1"]["count"] == 2
    _, out, _ = call(*arguments, "--split", "test")
    assert [line.split()[0] for line in out.splitlines() if line.startswith(("one/", "two/"))] == [
        "one/best",
        "one/last",
        "two/best",
        "two/last",
    ]
    assert "best (test-selected, epoch 10)" in out and "best minus last" in out
    assert "at, test-selected, 2 runs" in out and "at, last, 2 runs" in out
    assert "have the one seed" not in out


def test_runs_of_one_name_are_told_apart(call: Call, tmp_path: Path) -> None:
    for parent in ("a", "b"):
        (tmp_path / parent).mkdir()
        _run_folder(tmp_path / parent / "run", seed=0)
    found = json.loads(call("a/run", "b/run", *SMALL, "--attack", "none", "--json")[1])
    assert [gap["model"] for gap in found["gaps"]] == ["a/run/best", "a/run/last", "b/run/best", "b/run/last"]
    assert {entry["run"] for entry in found["models"]} == {"a/run", "b/run"}


def test_networks_with_noise_are_attacked_knowing_it_and_not(call: Call, tmp_path: Path) -> None:
    _save(tmp_path / "noisy.pt", inject_noise(load_checkpoint("digits-at").network, alpha=0.1))
    code, out, _ = call("noisy.pt", *SMALL, "--split", "test", "--attack", "pgd-2,pgd-2:draws=2", "--noise-draws", "2")
    assert code == 0
    assert "pgd-2:draws=2: PGD-2, L∞, ε = 0.15, step 0.0375, 1 random start, gradient averaged over 2 draws" in out


def test_best_per_attack_looks_at_every_checkpoint_of_a_run(call: Call, tmp_path: Path) -> None:
    _run_folder(tmp_path / "run", seed=0)
    arguments = ("run", *SMALL, "--attack", "pgd-1,fgsm", "--split", "test", "--best-per-attack")
    _, out, _ = call(*arguments)
    assert "best of each column over the checkpoints of a run, chosen on these very test examples" in out
    assert "(epoch 100)" in out
    found = json.loads(call(*arguments, "--json")[1])
    assert [entry["epoch"] for entry in found["models"]] == [10, 50, 100]
    (row,) = found["best_per_attack"]["test"]
    assert row["title"] == "run" and set(row["at"]) == {"natural", "pgd-1", "fgsm", "worst case"}
    assert row["pgd-1"]["value"] == max(entry["accuracy"]["pgd-1"]["value"] for entry in found["models"])
    _, out, _ = call("run", *SMALL, "--attack", "none", "--split", "test", "--epochs", "50:50:1")
    assert [line.split(",")[1].split("  ")[0] for line in out.splitlines() if line.startswith("run, ")] == [
        " epoch 10",
        " epoch 50",
        " epoch 100",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("digits-at", "--attack", "pgd"), "an attack is pgd-K", id="unknown attack"),
        pytest.param(("digits-at", "--attack", ","), "name at least one --attack", id="no attack"),
        pytest.param(
            ("digits-at", "--restarts", "3", "--attack", "fgsm"), "none of fgsm takes --restarts", id="restarts"
        ),
        pytest.param(("digits-at", "--attack", "pgd-5:draws=3"), "this model has none; leave out draws", id="noise"),
        pytest.param(("digits-at", "--best-per-attack"), "name a run folder", id="no run"),
        pytest.param(("digits-at", "--noise-draws", "3"), "networks with parametric noise", id="draws"),
        pytest.param(("digits-at", "--attack", "transfer:nowhere.pt"), "nowhere.pt", id="no surrogate"),
        pytest.param(("digits-at", "--norm", "l2"), "says nothing about l2; give --epsilon too", id="other norm"),
    ],
)
def test_a_known_failure_is_one_sentence_and_nothing_is_written(
    call: Call, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = call(*arguments, *SMALL)
    assert code == 1 and out == "" and message in err and err.count("\n") == 1
    assert not list(tmp_path.rglob("*.h5"))


def test_a_foreign_checkpoint_without_a_threat_model_asks_for_it(call: Call, tmp_path: Path) -> None:
    images = tmp_path / "mine.npz"
    rng = np.random.default_rng(0)
    np.savez(images, inputs=rng.random((20, 1, 8, 8), np.float32), labels=np.arange(20) % 10)
    torch.save(load_checkpoint("digits-at").network.state_dict(), tmp_path / "foreign.pt")
    foreign = ("foreign.pt", "--model", "small_cnn", "--normalization", "none", "--dataset", str(images), *SMALL)
    code, _, err = call(*foreign)
    assert code == 1
    assert err.startswith("Error: the threat model of foreign is not known; give --norm linf|l2 and --epsilon")
    code, out, _ = call(*foreign, "--norm", "linf", "--epsilon", "8/255", "--attack", "pgd-1")
    assert code == 0 and "ε = 8/255" in out
    assert "train, 16 examples: accuracy, %" in out and "test" not in out and "gap" not in out
    code, out, _ = call(*foreign, "--norm", "linf", "--epsilon", "8/255", "--attack", "pgd-1", "--split", "test")
    assert code == 0 and "test, 16 examples: accuracy, %" in out


def test_logits_that_are_no_numbers_are_reported_and_nothing_crashes(call: Call, tmp_path: Path) -> None:
    network = load_checkpoint("digits-at").network
    with torch.no_grad():
        list(network.parameters())[-2].fill_(3e38)  # finite, and all logits overflow
    _save(tmp_path / "broken.pt", network)
    code, out, err = call(
        "broken.pt", *SMALL, "--split", "test", "--attack", "fgsm,pgd-2,cw-2,spsa-1:samples=2,feature-2"
    )
    assert code == 0, err
    assert "warning: broken (test), pgd-2: losses of 16 examples are no finite numbers" in out
    assert "warning: broken (test): the model is right on none of the examples" in out


def test_a_constant_model_is_reported(call: Call, tmp_path: Path) -> None:
    network = build_model("small_cnn")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    _save(tmp_path / "constant.pt", network)
    code, out, _ = call("constant.pt", *SMALL, "--split", "test", "--attack", "fgsm,pgd-2,cw-2,spsa-1:samples=2")
    assert code == 0 and "it answers the same whatever it is shown" in out


def _save(path: Path, network: torch.nn.Module) -> None:
    given = load_checkpoint("digits-at")
    save_checkpoint(
        path,
        network=network,
        model_name="small_cnn",
        model_arguments=given.model_arguments,
        normalization=None,
        dataset="digits",
        threat=given.threat,
        step_size=given.step_size,
        training={},
    )


def _run_folder(folder: Path, *, seed: int) -> None:
    """A run folder of bundled checkpoints: epochs 10 (best), 50 and 100 (last)."""
    folder.mkdir()
    for name, source, epoch, selection in (
        ("best", "digits-at-early", 10, "test-selected"),
        ("epoch-050", "digits-at-epoch050", 50, "periodic"),
        ("last", "digits-at", 100, "last"),
    ):
        given = load_checkpoint(bundled_folder() / f"{source}.pt")
        training = {"method": "at", "epoch": epoch, "selection": selection, "settings": {"seed": seed}}
        save_checkpoint(
            folder / f"{name}.pt",
            network=given.network,
            model_name=given.model_name,
            model_arguments=given.model_arguments,
            normalization=given.normalization,
            dataset=given.dataset,
            threat=given.threat,
            step_size=given.step_size,
            training=training,
        )
    shutil.copy(folder / "last.pt", folder / "epoch-100.pt")
