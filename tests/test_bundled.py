from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import click
import numpy as np
import pytest

from landscape.analysis.statistics import paired_difference
from landscape.attacks.measure import measure
from landscape.attacks.pgd import PGD
from landscape.checkpoints import bundled_folder, find_checkpoint, load_checkpoint
from landscape.datasets.registry import load_examples
from landscape.names import BUNDLED
from landscape.surfaces.compute import compute_surface
from landscape.weights import bind


def training_attack(name: str, num_steps: int) -> PGD:
    checkpoint = load_checkpoint(name)
    assert checkpoint.threat is not None and checkpoint.step_size is not None
    return PGD(threat=checkpoint.threat, step_size=checkpoint.step_size, num_steps=num_steps)


def test_the_bundle_holds_what_the_names_say() -> None:
    assert {path.stem for path in bundled_folder().glob("*.pt")} == set(BUNDLED)
    epochs = {name: load_checkpoint(name).training["epoch"] for name in BUNDLED}
    assert epochs == {
        "digits-at": 100,
        "digits-at-awp": 100,
        "digits-at-early": 10,
        "digits-at-awp-early": 10,
        "digits-at-epoch005": 5,
        "digits-at-epoch050": 50,
    }
    assert all(find_checkpoint(name).stat().st_size < 200_000 for name in BUNDLED)


@pytest.mark.parametrize("name", ["digits-at", "digits-at-awp"])
def test_the_stored_metrics_are_measured_again(name: str) -> None:
    checkpoint = load_checkpoint(name)
    examples = load_examples("digits", split="test")
    attack = training_attack(name, 20)
    starts = attack.starts(examples.ids, examples.image_shape, seed=0)
    found = measure(bind(checkpoint.model, {}), examples.inputs, examples.labels, attack, starts=starts)
    stored = checkpoint.training["metrics"]
    assert found.clean_correct.mean() == pytest.approx(stored["test_natural_accuracy"], abs=2 / 797)
    assert found.adversarial_correct.mean() == pytest.approx(stored["test_robust_accuracy"], abs=2 / 797)
    assert found.adversarial_loss.mean() == pytest.approx(stored["test_robust_loss"], rel=1e-3)


def test_on_the_fly_is_at_least_twice_fixed_away_from_the_centre() -> None:
    examples = load_examples("digits", num_examples=200)
    attack = training_attack("digits-at", 10)
    fly, fixed = (
        compute_surface(
            load_checkpoint("digits-at"),
            examples,
            attack=attack,
            objective=objective,
            directions=3,
            grid="-1:1:5",
            device="cpu",
        )
        for objective in ("adversarial", "fixed")
    )
    assert bool((fly.mean() >= fixed.mean() - 1e-3).all())
    ratio = fly.mean().mean(axis=0) / fixed.mean().mean(axis=0)
    assert ratio[[0, 1, 3, 4]].min() >= 2.0
    assert ratio[2] == pytest.approx(1.0, rel=1e-4)


def test_awp_is_flatter_on_the_same_directions_examples_and_starts() -> None:
    examples = load_examples("digits", num_examples=200)
    at, awp = (
        compute_surface(
            load_checkpoint(name),
            examples,
            attack=training_attack(name, 10),
            directions=5,
            grid="-0.5:0.5:3",
            device="cpu",
        )
        for name in ("digits-at", "digits-at-awp")
    )
    difference = paired_difference(at, awp, 0.5)
    assert difference is not None and difference.paired
    assert difference.low is not None and difference.low > 0


def test_the_example_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(example, {})
    alpha, means = printed.getvalue().split(") [")
    assert alpha == "(-1.0, -0.5, 0.0, 0.5, 1.0"
    values = np.array(means.strip(" ]\n").split(), dtype=float)
    assert values.argmin() == 2
    assert list(tmp_path.iterdir()) == []


def test_the_commands_of_the_readme_exist() -> None:
    from landscape.cli.main import COMMANDS, group

    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    calls = re.findall(r"^(?:OMP_NUM_THREADS=1 )?landscape ([a-z0-9-]+)(.*)$", readme, flags=re.MULTILINE)
    assert len(calls) >= 8
    for name, rest in calls:
        assert name in COMMANDS
        command = group.get_command(None, name)  # type: ignore[arg-type]  # the context is not looked at
        assert command is not None
        if isinstance(command, click.Group):
            command = command.commands[rest.split()[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"(?<=\s)--[a-z0-9-]+", rest.partition(" # ")[0])) <= known, rest
