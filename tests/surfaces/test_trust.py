"""What `gather_evidence` measures; that the verdicts find what is broken is in tests/analysis/test_check.py."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import load_checkpoint
from landscape.datasets.registry import load_examples
from landscape.models.noisy import inject_noise
from landscape.surfaces.compute import compute_surface
from landscape.surfaces.evidence import Evidence, Twin, mean_loss
from landscape.surfaces.plan import plan_surface
from landscape.surfaces.trust import gather_evidence
from landscape.weights import digest_weights

ATTACK = PGD(threat=ThreatModel(norm="linf", epsilon=0.15), step_size=0.0375, num_steps=4)


Calls = list[tuple[int, int]]


def evidence_of(attack: Any = ATTACK, model: Any = "digits-at", **settings: Any) -> tuple[Evidence, Calls]:
    examples = load_examples("digits", split="train", num_examples=24)
    taken = load_checkpoint(model) if isinstance(model, str) else model
    plan = plan_surface(taken, examples, attack=attack, device="cpu", **settings)
    calls: Calls = []
    return gather_evidence(plan, progress=lambda done, total: calls.append((done, total))), calls


@pytest.fixture(scope="module")
def sound() -> tuple[Evidence, Calls]:
    return evidence_of()


def test_it_measures_the_points_of_a_surface(sound: tuple[Evidence, Calls]) -> None:
    evidence, _ = sound
    examples = load_examples("digits", split="train", num_examples=24)
    surface = compute_surface(
        load_checkpoint("digits-at"), examples, attack=ATTACK, directions=1, grid="-1:1:3", device="cpu"
    )
    np.testing.assert_array_equal(evidence.centre.adversarial_loss, surface.centre.adversarial_loss)
    assert [effort.where for effort in evidence.efforts] == ["the centre", "alpha = -1", "alpha = 1"]
    for effort, index in zip(evidence.efforts[1:], (0, 2), strict=True):
        asked = effort.attacks["4 steps"]
        np.testing.assert_array_equal(asked.adversarial_loss, surface.adversarial_loss[0, index])
        assert list(effort.attacks) == ["4 steps", "8 steps", "20 steps", "5 restarts"]
        assert mean_loss(effort.attacks["5 restarts"]) >= mean_loss(asked)
    largest = int(np.bincount(examples.labels.numpy()).max())
    assert evidence.chance == largest / 24


def test_a_sound_model_leaves_no_trace(sound: tuple[Evidence, Calls]) -> None:
    evidence, _ = sound
    assert all(twin.same_bits for twin in evidence.repeats)
    # A power of two rounds nothing: not even the signs of gradients differ.
    assert [len(entry.places) for entry in evidence.rescalings] == [3, 3]
    assert all(twin.same_bits for entry in evidence.rescalings for twin in entry.twins)
    assert evidence.node_0[0].same_bits
    assert evidence.mode.training_modules == evidence.mode.changed_buffers == ()
    assert not evidence.mode.changed_caller and evidence.mode.repeated_call == 0.0
    assert evidence.directions.num_groups == 16 + 32 + 64 + 10
    assert evidence.directions.largest_deviation < 1e-6 and evidence.directions.felt


def test_progress_counts_every_measurement_once(sound: tuple[Evidence, Calls]) -> None:
    _, calls = sound
    total = calls[0][1]
    assert calls == [(done, total) for done in range(total + 1)]


def test_radii_are_those_of_the_attack(sound: tuple[Evidence, Calls]) -> None:
    evidence, _ = sound
    assert evidence.strength is not None
    assert list(evidence.strength.by_epsilon) == [0.075, 0.15, 0.3]
    np.testing.assert_array_equal(evidence.strength.by_epsilon[0.15].adversarial_loss, evidence.centre.adversarial_loss)


class Along:
    """Moves every weight along itself, by a recipe that is not random."""

    def settings(self) -> dict[str, Any]:
        return {"kind": "along"}

    def moving(self, weights: Any) -> list[str]:
        return list(weights)

    def direction(self, weights: Any, index: int) -> Any:
        return dict(weights)


def test_of_other_kinds_of_direction_nothing_is_claimed() -> None:
    evidence, _ = evidence_of(attack=None, directions=Along())
    assert evidence.directions.claim is None and evidence.rescalings == ()
    assert evidence.no_rescaling == "directions of the kind along belong to the weights that they were made at"


def test_without_pgd_there_is_nothing_to_strengthen() -> None:
    evidence, _ = evidence_of(attack=None)
    assert evidence.efforts == () and evidence.strength is None


@pytest.mark.parametrize(
    ("norm", "one_dim", "num_groups"),
    [("filter", "zero", 122), ("layer", "zero", 4), ("model", "zero", 1), ("layer", "element", 4 + 2 * 112 + 10)],
)
def test_every_claimed_norm_is_compared(norm: str, one_dim: str, num_groups: int) -> None:
    from landscape.surfaces.directions import RandomDirections

    recipe = RandomDirections(norm=norm, one_dim=one_dim)
    evidence, _ = evidence_of(attack=None, directions=recipe)
    assert evidence.directions.num_groups == num_groups
    assert evidence.directions.largest_deviation < 1e-6


def test_the_callers_model_stays_as_it_was() -> None:
    checkpoint = load_checkpoint("digits-at")
    before = digest_weights(checkpoint.model)
    plan = plan_surface(checkpoint, load_examples("digits", split="train", num_examples=8), attack=ATTACK, device="cpu")
    gather_evidence(plan)
    assert digest_weights(checkpoint.model) == before and not checkpoint.model.training


def test_a_network_with_noise_is_measured_under_one_draw() -> None:
    network = inject_noise(copy.deepcopy(load_checkpoint("digits-at").network), alpha=0.1)
    evidence, _ = evidence_of(attack=None, model=network, noise_draws=3)
    assert all(twin.same_bits for twin in evidence.repeats) and evidence.mode.repeated_call == 0.0
    assert all(twin.difference < 1e-5 for twin in evidence.node_0)
    assert set(evidence.centre.clean_correct.tolist()) <= {0, 1}
    # Its layers are no plain ones, whatever they are fed.
    assert evidence.rescalings == ()


def test_twins_compare_bits_and_means(sound: tuple[Evidence, Calls]) -> None:
    centre, end = sound[0].centre, sound[0].efforts[2].attacks["4 steps"]
    assert Twin(where="", expected=centre, found=centre).difference == 0.0
    gap = abs(float(centre.adversarial_loss.astype(float).mean() - end.adversarial_loss.astype(float).mean()))
    assert Twin(where="", expected=centre, found=end).difference == pytest.approx(gap)
