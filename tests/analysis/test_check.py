"""Every check passes on a sound model and finds the model, attack or directions with its fault."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from landscape.analysis.check import (
    ABSENT,
    FAIL,
    PASS,
    WARN,
    Verdict,
    judge,
    judge_efforts,
    judge_masking,
    judge_repeats,
    summary_sentence,
    verdict_table,
    worst_of,
)
from landscape.attacks.pgd import FGSM, PGD
from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import load_checkpoint
from landscape.datasets.registry import load_examples
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.evidence import Evidence
from landscape.surfaces.plan import plan_surface
from landscape.surfaces.trust import gather_evidence
from tests.surfaces import broken

THREAT = ThreatModel(norm="linf", epsilon=0.15)
WIDE = ThreatModel(norm="linf", epsilon=0.6)
ATTACK = PGD(threat=THREAT, step_size=0.06, num_steps=5)

NAMES = (
    "rescaling",
    "repeatability",
    "attack converged",
    "node 0",
    "direction norms",
    "eval mode",
    "accuracy",
    "gradient masking",
)


def network() -> nn.Module:
    return copy.deepcopy(load_checkpoint("digits-at").model)


def evidence_of(model: nn.Module, attack: Any = ATTACK, num_examples: int = 24, **settings: Any) -> Evidence:
    examples = load_examples("digits", split="train", num_examples=num_examples)
    return gather_evidence(plan_surface(model, examples, attack=attack, device="cpu", **settings))


def verdicts_of(*arguments: Any, **settings: Any) -> dict[str, Verdict]:
    return {verdict.name: verdict for verdict in judge(evidence_of(*arguments, **settings))}


@pytest.fixture(scope="module")
def sound() -> Evidence:
    return evidence_of(network())


def test_a_sound_model_passes_every_check(sound: Evidence) -> None:
    verdicts = judge(sound)
    assert tuple(verdict.name for verdict in verdicts) == NAMES
    assert {verdict.name: verdict.status for verdict in verdicts} == dict.fromkeys(NAMES, PASS)
    assert all(verdict.found.endswith(".") and not verdict.advice for verdict in verdicts)


CASES: dict[str, tuple[Callable[[], dict[str, Any]], dict[str, tuple[str, str]]]] = {
    "train-mode": (
        lambda: {"model": broken.NeverInEval(network())},
        {
            "eval mode": (FAIL, "in training mode after eval(); buffers changed by measuring: network.bn1"),
            "repeatability": (PASS, ""),
        },
    ),
    "batch-statistics": (
        lambda: {"model": broken.BatchStatistics(network())},
        {"eval mode": (FAIL, "ogits depend on the rest of the batch"), "repeatability": (PASS, "same bits")},
    ),
    "noise": (
        lambda: {"model": broken.Noisy(network())},
        {
            "repeatability": (FAIL, "Two runs differ"),
            "eval mode": (FAIL, "second call gives other logits"),
            "node 0": (FAIL, "differs from node 0"),
        },
    ),
    "memory": (
        lambda: {"model": broken.Remembers(network())},
        {"node 0": (FAIL, "differs from node 0"), "eval mode": (FAIL, "uffers changed by measuring: calls")},
    ),
    "writes-its-inputs": (
        lambda: {"model": broken.Writes(network())},
        {"eval mode": (FAIL, "overwrites its inputs")},
    ),
    "weights-that-are-no-parameters": (
        lambda: {"model": broken.Detached(network())},
        {"direction norms": (FAIL, "are those of the centre, bit for bit")},
    ),
    "unnormalized": (
        lambda: {"model": network(), "directions": broken.Unnormalized()},
        {"direction norms": (FAIL, "122 norms compared"), "rescaling": (FAIL, "the ends of the curve move")},
    ),
    "norm-of-the-whole-model": (
        lambda: {"model": network(), "directions": RandomDirections(norm="model")},
        {"rescaling": (FAIL, "the ends of the curve move"), "direction norms": (PASS, "1 norm compared")},
    ),
    "constant": (
        lambda: {"model": broken.Constant()},
        {"accuracy": (FAIL, "the most frequent class is"), "gradient masking": (FAIL, "exactly zero")},
    ),
    "masked": (
        lambda: {"model": broken.Quantized(network())},
        {"gradient masking": (FAIL, "exactly zero"), "attack converged": (FAIL, "by 5 restarts")},
    ),
    "shattered": (
        lambda: {"model": broken.Shattered(network())},
        {"gradient masking": (WARN, "stay right at L-inf epsilon 0.5")},
    ),
    "short-attack": (
        lambda: {"model": network(), "attack": PGD(threat=THREAT, step_size=0.01, num_steps=2)},
        {"attack converged": (FAIL, "of its height and more"), "gradient masking": (PASS, "No sign")},
    ),
    "one-step": (
        lambda: {"model": network(), "attack": FGSM(threat=THREAT)},
        {"attack converged": (WARN, "of its height and more")},
    ),
    "not-attacked": (
        lambda: {"model": network(), "attack": None},
        {
            "attack converged": (ABSENT, "nothing is attacked by PGD"),
            "gradient masking": (ABSENT, "nothing is attacked by PGD"),
        },
    ),
    "not-robust": (
        lambda: {
            "model": network(),
            "attack": PGD(threat=ThreatModel(norm="linf", epsilon=0.6), step_size=0.1, num_steps=20),
        },
        {"accuracy": (WARN, "0.0 % robust")},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fault_is_found(case: str) -> None:
    make, expected = CASES[case]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        verdicts = verdicts_of(**make())
    for name, (status, text) in expected.items():
        assert (verdicts[name].status, text in verdicts[name].found + verdicts[name].advice) == (status, True), verdicts
        assert bool(verdicts[name].advice) == (status in (WARN, FAIL))


@pytest.mark.parametrize(("share", "status"), [(0.0, PASS), (0.005, PASS), (0.02, WARN), (10.0, WARN)])
def test_on_cuda_a_difference_is_reported_and_warned_of_above_a_hundredth_of_its_error(
    sound: Evidence, share: float, status: str
) -> None:
    twin = sound.repeats[2]
    error = twin.expected.adversarial_loss.std(ddof=1) / np.sqrt(len(twin.expected))
    found = replace(twin.found, adversarial_loss=twin.found.adversarial_loss + np.float32(share * error))
    verdict = judge_repeats(replace(sound, device="cuda", repeats=(replace(twin, found=found),)))
    assert verdict.status == status
    assert ("standard errors" in verdict.found) == (share > 0)


def test_few_examples_cannot_tell_chance_from_knowledge() -> None:
    verdicts = verdicts_of(network(), num_examples=1)
    assert verdicts["accuracy"].status == ABSENT and "1 examples cannot tell" in verdicts["accuracy"].found


def test_losses_that_are_no_numbers_are_not_called_converged(sound: Evidence) -> None:
    centre, left, right = sound.efforts
    endless = {
        what: replace(measured, adversarial_loss=np.full_like(measured.adversarial_loss, np.inf))
        for what, measured in right.attacks.items()
    }
    verdict = judge_efforts((centre, left, replace(right, attacks=endless)))
    assert verdict.status == WARN and verdict.found == "The loss is not finite at alpha = 1."
    twin = replace(sound.repeats[0], expected=endless["5 steps"], found=endless["5 steps"])
    assert judge_repeats(replace(sound, repeats=(twin,))).status == PASS
    assert judge_masking(replace(sound, efforts=(centre, left, replace(right, attacks=endless)))).status == PASS


def test_a_loss_that_is_no_number_is_no_agreement(sound: Evidence) -> None:
    twin = sound.node_0[1]
    found = replace(twin.found, adversarial_loss=np.full_like(twin.found.adversarial_loss, np.nan))
    verdicts = judge(replace(sound, node_0=(sound.node_0[0], replace(twin, found=found))))
    assert verdicts[3].status == FAIL and "inf" in verdicts[3].found


def test_the_table_says_what_to_do() -> None:
    verdicts = [
        Verdict(name="rescaling", status=PASS, found="Nothing moves."),
        Verdict(name="node 0", status=WARN, found="It moves.", advice="Look."),
    ]
    assert verdict_table(verdicts).splitlines() == [
        "pass  rescaling  Nothing moves.",
        "warn  node 0     It moves.",
        "                 -> Look.",
    ]


@pytest.mark.parametrize(
    ("statuses", "worst", "sentence"),
    [
        ((PASS, ABSENT), PASS, "0 checks failed, 0 warned, of 2: nothing speaks against this landscape."),
        (
            (PASS, WARN),
            WARN,
            "0 checks failed, 1 warned, of 2: a landscape can be drawn; name the warnings with it.",
        ),
        ((FAIL, WARN), FAIL, "1 check failed, 1 warned, of 2: do not trust this landscape."),
    ],
)
def test_the_worst_verdict_decides(statuses: tuple[str, ...], worst: str, sentence: str) -> None:
    verdicts = [Verdict(name="x", status=status, found="") for status in statuses]
    assert worst_of(verdicts) == worst
    assert summary_sentence(verdicts) == sentence
