"""AutoAttack, from its package."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from landscape.attacks.auto import STANDARD, AutoAttack, require_package
from landscape.attacks.margin import CW
from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.errors import AttackError, InputError
from landscape.protocols import Attack
from tests.attacks.stages import apgd, examples_for, small_model

SHAPE = (1, 4, 4)
THREAT = ThreatModel(norm="linf", epsilon=0.05)


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    with pytest.raises(AttackError, match=r"not installed; install it with pip install 'robust-landscape\[eval\]'\.$"):
        require_package()


@pytest.mark.parametrize(
    "parts", [pytest.param((), id="none"), pytest.param(("fab-t", "apgd-t"), id="order"), pytest.param(("x",), id="x")]
)
def test_unknown_parts_are_refused(parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="the parts of AutoAttack are apgd-ce, apgd-t, fab-t, square, in this order"):
        AutoAttack(threat=THREAT, parts=parts)


def test_three_classes_are_too_few_for_targeted_losses() -> None:
    pytest.importorskip("pyautoattack")
    inputs, _ = examples_for(SHAPE)
    model, attack = small_model(SHAPE, num_classes=3), apgd(THREAT, "apgd-t")
    starts = attack.starts(torch.arange(6), SHAPE, seed=0)
    with pytest.raises(AttackError, match="need 4 classes, and this model has 3"):
        list(attack.restarts(model, inputs, torch.zeros(6, dtype=torch.long), starts))


def test_it_leaves_no_more_than_its_own_running_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("pyautoattack")
    state = sys.modules[f"{package.__name__}.state"]
    running = []
    add = state.EvaluationState.add_run_attack

    def note(self: Any, attack: str) -> None:
        running.append(float(self.robust_flags.float().mean()))
        add(self, attack)

    monkeypatch.setattr(state.EvaluationState, "add_run_attack", note)
    inputs, _ = examples_for(SHAPE, count=12)
    model = small_model(SHAPE)
    with torch.no_grad():
        labels = model(inputs).argmax(dim=1)
    attack = AutoAttack(threat=ThreatModel(norm="linf", epsilon=0.3), parts=STANDARD[:3])
    (adversarial,) = attack.restarts(model, inputs, labels, attack.starts(torch.arange(12), SHAPE, seed=0))
    with torch.no_grad():
        left = float((model(adversarial).argmax(dim=1) == labels).float().mean())
    assert running and running == sorted(running, reverse=True)
    assert left <= running[-1] < 1.0


def test_it_misses_hardly_anything_that_others_find() -> None:
    pytest.importorskip("pyautoattack")
    inputs, _ = examples_for(SHAPE, count=24)
    model, threat = small_model(SHAPE), ThreatModel(norm="linf", epsilon=0.1)
    with torch.no_grad():
        labels = model(inputs).argmax(dim=1)
    attacks: dict[str, Attack] = {
        "auto": AutoAttack(threat=threat),
        "pgd": PGD(threat=threat, step_size=0.02, num_steps=50, num_restarts=3),
        "cw": CW(threat=threat, step_size=0.02, num_steps=50, num_restarts=3),
    }
    left = {}
    for name, attack in attacks.items():
        starts = attack.starts(torch.arange(24), SHAPE, seed=0)
        made = attack.restarts(model, inputs, labels, starts)
        with torch.no_grad():
            left[name] = torch.stack([model(x).argmax(dim=1) == labels for x in made]).all(dim=0)
    assert 0 < int(left["auto"].sum()) < 24
    assert int((left["auto"] & ~(left["pgd"] & left["cw"])).sum()) <= 2


def test_batches_are_its_own_whatever_batch_it_is_given() -> None:
    pytest.importorskip("pyautoattack")
    inputs, labels = examples_for(SHAPE, count=8)
    attack = AutoAttack(threat=THREAT, parts=("apgd-ce",), batch_size=4)
    starts = attack.starts(torch.arange(8), SHAPE, seed=0)
    assert starts is not None
    model = small_model(SHAPE)
    (whole,) = attack.restarts(model, inputs, labels, starts)
    (part,) = attack.restarts(model, inputs[4:], labels[4:], starts[:, 4:])
    assert torch.equal(whole[4:], part)
