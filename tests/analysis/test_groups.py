from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import landscape
from landscape.analysis.groups import EDGES, NO_NUMBER, REST, Grouping, group_examples, take_examples
from landscape.analysis.statistics import rise, summarize_curve
from landscape.errors import InputError
from tests.analysis.grouped import split_surfaces, surface_at
from tests.analysis.synthetic import make_surface


@pytest.mark.parametrize(
    ("loss", "group"),
    [
        pytest.param(0.0, 0, id="the first edge belongs to the first group"),
        pytest.param(np.nextafter(0.5, 0), 0, id="just below an edge"),
        pytest.param(0.5, 1, id="an edge belongs to the group above"),
        pytest.param(2.9999, 5, id="the last group"),
        pytest.param(3.0, REST, id="the last edge belongs to the rest"),
        pytest.param(17.0, REST, id="above"),
        pytest.param(-1e-12, REST, id="below"),
        pytest.param(math.nan, NO_NUMBER, id="not a number"),
        pytest.param(math.inf, NO_NUMBER, id="infinite"),
        pytest.param(-math.inf, NO_NUMBER, id="minus infinite"),
    ],
)
def test_edges_are_half_open(loss: float, group: int) -> None:
    assert landscape.loss_groups([loss], EDGES).tolist() == [group]
    if np.float32(loss) == loss:
        assert landscape.loss_groups(np.array([loss], np.float32)).tolist() == [group]


@given(
    st.lists(st.floats(width=32), max_size=40),
    st.lists(st.floats(-5, 5, width=16), min_size=2, max_size=8, unique=True).map(sorted),
)
def test_every_example_is_in_exactly_one_group(losses: list[float], edges: list[float]) -> None:
    found = landscape.loss_groups(np.asarray(losses, dtype=np.float64), edges)
    assert found.dtype == np.int64 and found.shape == (len(losses),)
    for loss, group in zip(losses, found.tolist(), strict=True):
        holding = [k for k, (low, high) in enumerate(pairwise(edges)) if low <= loss < high]
        assert ([group] if group >= 0 else []) == holding
        assert (group == NO_NUMBER) == (not math.isfinite(loss))


@pytest.mark.parametrize(
    ("edges", "shown"),
    [
        pytest.param((), "none", id="no edge"),
        pytest.param((1.0,), "1", id="one edge"),
        pytest.param((0.0, 1.0, 1.0), "0, 1, 1", id="twice the same"),
        pytest.param((0.0, math.inf), "0, inf", id="infinite"),
        pytest.param((math.nan, 1.0), "nan, 1", id="not a number"),
    ],
)
def test_edges_that_make_no_groups_are_refused(edges: tuple[float, ...], shown: str) -> None:
    message = f"the edges of groups are at least 2 finite, increasing numbers, got {shown}."
    for call in (lambda: landscape.loss_groups([1.0], edges), lambda: Grouping(edges=edges)):
        with pytest.raises(InputError) as refused:
            call()
        assert str(refused.value) == message


def test_groups_are_named_and_ordered_and_empty_ones_are_absent() -> None:
    surface = surface_at([5.0, 0.2, 2.7, 0.1, -1.0, math.nan])
    grouped = landscape.group_examples(surface)
    assert [(group.name, group.size) for group in grouped.groups] == [
        ("[0, 0.5)", 2),
        ("[2.5, 3)", 1),
        ("rest: outside [0, 3)", 2),
        ("loss not finite", 1),
    ]
    assert grouped.groups[0].surface.example_ids.tolist() == [1, 3]
    assert grouped.groups[0].share == pytest.approx(2 / 6)
    assert grouped.group(1) is None


@pytest.mark.parametrize("by", ["loss", "class", "correct"])
@pytest.mark.parametrize("quantity", ["loss", "robust-error", "natural-loss"])
def test_the_size_weighted_mean_of_all_groups_is_the_whole_curve(by: str, quantity: str) -> None:
    for surface in split_surfaces(not_finite=((1, 3),), missing=((0, 0),)):
        groups = group_examples(surface, Grouping(by=by)).groups
        assert sum(group.size for group in groups) == len(surface.example_ids)
        total = sum(group.size * group.surface.mean(quantity) for group in groups) / len(surface.example_ids)
        np.testing.assert_allclose(total, surface.mean(quantity), rtol=0, atol=1e-6)
        centre = sum(group.size * group.surface.centre_mean(quantity) for group in groups)
        assert centre / len(surface.example_ids) == pytest.approx(surface.centre_mean(quantity), abs=1e-6)


def test_the_curve_of_a_group_is_that_of_a_double_loop() -> None:
    surface, _ = split_surfaces()
    for group in group_examples(surface).groups:
        curve = summarize_curve(group.surface)
        members = [row for row, loss in enumerate(surface.centre.adversarial_loss) if group.name == _named(loss)]
        assert len(members) == group.size
        for place in range(len(surface.grid.alpha)):
            by_direction = [
                math.fsum(float(line[place][row]) for row in members) / len(members)
                for line in surface.adversarial_loss
            ]
            assert curve.mean[place] == pytest.approx(np.mean(by_direction), abs=1e-9)
            by_example = [float(np.mean([line[place][row] for line in surface.adversarial_loss])) for row in members]
            if len(members) > 1:
                error = np.std(by_example, ddof=1) / math.sqrt(len(members))
                assert curve.standard_error_examples[place] == pytest.approx(error, rel=1e-5)


def _named(loss: float) -> str:
    for low, high in pairwise(EDGES):
        if low <= loss < high:
            return f"[{low:g}, {high:g})"
    return "rest: outside [0, 3)"


def test_groups_by_class_and_by_correctness_come_from_what_is_stored() -> None:
    surface = surface_at([0.1, 0.2, 2.0, 0.3, 9.0])
    classes = group_examples(surface, Grouping(by="class")).groups
    assert [(group.name, group.surface.example_ids.tolist()) for group in classes] == [
        ("class 0", [0, 3]),
        ("class 1", [1, 4]),
        ("class 2", [2]),
    ]
    verdicts = group_examples(surface, Grouping(by="correct")).groups
    assert [(group.name, group.surface.example_ids.tolist()) for group in verdicts] == [
        ("correct", [0, 1, 3]),
        ("wrong", [2, 4]),
    ]


def test_a_broken_example_masks_its_own_group_alone() -> None:
    surface = surface_at([0.1] * 30 + [0.7] * 30, not_finite=((2, 4),))  # of the first example
    first, second = group_examples(surface).groups
    assert first.surface.status[2, 4] == 2 and math.isnan(first.surface.mean()[2, 4])
    assert (second.surface.status == 1).all() and np.isfinite(second.surface.mean()).all()
    masked, whole = rise(first.surface, 1.0), rise(second.surface, 1.0)
    assert masked is not None and whole is not None
    assert (masked.num_directions, whole.num_directions) == (3, 4)


def test_taking_all_examples_changes_nothing() -> None:
    surface = make_surface(num_examples=10, missing=((0, 1),))
    taken = take_examples(surface, np.arange(10))
    for name in surface.arrays:
        np.testing.assert_array_equal(taken.arrays[name], surface.arrays[name])
    np.testing.assert_array_equal(taken.status, surface.status)
    assert taken.centre_status == surface.centre_status and taken.key == surface.key


@pytest.mark.parametrize("by", ["loss", "class"])
def test_a_surface_without_a_centre_has_no_groups(by: str) -> None:
    surface = replace(make_surface(num_examples=5), centre_status=0)
    with pytest.raises(InputError, match="groups need the centre of digits-at, which is not measured yet"):
        group_examples(surface, Grouping(by=by))


def test_unknown_groupings_are_refused() -> None:
    wrong: Any = "colour"
    with pytest.raises(InputError, match="grouped by one of loss, class, correct, got 'colour'"):
        Grouping(by=wrong)
