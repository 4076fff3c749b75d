from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from landscape.analysis.comparison import compare
from landscape.analysis.settings import (
    attacks_apart,
    batchnorm_of,
    describe_attack,
    describe_noise,
    describe_objective,
    describe_settings,
    in_pixels,
    is_attacked,
    measured_as,
    sizes_in_words,
)
from landscape.analysis.style import style_curves
from tests.analysis.synthetic import SPEC, make_surface

ATTACKS: dict[str, tuple[dict[str, Any], str]] = {
    "pgd": ({}, "PGD-10, L∞, ε = 0.15, step 0.0375, 1 random start"),
    "pixels": (
        {"epsilon": 8 / 255, "step_size": 2 / 255, "num_restarts": 3},
        "PGD-10, L∞, ε = 8/255, step 2/255, worst of 3 random starts",
    ),
    "l2": ({"norm": "l2", "epsilon": 0.5, "step_size": 0.1}, "PGD-10, L2, ε = 0.5, step 0.1, 1 random start"),
    "fgsm": (
        {"num_steps": 1, "step_size": 0.15, "random_start": False},
        "FGSM, L∞, ε = 0.15, step 0.15, no random start",
    ),
    "fgsm-rs": ({"num_steps": 1, "step_size": 0.15}, "FGSM-RS, L∞, ε = 0.15, step 0.15, 1 random start"),
    "unknown settings": ({"kappa": 50}, "PGD-10, L∞, ε = 0.15, step 0.0375, 1 random start, kappa 50"),
    "no attack": ({"name": "none"}, "no attack"),
}


@pytest.mark.parametrize(("changes", "text"), ATTACKS.values(), ids=ATTACKS.keys())
def test_attack_in_words(changes: dict[str, Any], text: str) -> None:
    assert describe_attack({"attack": {**SPEC["attack"], **changes}}) == text


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        pytest.param({}, "none", id="without"),
        pytest.param(
            {"noise": {"kind": "pni-w", "seed": 3, "draws": 1}}, "parametric, on weights, 1 draw, seed 3", id="1"
        ),
        pytest.param(
            {"noise": {"kind": "pni-w", "seed": 0, "draws": 5}},
            "parametric, on weights, mean of 5 draws, seed 0",
            id="5",
        ),
        pytest.param(
            {"noise": {"kind": "other"}}, "other, mean of not recorded draws, seed not recorded", id="unknown"
        ),
    ],
)
def test_noise_in_words(spec: dict[str, Any], text: str) -> None:
    assert describe_noise(spec) == text


def test_own_examples_are_not_of_a_split() -> None:
    own = make_surface(num_directions=1, num_examples=20, data={"dataset": "own", "split": "own"})
    assert describe_settings(own)["Examples"] == "20 of the caller's own"


WAYS: dict[str, tuple[dict[str, Any], str]] = {
    "adversarial": ({}, "on the fly"),
    "fixed": ({"objective": "fixed"}, "fixed"),
    "clean": ({"objective": "clean", "attack": {"name": "none"}}, "natural"),
    "no attack": ({"attack": {"name": "none"}}, "natural"),
    "fixed without attack": ({"objective": "fixed", "attack": {"name": "none"}}, "natural"),
}


@pytest.mark.parametrize(("changes", "way"), WAYS.values(), ids=WAYS.keys())
def test_what_was_measured(changes: dict[str, Any], way: str) -> None:
    surface = make_surface(num_directions=1, num_examples=3, **changes)
    assert measured_as(surface) == way
    assert is_attacked(surface) == (way != "natural")
    assert (describe_objective(surface) == "clean examples only") == (way == "natural")


def test_attacks_are_told_apart_by_what_differs() -> None:
    longer = {"num_steps": 50, "num_restarts": 5}
    surfaces = [make_surface(num_directions=1, num_examples=3, attack=changes) for changes in ({}, longer)]
    assert attacks_apart(surfaces) == ["PGD-10, 1 random start", "PGD-50, worst of 5 random starts"]
    assert attacks_apart(surfaces[:1] * 2) == ["", ""]


def test_absent_attack_is_said() -> None:
    assert describe_attack({}) == "not recorded"


@pytest.mark.parametrize(("size", "text"), [(8 / 255, "8/255"), (0.3, "0.3"), (0.5, "0.5"), (1.0, "1"), (0.0, "0")])
def test_sizes_in_pixels(size: float, text: str) -> None:
    assert in_pixels(size) == text


POLICIES: dict[str, tuple[Any, str, str]] = {
    "frozen": ("frozen", "frozen", "frozen"),
    "reestimated": (
        {"name": "reestimate", "source": "adversarial", "batch_size": 64, "seed": 1},
        "statistics re-estimated at every point from adversarial examples made there, batches of at most 64 in random "
        "order (seed 1)",
        "reestimate from adversarial",
    ),
    "batch": (
        {"name": "batch", "batch_size": 128, "seed": 0},
        "statistics of each batch itself, batches of at most 128 in random order (seed 0)",
        "batch",
    ),
    "more settings": (
        {"name": "batch", "batch_size": 2, "seed": 0, "momentum": 0.5},
        "statistics of each batch itself, batches of at most 2 in random order (seed 0), momentum 0.5",
        "batch",
    ),
    "unknown": ({"name": "group", "size": 3}, "name group size 3", "group"),
    "a strange file": ({"name": ["batch"]}, "name ['batch']", "['batch']"),
}


@pytest.mark.parametrize(("setting", "words", "short"), POLICIES.values(), ids=POLICIES.keys())
def test_batchnorm_policies_in_words(setting: Any, words: str, short: str) -> None:
    surface = make_surface(num_directions=1, num_examples=3)
    changed = dataclasses.replace(surface, spec={**surface.spec, "batchnorm": setting})
    assert describe_settings(changed)["BatchNorm"] == words
    assert batchnorm_of(changed) == short


def test_curves_of_several_policies_say_theirs() -> None:
    surface = make_surface(num_directions=4, num_examples=20)
    other = dataclasses.replace(surface, spec={**surface.spec, "batchnorm": POLICIES["batch"][0]})
    a, b = style_curves([surface, other])
    assert [a.label, b.label] == ["digits-at (BatchNorm frozen)", "digits-at (BatchNorm batch)"]
    assert "measured differently: BatchNorm (frozen / statistics of each batch itself, " in compare(a, b)


def test_several_sizes_are_written_alike() -> None:
    assert sizes_in_words([0.0, 2 / 255, 8 / 255]) == ["0", "2/255", "8/255"]
    assert sizes_in_words([0.0, 0.05, 0.2]) == ["0", "0.05", "0.2"]


def test_every_setting_is_described() -> None:
    surface = make_surface(num_directions=3, num_examples=5, directions={"seed": 4, "layers": "^conv"})
    assert describe_settings(surface) == {
        "Attack": "PGD-10, L∞, ε = 0.15, step 0.0375, 1 random start; attacked anew at every α",
        "Loss": "cross-entropy",
        "Examples": "5 of digits train",
        "Directions": "3 random Gaussian, filter-normalized, one-dimensional parameters not moved",
        "BatchNorm": "frozen",
        "Precision": "fp32",
        "Seeds": "directions 4, attack 0",
        "Layers moved": "^conv",
    }


def test_an_empty_spec_is_described_without_inventing() -> None:
    surface = make_surface(num_directions=1, num_examples=5)
    bare = {name: surface.spec[name] for name in ("grid", "num_directions")}
    described = describe_settings(dataclasses.replace(surface, spec=bare))
    assert described["Seeds"] == "directions ?, attack not recorded"
    assert described["BatchNorm"] == described["Loss"] == "not recorded"
    assert described["Examples"] == "5"


@pytest.mark.parametrize(
    "attack",
    [
        {"name": "pgd", "epsilon": "much", "norm": ["linf"], "step_size": 1e308},
        {"name": "\ud800", "epsilon": None},
        {"name": 7, "epsilon": [1], "num_steps": {}},
        "pgd",
    ],
)
def test_an_attack_from_a_strange_file_is_still_described(attack: object) -> None:
    describe_attack({"attack": attack}).encode()
