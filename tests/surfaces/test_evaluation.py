"""Evaluations: the centre of a surface, cached, verified, and taken from surfaces that have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from landscape.attacks.measure import measure
from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import Checkpoint, load_checkpoint
from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.errors import AttackError, Interrupted
from landscape.surfaces.compute import compute_surface
from landscape.surfaces.evaluation import at_the_centre, evaluate, plan_evaluation, run_evaluation
from landscape.surfaces.plan import plan_surface
from landscape.surfaces.store import SurfaceStore, load_surface
from landscape.surfaces.surface import NOT_FINITE

if TYPE_CHECKING:
    from landscape.protocols import Forward

PGD_3 = PGD(threat=ThreatModel(norm="linf", epsilon=0.15), step_size=0.0375, num_steps=3, num_restarts=2)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint("digits-at")


@pytest.fixture(scope="module")
def examples() -> Examples:
    return load_examples("digits", split="test", num_examples=24)


def test_an_evaluation_is_plain_measurement_at_the_models_own_weights(
    checkpoint: Checkpoint, examples: Examples
) -> None:
    seen: list[tuple[int, int]] = []
    surface = evaluate(
        checkpoint, examples, attack=PGD_3, batch_size=10, device="cpu", progress=lambda *step: seen.append(step)
    )
    starts = PGD_3.starts(examples.ids, examples.image_shape, seed=0)
    expected = measure(checkpoint.model, examples.inputs, examples.labels, PGD_3, starts=starts)
    np.testing.assert_allclose(surface.centre.adversarial_loss, expected.adversarial_loss, atol=1e-4)
    np.testing.assert_array_equal(surface.centre.adversarial_correct, expected.adversarial_correct)
    np.testing.assert_array_equal(surface.centre.clean_correct, expected.clean_correct)
    assert surface.complete and surface.num_points == 1 and surface.label == "digits-at"
    assert seen[0] == (0, 48) and seen[-1] == (48, 48)


def test_the_second_call_is_answered_by_the_file(
    checkpoint: Checkpoint, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate(checkpoint, examples, attack=PGD_3, cache_dir=tmp_path, device="cpu")
    monkeypatch.setattr(PGD, "restarts", _must_not_run)
    again = evaluate(checkpoint, examples, attack=PGD_3, cache_dir=tmp_path, device="cpu")
    assert again.key == first.key
    for name, array in first.centre.arrays().items():
        np.testing.assert_array_equal(again.centre.arrays()[name], array)
    (path,) = tmp_path.glob("*.h5")
    assert load_surface(path).complete


def test_the_centre_of_a_surface_is_taken(
    checkpoint: Checkpoint, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    surface = compute_surface(
        checkpoint, examples, attack=PGD_3, directions=1, grid="-1:1:2", cache_dir=tmp_path, device="cpu"
    )
    monkeypatch.setattr(PGD, "restarts", _must_not_run)
    found = evaluate(checkpoint, examples, attack=PGD_3, cache_dir=tmp_path, device="cpu")
    np.testing.assert_array_equal(found.centre.adversarial_loss, surface.centre.adversarial_loss)
    assert found.provenance[0]["reused_from"] == surface.key


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"seed": 1}, id="seed"),
        pytest.param({"attack": PGD(threat=PGD_3.threat, step_size=0.03, num_steps=3)}, id="attack"),
        pytest.param({"attack": None}, id="none"),
    ],
)
def test_another_measurement_is_not_taken(
    checkpoint: Checkpoint, examples: Examples, change: dict[str, Any], tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"attack": PGD_3, "device": "cpu"}
    first = evaluate(checkpoint, examples, cache_dir=tmp_path, **asked)
    other = evaluate(checkpoint, examples, cache_dir=tmp_path, **{**asked, **change})
    assert other.key != first.key and "reused_from" not in other.provenance[0]
    assert len(list(tmp_path.glob("*.h5"))) == 2


def test_the_evaluation_of_a_plan_is_that_of_its_model_however_the_plan_measures_it(
    checkpoint: Checkpoint, examples: Examples
) -> None:
    expected = plan_evaluation(checkpoint, examples, attack=PGD_3, device="cpu", seed=3)
    about: dict[str, Any] = {"attack": PGD_3, "directions": 2, "grid": "-1:1:3", "device": "cpu", "seed": 3}
    others: list[dict[str, Any]] = [{}, {"loss": "margin"}, {"batchnorm": "reestimate"}, {"objective": "fixed"}]
    for other in others:
        plan = replace(plan_surface(checkpoint, examples, **about, **other), sampling={"until_se": 1.0})
        assert at_the_centre(plan).key == expected.key


def test_a_surface_does_not_change_its_key_because_evaluations_lie_beside_it(
    checkpoint: Checkpoint, examples: Examples, tmp_path: Path
) -> None:
    evaluate(checkpoint, examples, attack=PGD_3, cache_dir=tmp_path, device="cpu")
    asked: dict[str, Any] = {"attack": PGD_3, "directions": 1, "grid": "-1:1:2", "device": "cpu"}
    assert compute_surface(checkpoint, examples, cache_dir=tmp_path, **asked).key == (
        compute_surface(checkpoint, examples, **asked).key
    )


def test_nothing_half_done_stays(checkpoint: Checkpoint, examples: Examples, tmp_path: Path) -> None:
    plan = plan_evaluation(checkpoint, examples, attack=_Stopped(), device="cpu")
    with pytest.raises(Interrupted):
        run_evaluation(plan, cache_dir=tmp_path)
    assert not list(tmp_path.glob("*.h5"))
    assert SurfaceStore(tmp_path).collect(plan.key) is None


def test_an_attack_that_leaves_its_ball_is_refused(checkpoint: Checkpoint, examples: Examples, tmp_path: Path) -> None:
    with pytest.raises(AttackError, match=r"stay within linf 0\.1 of its inputs, got 0\.5; project"):
        evaluate(checkpoint, examples, attack=_Outside(), cache_dir=tmp_path, device="cpu")
    assert not list(tmp_path.glob("*.h5"))


def test_a_model_that_gives_no_numbers_is_reported_as_such(examples: Examples) -> None:
    layer = torch.nn.Linear(64, 10)
    torch.nn.init.constant_(layer.weight, torch.nan)
    broken = torch.nn.Sequential(torch.nn.Flatten(), layer)
    surface = evaluate(broken, examples, attack=PGD_3, device="cpu")
    assert surface.centre_status == NOT_FINITE
    assert not surface.centre.adversarial_correct.any() and not surface.centre.clean_correct.any()


def _must_not_run(*arguments: Any, **options: Any) -> Iterator[Tensor]:
    raise AssertionError("nothing has to be attacked")


class _Outside:
    threat = ThreatModel(norm="linf", epsilon=0.1)

    def settings(self) -> Mapping[str, Any]:
        return {"name": "outside", **self.threat.settings()}

    def starts(self, ids: Tensor, shape: tuple[int, ...], *, seed: int) -> Tensor | None:
        return None

    def restarts(self, forward: Forward, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> Iterator[Tensor]:
        yield torch.where(inputs < 0.5, inputs + 0.5, inputs - 0.5)


class _Stopped(_Outside):
    def restarts(self, forward: Forward, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> Iterator[Tensor]:
        raise KeyboardInterrupt
