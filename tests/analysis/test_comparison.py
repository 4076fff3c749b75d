from __future__ import annotations

from typing import Any

import pytest

from landscape.analysis.comparison import compare, comparison_sentences
from landscape.analysis.statistics import paired_difference
from tests.analysis.test_tables import AT, AWP, CLEAN, curves_of


def test_flatter_names_radius_interval_and_basis() -> None:
    at, awp = curves_of(AT, AWP)
    difference = paired_difference(at.surface, awp.surface, 0.5)
    assert difference is not None
    assert difference.low is not None
    assert difference.high is not None
    expected = (
        f"awp is flatter than at at r = 0.5 by {difference.value:.2f} [{difference.low:.2f}, {difference.high:.2f}] "
        "(95 %, paired over 10 directions, 100 examples)."
    )
    assert compare(at, awp) == expected
    assert compare(awp, at) == expected


SENTENCES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "no difference": (
        {**AT, "seed": 1},
        {**AT, "label": "twin", "seed": 2},
        ("No difference is shown between at and twin at r = 0.5", "includes 0 (95 %, paired"),
    ),
    "one direction": (
        {**AT, "num_directions": 1},
        {**AWP, "num_directions": 1},
        ("there is no interval with 1 direction and 100 examples",),
    ),
    "two directions": (
        {**AT, "num_directions": 2},
        {**AWP, "num_directions": 2},
        ("No difference is shown between at and awp", "there is no interval with 2 directions"),
    ),
    "other shapes": (
        AT,
        {**AWP, "parameter_shapes": "other"},
        ("unpaired over 10 directions, paired over 100 examples", "Note: the shapes of their parameters differ."),
    ),
    "other attack": (
        AT,
        {**AWP, "attack": {"num_steps": 20}},
        ("Note: they were measured differently: attack (PGD-10 / PGD-20).",),
    ),
    "other noise": (
        {**AT, "noise": {"kind": "pni-w", "seed": 0, "draws": 1}},
        {**AWP, "noise": {"kind": "pni-w", "seed": 0, "draws": 5}},
        ("noise (parametric, on weights, 1 draw, seed 0 / parametric, on weights, mean of 5 draws, seed 0).",),
    ),
    "smaller grid": ({**AT, "grid": "-0.3:0.3:7"}, AWP, ("at r = 0.25 by ~", "Note: ~ interpolated")),
    "no common radius": (
        {**AT, "grid": "-0.05:0.05:5"},
        AWP,
        ("are not compared: no radius of 0.1, 0.25, 0.5, 1 lies in both grids.",),
    ),
    "masked": (AT, {**AWP, "missing": ((0, 5),)}, ("over 9 directions", "Note: 1 curve left out")),
}


@pytest.mark.parametrize(("a", "b", "parts"), SENTENCES.values(), ids=SENTENCES.keys())
def test_sentences_claim_no_more_than_they_show(a: dict[str, Any], b: dict[str, Any], parts: tuple[str, ...]) -> None:
    (sentence,) = comparison_sentences(curves_of(a, b))
    for part in parts:
        assert part in sentence


def test_pairs_are_compared_within_a_split() -> None:
    test = {"data": {"split": "test", "digest": "data-1"}}
    curves = curves_of(AT, {**AT, **test, "weights": "0"}, {**AWP, "weights": "2"}, {**AWP, **test, "weights": "2"})
    first, second = comparison_sentences(curves)
    assert first.startswith("awp (train) is flatter than at (train)")
    assert second.startswith("awp (test) is flatter than at (test)")
    assert comparison_sentences(curves[:2]) == []
    assert comparison_sentences(curves_of(AT, AWP, {**AWP, "label": "third"})) == []


CONTROLS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "fixed": (
        {"objective": "fixed", "sharpness": 4.0},
        (
            "at (on the fly) and at (fixed) are the same weights, measured differently: objective (attacked anew at "
            "every α / adversarial examples made once, at α = 0). at (on the fly) rises by ",
            " more than at (fixed) at r = 0.5 (95 %, paired over 10 directions, 100 examples).",
        ),
    ),
    "natural": (
        {**CLEAN, "sharpness": 4.0},
        ("objective (attacked anew at every α / clean examples only). at (on the fly) rises by", "than at (natural)"),
    ),
    "another attack": (
        {"attack": {"num_steps": 50}, "sharpness": 8.1},
        ("at [PGD-10] and at [PGD-50] are the same weights, measured differently: attack (PGD-10 / PGD-50).",),
    ),
    "other directions": (
        {"directions": {"seed": 1}},
        ("are the same weights. No difference is shown", "Note: the recipes or seeds of their directions differ."),
    ),
    "nothing": ({}, ("at #1 and at #2 are the same weights, measured in the same way: there is no difference.",)),
}


@pytest.mark.parametrize(("changes", "parts"), CONTROLS.values(), ids=CONTROLS.keys())
def test_the_same_weights_are_never_flatter_than_themselves(changes: dict[str, Any], parts: tuple[str, ...]) -> None:
    (sentence,) = comparison_sentences(curves_of({**AT, "weights": "0"}, {**AT, "weights": "0", **changes}))
    assert "flatter" not in sentence
    for part in parts:
        assert part in sentence


def test_other_weights_measured_otherwise_are_not_called_flatter() -> None:
    (sentence,) = comparison_sentences(curves_of(AT, {**AWP, "objective": "fixed"}))
    assert "flatter" not in sentence
    assert "at (on the fly) rises by " in sentence
    assert "Note: they were measured differently: objective (" in sentence


UNITS: dict[str, tuple[str, tuple[str, ...]]] = {
    "natural-loss": ("natural-loss", ("in natural loss at r = 0.5",)),
    "robust-error": ("robust-error", ("in robust error at r = 0.5", "] percentage points (95 %")),
}


@pytest.mark.parametrize(("quantity", "parts"), UNITS.values(), ids=UNITS.keys())
def test_sentences_name_quantity_and_unit(quantity: str, parts: tuple[str, ...]) -> None:
    (sentence,) = comparison_sentences(curves_of(AT, AWP), quantity)
    for part in parts:
        assert part in sentence


def test_of_more_than_two_those_attacked_in_one_way_are_compared() -> None:
    curves = curves_of(AT, AWP, {**AT, "weights": "0", **CLEAN}, {**AWP, "weights": "1", **CLEAN})
    first, second = comparison_sentences(curves)
    assert first.startswith("awp (on the fly) is flatter than at (on the fly) at r = 0.5")
    assert "between at (natural) and awp (natural) in natural loss" in second or "in natural loss at r" in second
