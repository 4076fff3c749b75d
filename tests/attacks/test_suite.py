"""Attacks by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from landscape.attacks.auto import AutoAttack
from landscape.attacks.averaged import AveragedPGD
from landscape.attacks.feature import FeatureAttack
from landscape.attacks.margin import CW
from landscape.attacks.pgd import FGSM, PGD, NoAttack
from landscape.attacks.spsa import SPSA
from landscape.attacks.suite import PRESETS, Surroundings, parse_attack, split_attacks, takes_restarts
from landscape.attacks.threat import ThreatModel
from landscape.attacks.transfer import Surrogate, Transfer
from landscape.errors import InputError
from landscape.models.noisy import NoiseDraws
from landscape.names import ATTACKS, LINE_ATTACKS
from tests.attacks.stages import examples_for, small_model

THREAT = ThreatModel(norm="linf", epsilon=0.1)
INPUTS, LABELS = examples_for((1, 2, 2))
OTHER = Surrogate(forward=small_model((1, 2, 2)), digest="d", name="other")
AROUND = Surroundings(
    threat=THREAT,
    step_size=0.02,
    num_restarts=2,
    targets=lambda: (INPUTS, LABELS),
    surrogate=lambda name: OTHER,
    draws=lambda count: NoiseDraws(seed=5, count=count),
)


def plain(attack: Any) -> dict[str, Any]:
    return dict(attack.settings())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("none", NoAttack(), id="none"),
        pytest.param("PGD-20", PGD(threat=THREAT, step_size=0.02, num_steps=20, num_restarts=2), id="pgd"),
        pytest.param(
            "pgd-5:step=epsilon/10,restarts=3",
            PGD(threat=THREAT, step_size=0.01, num_steps=5, num_restarts=3),
            id="share of epsilon",
        ),
        pytest.param("cw-7", CW(threat=THREAT, step_size=0.02, num_steps=7, num_restarts=2), id="cw"),
        pytest.param(" cw-7 ", CW(threat=THREAT, step_size=0.02, num_steps=7, num_restarts=2), id="cw among blanks"),
        pytest.param(
            "cw-7:step=2/255,kappa=10,restarts=1",
            CW(threat=THREAT, step_size=2 / 255, num_steps=7, kappa=10),
            id="cw with settings",
        ),
        pytest.param("spsa", SPSA(threat=THREAT, num_restarts=2), id="spsa"),
        pytest.param(
            "spsa-3:lr=0.1,delta=0.01,samples=8,restarts=1",
            SPSA(threat=THREAT, num_steps=3, step_size=0.1, delta=0.01, num_samples=8),
            id="spsa with settings",
        ),
        pytest.param(
            "pgd-5:draws=4,restarts=1",
            AveragedPGD(pgd=PGD(threat=THREAT, step_size=0.02, num_steps=5), draws=NoiseDraws(seed=5, count=4)),
            id="averaged",
        ),
        pytest.param(
            "feature-4:step=0.05,restarts=3",
            FeatureAttack(
                pgd=PGD(threat=THREAT, step_size=0.05, num_steps=4, num_restarts=3),
                targets=INPUTS,
                target_labels=LABELS,
            ),
            id="feature",
        ),
        pytest.param(
            "transfer:some/Path.pt",
            Transfer(attack=PGD(threat=THREAT, step_size=0.02, num_steps=20, num_restarts=2), surrogate=OTHER),
            id="transfer",
        ),
        pytest.param(
            "transfer-cw-3:x",
            Transfer(attack=CW(threat=THREAT, step_size=0.02, num_steps=3, num_restarts=2), surrogate=OTHER),
            id="transfer of another attack",
        ),
    ],
)
def test_a_name_stands_for_an_attack(text: str, expected: Any) -> None:
    assert plain(parse_attack(text, None, beside=AROUND)) == plain(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("fgsm", FGSM(threat=THREAT), id="fgsm"),
        pytest.param("fgsm-rs:step=2*epsilon", FGSM(threat=THREAT, random_start=True, step_size=0.2), id="fgsm-rs"),
        pytest.param("autoattack", AutoAttack(threat=THREAT), id="autoattack"),
        pytest.param("fab-t", AutoAttack(threat=THREAT, parts=("fab-t",)), id="part"),
    ],
)
def test_names_without_restarts(text: str, expected: Any) -> None:
    assert parse_attack(text, THREAT) == expected
    with pytest.raises(InputError, match="restarts, got 2"):
        parse_attack(text, THREAT, num_restarts=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("fgsm:step=1", "has no setting step; it takes no settings", id="fgsm has no step"),
        pytest.param("cw-5:lr=1", "has no setting lr; it takes step and restarts and draws and kappa", id="unknown"),
        pytest.param("pgd-5:step=epsilon/0", "an attack is pgd-K, cw-K", id="no number"),
        pytest.param("pgd-5:restarts=1.5", "a whole number of restarts", id="half a restart"),
        pytest.param("pgd", "an attack is pgd-K, cw-K", id="no steps"),
        pytest.param("feature", "only landscape evaluate gives; take another", id="no targets"),
        pytest.param("transfer", "names its surrogate, transfer:CKPT", id="no surrogate"),
        pytest.param("transfer:x", "only landscape evaluate loads; take another", id="nobody loads it"),
        pytest.param("pgd-5:draws=3", "this model has none; leave out draws", id="no noise"),
    ],
)
def test_wrong_names_are_one_sentence(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_attack(text, THREAT)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_name_that_help_and_errors_list_is_an_attack(name: str) -> None:
    text = name.replace("-K", "-3").replace("CKPT", "other")
    assert parse_attack(text, THREAT, beside=replace(AROUND, num_restarts=1)) is not None
    if name not in LINE_ATTACKS:
        with pytest.raises(InputError, match="which only landscape evaluate"):
            parse_attack(text, THREAT)
    with pytest.raises(InputError, match=rf"an attack is .*\b{name}\b.*, got 'pdg-10'"):
        parse_attack("pdg-10", THREAT)


def test_every_attack_but_none_needs_a_threat_model() -> None:
    for text in ("pgd-1", "spsa", "autoattack", "transfer:x", "feature"):
        with pytest.raises(InputError, match="needs a threat model; give --norm and --epsilon"):
            parse_attack(text, None)


def test_settings_stay_with_their_attack_and_presets_are_lists() -> None:
    assert split_attacks("fgsm, pgd-20:step=2/255,restarts=3,cw-100:kappa=0") == [
        "fgsm",
        "pgd-20:step=2/255,restarts=3",
        "cw-100:kappa=0",
    ]
    assert split_attacks("none,awp-draft") == [
        "none",
        "pgd-20:step=0.01",
        "pgd-100:step=epsilon/10",
        "feature-20:step=1/255,restarts=100",
    ]


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_can_be_parsed(preset: str) -> None:
    around = Surroundings(threat=THREAT, targets=lambda: (INPUTS, torch.arange(len(INPUTS))))
    for name in split_attacks(preset):
        assert parse_attack(name, None, beside=around).settings()["epsilon"] == 0.1


@pytest.mark.parametrize(("asked", "expected"), [(1, 10), (3, 3)], ids=["usual", "asked"])
def test_the_feature_attack_has_ten_restarts_unless_others_are_asked_for(asked: int, expected: int) -> None:
    attack = parse_attack("feature-4", None, beside=replace(AROUND, num_restarts=asked))
    assert attack.settings()["num_restarts"] == expected


def test_which_attacks_take_restarts() -> None:
    takes = [
        name for name in ("none", "fgsm", "pgd-5", "cw-5", "spsa", "autoattack", "feature") if takes_restarts(name)
    ]
    assert takes == ["pgd-5", "cw-5", "spsa", "feature"]
