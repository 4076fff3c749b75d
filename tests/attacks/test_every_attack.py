"""What holds for every attack: ball, box, batches, and global random numbers left alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.attacks.budget import threat_of
from landscape.attacks.threat import ThreatModel
from landscape.files import canonical_json
from landscape.protocols import Attack
from tests.attacks.stages import ATTACKS, apgd, examples_for, small_model

SHAPE = (1, 4, 4)


@pytest.mark.parametrize("name", ATTACKS)
@settings(max_examples=15, deadline=None)
@given(
    norm=st.sampled_from(["linf", "l2"]),
    epsilon=st.floats(0, 1),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 2**64 - 1),
)
def test_adversarial_examples_stay_in_ball_and_box(
    name: str, norm: str, epsilon: float, shape: tuple[int, int, int], seed: int
) -> None:
    threat = ThreatModel(norm=norm, epsilon=epsilon if norm == "linf" else 3 * epsilon)
    inputs, labels = examples_for(shape, seed=seed)
    attack = ATTACKS[name](threat, inputs, labels)
    starts = attack.starts(torch.arange(len(inputs)), shape, seed=seed)
    made = list(attack.restarts(small_model(shape), inputs, labels, starts))
    assert len(made) == attack.settings().get("num_restarts", 1)
    for adversarial in made:
        delta = (adversarial - inputs).flatten(1).double()
        size = delta.abs().amax(dim=1) if norm == "linf" else delta.norm(dim=1)
        assert bool((size <= (0.0 if name == "none" else threat.epsilon) + 1e-6).all())
        assert adversarial.shape == inputs.shape
        assert bool(((adversarial >= 0) & (adversarial <= 1)).all())


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("part", ["apgd-ce", "apgd-t", "fab-t"])
def test_parts_of_autoattack_stay_in_ball_and_box(part: str, norm: str) -> None:
    pytest.importorskip("pyautoattack")
    threat = ThreatModel(norm=norm, epsilon=0.5 if norm == "linf" else 2.0)
    inputs, labels = examples_for(SHAPE)
    model = small_model(SHAPE)
    with torch.no_grad():
        labels = model(inputs).argmax(dim=1)
    (adversarial,) = apgd(threat, part).restarts(model, inputs, labels, _starts(apgd(threat, part)))
    delta = (adversarial - inputs).flatten(1).double()
    size = delta.abs().amax(dim=1) if norm == "linf" else delta.norm(dim=1)
    assert bool((size <= threat.epsilon + 1e-6).all()) and float(size.max()) > 0.01
    assert bool(((adversarial >= 0) & (adversarial <= 1)).all())


@pytest.mark.parametrize("name", ATTACKS)
def test_an_example_does_not_depend_on_its_batch(name: str) -> None:
    inputs, labels = examples_for(SHAPE)
    attack = ATTACKS[name](ThreatModel(norm="linf", epsilon=0.1), inputs, labels)
    model, starts = small_model(SHAPE), _starts(attack)
    whole = torch.stack(list(attack.restarts(model, inputs, labels, starts)))
    for first, last in ((0, 1), (1, 4), (4, 6)):
        rows = slice(first, last)
        part = attack.restarts(model, inputs[rows], labels[rows], None if starts is None else starts[:, rows])
        # One step of an Adam or a sign flips where a gradient is zero to rounding; random weights have none there.
        torch.testing.assert_close(torch.stack(list(part)), whole[:, rows], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [*ATTACKS, "apgd-ce"])
def test_global_random_numbers_and_the_model_are_left_alone(name: str) -> None:
    inputs, labels = examples_for(SHAPE)
    threat = ThreatModel(norm="linf", epsilon=0.1)
    if name == "apgd-ce":
        pytest.importorskip("pyautoattack")
    attack: Attack = ATTACKS[name](threat, inputs, labels) if name in ATTACKS else apgd(threat, name)
    model = small_model(SHAPE)
    before, weights = torch.random.get_rng_state(), [weight.clone() for weight in model.parameters()]
    made = [list(attack.restarts(model, inputs, labels, _starts(attack))) for _ in range(2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(old, new) for old, new in zip(weights, model.parameters(), strict=True))
    assert all(weight.grad is None for weight in model.parameters())
    assert all(torch.equal(one, other) for one, other in zip(*made, strict=True)), "twice the same"
    assert not any(adversarial.requires_grad for adversarial in made[0])


@pytest.mark.parametrize("name", ATTACKS)
def test_settings_are_plain_and_name_the_ball(name: str) -> None:
    inputs, labels = examples_for(SHAPE)
    threat = ThreatModel(norm="linf", epsilon=0.1)
    attack = ATTACKS[name](threat, inputs, labels)
    canonical_json(attack.settings())
    assert isinstance(attack, Attack)
    if name != "none":
        assert attack.settings()["epsilon"] == 0.1 and threat_of(attack) == threat


def _starts(attack: Attack) -> torch.Tensor | None:
    return attack.starts(torch.arange(6), SHAPE, seed=3)
