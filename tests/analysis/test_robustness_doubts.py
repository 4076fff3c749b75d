"""Signs that an evaluation is not to be believed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from landscape.analysis.robustness import Evaluated
from landscape.analysis.robustness_doubts import allowance, doubts, repeated_seeds
from landscape.surfaces.surface import Surface
from tests.analysis.evaluated import evaluation, model

MARGIN = {"name": "margin", "kappa": 0.0}


def right(count: int, *, of: int = 100, **attack: Any) -> Surface:
    """An evaluation in which the first `count` of many examples are right."""
    return evaluation([1] * count + [0] * (of - count), **attack)


def cw(count: int, *, num_steps: int = 20) -> Surface:
    surface = right(count, num_steps=num_steps)
    surface.spec["attack"]["loss"] = MARGIN
    return surface


FGSM: dict[str, Any] = {"num_steps": 1, "random_start": False}
AUTO: dict[str, Any] = {"name": "autoattack"}


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        pytest.param(
            model({"pgd-20": right(40), "pgd-100": right(43, num_steps=100)}),
            "model (test): pgd-100 is weaker than pgd-20, which finds 3 examples more",
            id="more steps weaker",
        ),
        pytest.param(
            model({"fgsm": right(40, **FGSM), "pgd-20": right(50)}),
            "pgd-20 is weaker than fgsm, which finds 10 examples more",
            id="weaker than one step",
        ),
        pytest.param(
            model({"pgd-20": right(40), "cw-20": cw(43)}), "cw-20 is weaker than pgd-20, which finds 3", id="margin"
        ),
        pytest.param(
            model({"pgd-20": right(40), "spsa": right(30, name="spsa")}),
            "spsa, which sees no gradient, finds 10 examples more than pgd-20; gradients may be masked",
            id="black box stronger",
        ),
        pytest.param(
            model({"pgd-20": right(40), "autoattack": right(43, **AUTO)}),
            "autoattack missed 3 examples that another attack found",
            id="autoattack missed",
        ),
        pytest.param(
            model({"pgd-20": right(60, epsilon=0.5)}),
            "60.0 % under pgd-20 with ε = 0.5, where every image can be made the same grey one and 34.0 % is chance",
            id="above chance",
        ),
        pytest.param(
            model({"pgd-20": evaluation([0, 0, 0], loss=math.nan)}),
            "pgd-20: losses of 3 examples are no finite numbers; what is no number counts as wrong",
            id="not finite",
        ),
        pytest.param(
            model({"pgd-20": evaluation([1, 0, 0, 1], natural=[1, 0, 0, 1], labels=[2, 0, 1, 2])}),
            "right on exactly the 2 examples of class 2; it answers the same whatever it is shown",
            id="constant",
        ),
        pytest.param(
            model({"pgd-20": evaluation([1, 1], labels=[4, 4])}), "all 2 examples are of one class, 4", id="one class"
        ),
        pytest.param(
            model({"pgd-20": evaluation([0, 0, 0], natural=[0, 0, 0])}),
            "right on none of the examples",
            id="none right",
        ),
    ],
)
def test_a_doubt_is_one_sentence(entry: Evaluated, sentence: str) -> None:
    (found,) = doubts([entry])
    assert sentence in found and found.endswith((".", "?"))


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(model({"pgd-20": right(40), "pgd-100": right(42, num_steps=100)}), id="within the allowance"),
        pytest.param(model({"pgd-20": right(42), "pgd-100": right(38, num_steps=100)}), id="stronger"),
        pytest.param(
            model({"pgd-20": right(40), "pgd-100:draws=10": right(60, num_steps=100, averaged_over={"draws": 10})}),
            id="an attack that does not know the noise",
        ),
        pytest.param(model({"pgd-20": right(40), "cw-20": cw(42)}), id="margin within two points"),
        pytest.param(model({"pgd-20": right(40), "fgsm": right(50, **FGSM)}), id="one step weaker"),
        pytest.param(model({"pgd-20": right(40), "pgd-100": right(60, num_steps=100, norm="l2")}), id="other ball"),
        pytest.param(model({"pgd-20": right(40), "spsa": right(39, name="spsa")}), id="black box a little stronger"),
        pytest.param(model({"pgd-20": right(30, epsilon=0.5)}), id="chance"),
        pytest.param(model({"square": right(90, epsilon=0.5, name="square")}), id="black box at a large epsilon"),
        pytest.param(model({"autoattack": right(40, **AUTO)}), id="autoattack alone"),
    ],
)
def test_nothing_is_said_where_nothing_is_wrong(entry: Evaluated) -> None:
    assert doubts([entry]) == []


def test_accuracy_that_rises_with_epsilon_is_doubted_for_the_same_model_only() -> None:
    small, large = (model({"pgd-20": right(count, epsilon=size)}) for count, size in ((40, 0.1), (50, 0.2)))
    (sentence,) = doubts([large, small])
    assert "10 examples more are right at ε = 0.2 than at 0.1" in sentence
    assert not doubts([small, model({"pgd-20": right(50, epsilon=0.2, weights="other")})])
    assert not doubts([small, model({"pgd-20": right(50, epsilon=0.2)}, split="train")])


def test_the_allowance_is_two_examples_or_half_a_percent() -> None:
    assert allowance(100) == 2 and allowance(10_000) == 50


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        pytest.param((0, 1, 2), None, id="other seeds"),
        pytest.param((None, None), None, id="unknown"),
        pytest.param((0, 1, 0), "at, last: a, c have the one seed 0, so their spread is that of other", id="repeated"),
    ],
)
def test_runs_of_one_seed_are_no_spread_over_seeds(seeds: tuple[int | None, ...], message: str | None) -> None:
    runs = [
        model({"pgd-20": right(50)}, label=label, split=split, method="at", seed=seed, run=label, selection="last")
        for label, seed in zip("abc", seeds, strict=False)
        for split in ("train", "test")
    ]
    other = model({"pgd-20": right(50)}, label="t", method="trades", seed=0, run="t", selection="last")
    assert [text[: len(message or "")] for text in repeated_seeds([*runs, other])] == ([message] if message else [])
