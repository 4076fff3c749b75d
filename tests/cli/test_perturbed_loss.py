from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from landscape.attacks.pgd import PGD, strongest
from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import load_checkpoint, save_checkpoint
from landscape.datasets.registry import load_examples
from landscape.models.registry import build_model
from landscape.surfaces.directions import RandomDirections
from landscape.weights import bind, parameters_of
from tests.cli.calling import Call

SMALL = ("--examples", "16", "--attack", "pgd-2", "--device", "cpu", "--directions", "2", "--steps", "1")


def write_checkpoint(path: Path, *, seed: int, epoch: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_model("small_cnn")
    save_checkpoint(
        path, network=network, model_name="small_cnn", model_arguments={}, normalization=None, dataset="digits",
        threat=ThreatModel(norm="linf", epsilon=0.15), step_size=0.0375, training={"method": "at", "epoch": epoch},
    )  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("epoch-001.pt", "epoch-002.pt", "last.pt")):
        (tmp_path / "run").mkdir(exist_ok=True)
        write_checkpoint(tmp_path / "run" / name, seed=number, epoch=min(number + 1, 2))
    shutil.copyfile(tmp_path / "run" / "epoch-002.pt", tmp_path / "run" / "last.pt")
    return tmp_path


def literal_losses(gamma: float) -> dict[str, float]:
    """Losses at w, at AWP's own v (one step) and at random v, written out."""
    checkpoint = load_checkpoint("digits-at")
    examples = load_examples("digits", split="train", num_examples=16, seed=0)
    attack = PGD(threat=ThreatModel(norm="linf", epsilon=0.15), step_size=0.0375, num_steps=2)
    weights = parameters_of(checkpoint.model)

    def loss(moved: dict[str, Any]) -> tuple[float, Any]:
        forward = bind(checkpoint.model, moved)
        made = strongest(attack, forward, examples.inputs, examples.labels, ids=examples.ids, seed=0)
        with torch.no_grad():
            return float(cross_entropy(forward(made), examples.labels)), made

    at_w, made = loss(weights)
    model = checkpoint.model.eval().requires_grad_(True)
    kernels = {name: parameter for name, parameter in model.named_parameters() if parameter.dim() > 1}
    found = torch.autograd.grad(cross_entropy(model(made), examples.labels), list(kernels.values()))
    gradients = dict(zip(kernels, found, strict=True))
    moved = {name: w + gamma * w.norm() * gradients[name] / gradients[name].norm() if name in gradients else w
             for name, w in weights.items()}  # fmt: skip
    random = []
    for index in range(2):
        draws = RandomDirections(seed=0, norm="none").direction(weights, index)
        v = {name: gamma * weights[name].norm() * d / d.norm() for name, d in draws.items() if d.dim() > 1}
        random.append(loss({name: w + v[name] if name in v else w for name, w in weights.items()})[0])
    return {"none": at_w, "adversarial": loss(moved)[0], "random": sum(random) / 2}


def test_one_step_is_awps_own_perturbation_and_random_ones_have_its_size_by_hand(here: Path, call: Call) -> None:
    code, out, _ = call("perturbed-loss", "digits-at", *SMALL, "--gamma", "0.05", "--json")
    assert code == 0
    numbers = json.loads(out)
    expected = literal_losses(0.05)
    assert {row["kind"]: row["loss"] for row in numbers["losses"]} == pytest.approx(expected, rel=1e-4)
    assert expected["adversarial"] > 2 * expected["none"] and expected["random"] < 1.2 * expected["none"]
    assert numbers["figure"] == "digits-at-perturbed-loss.png" and len(numbers["surfaces"]) == 2
    assert all(Path(path).is_file() for path in numbers["surfaces"])


def test_a_run_over_its_epochs_and_again_from_the_cache(here: Path, call: Call) -> None:
    arguments = ("perturbed-loss", "run", "--epochs", "1:2:1", *SMALL, "--gamma", "0.01,0.02", "--csv", "x.csv")
    code, out, _ = call(*arguments, "--random-gamma", "0.5")
    assert code == 0 and "figure   run-perturbed-loss.png\ncsv      x.csv\nsurfaces 6 in" in out
    rows = list(csv.DictReader(Path("x.csv").read_text().splitlines()))
    assert {(row["model"], row["epoch"]) for row in rows} == {("run", "1"), ("run", "2")}
    assert {(row["kind"], row["gamma"]) for row in rows} == {
        ("none", "0.0"), ("adversarial", "0.01"), ("adversarial", "0.02"), ("random", "0.5"),
    }  # fmt: skip
    assert any(line.split()[:2] == ["run", "2"] for line in out.splitlines())
    stored = {path: path.stat().st_mtime_ns for path in (here / "cache").glob("*.h5")}
    again = call(*arguments, "--random-gamma", "0.5")
    assert again[1] == out and {path: path.stat().st_mtime_ns for path in stored} == stored


def test_fixed_examples_have_a_name_and_numbers_of_their_own(here: Path, call: Call) -> None:
    names = ("perturbed-loss", "digits-at", *SMALL, "--gamma", "0.1", "--json")
    ways = (("adversarial",), ("fixed",), ("clean", "--attack", "none"))
    found = [json.loads(call(*names, "--objective", *way)[1]) for way in ways]
    assert found[1]["figure"] == "digits-at-perturbed-loss-fixed.png" and "made once, at w" in found[1]["settings"]
    assert found[2]["title"] == "natural loss"
    random = [next(row["loss"] for row in one["losses"] if row["kind"] == "random") for one in found]
    assert random[0] > random[1] > random[2]


def test_two_runs_of_one_name_keep_apart(here: Path, call: Call) -> None:
    shutil.copytree(here / "run", here / "other" / "run")
    arguments = ("--epochs", "1:1:1", *SMALL, "--gamma", "0.01", "--json")
    code, out, _ = call("perturbed-loss", "run", "other/run", *arguments)
    assert code == 0 and {row["model"] for row in json.loads(out)["losses"]} == {"run", "other/run"}


def test_a_dry_run_says_the_cost_and_writes_nothing(here: Path, call: Call) -> None:
    code, out, _ = call("perturbed-loss", "digits-at", *SMALL, "--dry-run")
    assert code == 0 and "digits-at, adversarial v, γ = 0.005 (train): 2 of 2 points to compute" in out
    assert "digits-at, random v (train): 7 of 7 points" in out and not list(here.glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("digits-at", "--gamma", "0"), 2, "is not above 0"),
        (("digits-at", "--gamma", "0.1,0.1"), 2, "names a number twice"),
        (("digits-at", "--steps", "0"), 2, "0 is not in the range"),
        (("digits-at", "--epsilon", "0.1,0.2"), 2, "this command takes one --epsilon"),
        (("digits-at", "--direction", "hessian"), 2, "No such option"),
        (("digits-at", "--epochs", "1:2:1"), 1, "a series of --epochs needs one run folder"),
        (("nothing",), 1, "there is no checkpoint nothing"),
        (("digits-at", "--layers", "xyz"), 1, "no parameter moves with layers 'xyz'"),
        (("digits-at", "--out", "x.jpg"), 1, "a figure is written as .png, .pdf or .svg"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_calls(here: Path, call: Call, arguments: tuple[str, ...], code: int, message: str) -> None:
    found, _, err = call("perturbed-loss", *arguments)
    assert found == code and message in err and "Traceback" not in err
    assert not list(here.glob("*.png"))
