"""The feature attack."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape.attacks.feature import FeatureAttack
from landscape.attacks.modules import Features, module_of
from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.errors import AttackError, InputError
from landscape.weights import ResidentModel
from tests.attacks.stages import examples_for, small_model

SHAPE = (1, 3, 3)
PGD_5 = PGD(threat=ThreatModel(norm="linf", epsilon=0.1), step_size=0.03, num_steps=5, num_restarts=4)


def test_features_are_what_goes_into_the_last_linear_layer() -> None:
    model, (inputs, _) = small_model(SHAPE), examples_for(SHAPE)
    assert isinstance(model, nn.Sequential)
    torch.testing.assert_close(Features(model)(inputs), model[:3](inputs))
    assert not model[3]._forward_pre_hooks


def test_it_moves_towards_the_features_of_another_class() -> None:
    model, (inputs, labels) = small_model(SHAPE), examples_for(SHAPE)
    attack = FeatureAttack(pgd=PGD_5, targets=inputs, target_labels=labels)
    starts = attack.starts(torch.arange(6), SHAPE, seed=0)
    assert starts is not None
    features = Features(model)
    for start, adversarial in zip(starts, attack.restarts(ResidentModel(model), inputs, labels, starts), strict=True):
        targets = attack._targets(start, labels)
        chosen = [next(int(i) for i in range(6) if torch.equal(inputs[i], target)) for target in targets]
        assert all(labels[i] != label for i, label in zip(chosen, labels, strict=True))
        with torch.no_grad():
            wanted = features(targets)
            moved = torch.cosine_similarity(features(adversarial), wanted)
            before = torch.cosine_similarity(features((inputs + start).clamp(0, 1)), wanted)
        assert bool((moved >= before - 1e-6).all()) and bool((moved > before).any())


def test_a_plain_function_has_no_features() -> None:
    with pytest.raises(AttackError, match=r"was given a plain function; give it a torch\.nn\.Module"):
        module_of(lambda x: x, attack="feature")


def test_a_model_without_a_linear_layer_has_none() -> None:
    with pytest.raises(AttackError, match="last linear layer, and this model has none; leave it out"):
        Features(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()))


def test_examples_of_one_class_are_no_targets() -> None:
    inputs, _ = examples_for(SHAPE)
    with pytest.raises(InputError, match="all of these are of one class"):
        FeatureAttack(pgd=PGD_5, targets=inputs, target_labels=torch.zeros(6, dtype=torch.long))
