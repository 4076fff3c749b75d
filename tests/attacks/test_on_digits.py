"""Attacks on the bundled checkpoint, against each other and against another library."""

from __future__ import annotations

import warnings
from functools import cache

import pytest
import torch
from torch import Tensor

from landscape.attacks.pgd import FGSM, PGD
from landscape.attacks.suite import parse_attack
from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import Checkpoint, load_checkpoint
from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.protocols import Attack
from landscape.surfaces.evaluation import evaluate

THREAT = ThreatModel(norm="linf", epsilon=0.15)


@cache
def model() -> Checkpoint:
    return load_checkpoint("digits-at")


@cache
def examples(count: int) -> Examples:
    return load_examples("digits", split="test", num_examples=count)


def accuracy(attack: Attack, count: int) -> float:
    return 1.0 - evaluate(model(), examples(count), attack=attack, device="cpu").centre_mean("robust-error")


@pytest.mark.parametrize("name", ["FGSM", "PGD"])
def test_accuracy_is_that_of_torchattacks_at_equal_starts(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pytest.importorskip("torchattacks")
    theirs = (
        library.FGSM(model().model, eps=0.15)
        if name == "FGSM"
        else library.PGD(model().model, eps=0.15, alpha=0.0375, steps=10, random_start=False)
    )
    ours = (
        FGSM(threat=THREAT)
        if name == "FGSM"
        else PGD(threat=THREAT, step_size=0.0375, num_steps=10, random_start=False)
    )
    with torch.random.fork_rng(devices=[]):
        made = theirs(examples(200).inputs, examples(200).labels)
    assert abs(accuracy(ours, 200) - _right(made, examples(200).labels)) <= 0.01


def test_the_margin_attack_finds_about_as_much_as_pgd() -> None:
    assert accuracy(parse_attack("cw-20", THREAT), 200) <= accuracy(parse_attack("pgd-20", THREAT), 200) + 0.02


def test_spsa_comes_close_to_pgd_without_gradients() -> None:
    spsa, pgd = accuracy(parse_attack("spsa:samples=32", THREAT), 60), accuracy(parse_attack("pgd-20", THREAT), 60)
    assert pgd - 0.02 <= spsa <= pgd + 0.05


def test_the_feature_attack_finds_something_and_no_more_than_there_is() -> None:
    inputs, labels = examples(100).inputs, examples(100).labels
    from landscape.attacks.feature import FeatureAttack

    pgd = PGD(threat=THREAT, step_size=0.0375, num_steps=10, num_restarts=3)
    found = accuracy(FeatureAttack(pgd=pgd, targets=inputs, target_labels=labels), 100)
    assert accuracy(parse_attack("pgd-20", THREAT), 100) - 0.02 <= found < accuracy(parse_attack("none", None), 100)


def _right(inputs: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((model().model(inputs).argmax(dim=1) == labels).float().mean())
