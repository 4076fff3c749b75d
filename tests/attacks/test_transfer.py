"""Examples made on another model."""

from __future__ import annotations

import torch

from landscape.attacks.auto import AutoAttack
from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.attacks.transfer import Surrogate, Transfer
from tests.attacks.stages import examples_for, small_model

SHAPE = (1, 3, 3)


def test_examples_are_made_on_the_surrogate_alone_and_settings_name_it() -> None:
    other, (inputs, labels) = small_model(SHAPE, seed=5), examples_for(SHAPE)
    pgd = PGD(threat=ThreatModel(norm="linf", epsilon=0.1), step_size=0.03, num_steps=3)
    attack = Transfer(attack=pgd, surrogate=Surrogate(forward=other, digest="abc", name="other"))
    starts = attack.starts(torch.arange(6), SHAPE, seed=0)
    (made,) = attack.restarts(_must_not_run, inputs, labels, starts)
    (expected,) = pgd.restarts(other, inputs, labels, starts)
    assert torch.equal(made, expected)
    assert attack.settings() == {
        "name": "transfer",
        "norm": "linf",
        "epsilon": 0.1,
        "num_restarts": 1,
        "surrogate": "abc",
        "attack": pgd.settings(),
    }


def _must_not_run(inputs: torch.Tensor) -> torch.Tensor:
    raise AssertionError("a black-box attack does not look at the model")


def test_random_numbers_that_belong_to_batches_do_so_on_a_surrogate_too() -> None:
    threat = ThreatModel(norm="linf", epsilon=0.1)
    surrogate = Surrogate(forward=_must_not_run, digest="abc", name="other")
    assert Transfer(attack=AutoAttack(threat=threat, batch_size=7), surrogate=surrogate).batch_size == 7
    assert Transfer(attack=PGD(threat=threat, step_size=0.03, num_steps=3), surrogate=surrogate).batch_size is None
