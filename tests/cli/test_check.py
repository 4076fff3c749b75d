from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from landscape.checkpoints import save_checkpoint
from landscape.models.registry import build_model
from tests.cli.calling import Call, calling

SMALL = ("--examples", "24", "--device", "cpu", "--attack", "pgd-5:step=0.06")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)
    return calling(capsys, "check")


def test_a_sound_checkpoint_passes_and_nothing_is_written(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("digits-at", *SMALL)
    assert code == 0
    head, *rows = out.splitlines()
    assert head.startswith("digits-at: 24 of digits train; PGD-5, L∞, ε = 0.15") and head.endswith("on cpu, fp32")
    names = [row[6:].split("  ")[0].strip() for row in rows if row[:4].strip() in ("pass", "warn", "fail", "n/a")]
    assert names[:3] == ["rescaling", "repeatability", "attack converged"] and len(names) == 8
    assert rows[-1] == "0 checks failed, 0 warned, of 8: nothing speaks against this landscape."
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_the_exit_code(call: Call) -> None:
    code, out, _ = call("digits-at", *SMALL, "--direction-norm", "model")
    assert code == 1
    assert "fail  rescaling" in out and "-> The curve depends on the scale of the weights" in out
    assert out.rstrip().endswith("of 8: do not trust this landscape.")


def test_json_holds_every_verdict_of_every_checkpoint(call: Call, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_model("small_cnn")
    save_checkpoint(
        tmp_path / "fresh.pt",
        network=network,
        model_name="small_cnn",
        model_arguments={},
        normalization=None,
        dataset="digits",
        threat=None,
        step_size=None,
        training={},
    )
    code, out, err = call("digits-at", "fresh.pt", *SMALL, "--json")
    good, fresh = json.loads(out)["checkpoints"]
    assert code == 1 and err == ""
    assert (good["label"], good["status"], fresh["label"], fresh["status"]) == ("digits-at", "pass", "fresh", "fail")
    (accuracy,) = (verdict for verdict in fresh["verdicts"] if verdict["name"] == "accuracy")
    assert accuracy["status"] == "fail" and accuracy["advice"]


def test_the_attack_is_the_one_that_is_asked_for(call: Call) -> None:
    code, out, _ = call("digits-at", "--examples", "20", "--attack", "pgd-1:step=0.01", "--split", "test")
    assert code == 1 and "20 of digits test; PGD-1" in out
    assert "fail  attack converged" in out


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("nowhere.pt",), 1, "nowhere.pt"),
        (("digits-at", "--examples", "0"), 2, "below 1"),
        (("digits-at", "--epsilon", "8//255"), 2, "8//255"),
        (("digits-at", "--attack", "cw"), 1, "an attack is"),
        (("digits-at", "--layers", "nothing"), 1, "no parameter moves"),
        ((), 2, "CKPT"),
    ],
    ids=["no-file", "no-examples", "epsilon", "attack", "layers", "no-checkpoint"],
)
def test_wrong_calls_are_one_sentence(call: Call, arguments: tuple[str, ...], code: int, text: str) -> None:
    found, out, err = call(*arguments)
    assert (found, out) == (code, "") and text in err and "Traceback" not in err


def test_help_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, landscape.cli.check; sys.exit(bool({'torch', 'numpy', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
