from __future__ import annotations

import numpy as np
import pytest

from landscape.analysis.levels import PAPER, choose_levels
from landscape.analysis.wording import quantity_words
from landscape.errors import InputError
from tests.analysis.synthetic import make_plane

SURFACE = make_plane()
LOSS, ERROR = quantity_words("loss", [SURFACE]), quantity_words("robust-error", [SURFACE])


def test_the_papers_levels() -> None:
    assert PAPER[:3] == (0.1, 0.6, 1.1)
    assert PAPER[-1] == 9.6
    assert len(PAPER) == 20


@pytest.mark.parametrize(
    ("high", "expected"),
    [
        (1e4, PAPER),
        (9.4, PAPER),
        (3.8, PAPER[:9]),
        (2.7, tuple(0.25 * step for step in range(1, 11))),
        (1.1, tuple(round(0.1 * step, 1) for step in range(1, 11))),
        (0.012, tuple(round(0.001 * step, 3) for step in range(1, 12))),
    ],
)
def test_losses_take_the_papers_levels_where_they_tell_something(high: float, expected: tuple[float, ...]) -> None:
    assert choose_levels([np.array([0.0, high, np.nan, np.inf])], LOSS).lines == pytest.approx(expected)


def test_the_papers_levels_can_be_asked_for_and_say_how_far_they_go() -> None:
    assert choose_levels([np.array([0.0, 2.7])], LOSS, "paper").lines == PAPER
    assert choose_levels([np.array([0.0, 3.8])], LOSS).origin.endswith("Wu et al. 2020, as far as values reach")
    assert choose_levels([np.array([0.0, 2.7])], LOSS).origin == "round steps, by the values"


@pytest.mark.parametrize("seed", range(20))
def test_round_levels_lie_within_the_values_and_are_few(seed: int) -> None:
    generator = np.random.default_rng(seed)
    low = 10 + 90 * generator.random()
    high = low + 10 ** generator.uniform(-3, 5)
    lines = choose_levels([np.array([low, high])], LOSS).lines
    assert 4 <= len(lines) <= 12
    assert low < lines[0] < lines[-1] < high
    steps = np.diff(lines)
    assert np.allclose(steps, steps[0])


def test_a_flat_surface_still_has_a_scale() -> None:
    assert len(choose_levels([np.full((3, 3), 2.5)], LOSS).edges) >= 2
    assert len(choose_levels([np.full((3, 3), np.nan)], LOSS).edges) >= 2


def test_errors_go_from_0_to_100_in_tens() -> None:
    levels = choose_levels([np.array([0.0, 100.0])], ERROR)
    assert levels.lines == tuple(range(10, 100, 10))
    assert (levels.edges[0], levels.edges[-1]) == (0.0, 100.0)
    assert levels.beyond([np.array([0.0, 100.0])]) == "neither"


def test_colours_begin_at_zero_and_saturate_beyond_the_last_level() -> None:
    values = np.array([0.0, 1e4])
    levels = choose_levels([values], LOSS)
    assert levels.edges == (0.0, *PAPER)
    assert levels.beyond([values]) == "max"
    np.testing.assert_array_equal(levels.height(np.array([0.0, 3.0, 1e4])), [0.0, 3.0, 9.6])
    assert np.isnan(levels.height(np.array([np.nan]))).all()


def test_logarithmic_levels_are_1_2_5_and_heights_are_logarithms() -> None:
    values = np.array([0.0, 0.3, 1e2])
    levels = choose_levels([values], LOSS, "log")
    assert list(levels.lines) == [0.5, 1, 2, 5, 10, 20, 50, 100]
    np.testing.assert_allclose(levels.height(np.array([0.0, 1.0, 100.0, 1e9])), [np.log10(0.5), 0, 2, 2])
    assert choose_levels([np.array([1.0, 1e7])], LOSS, "log").lines[:3] == (10, 30, 100)


def test_own_levels_are_taken_as_they_are() -> None:
    levels = choose_levels([np.array([0.0, 100.0])], LOSS, (1, 2, 30))
    assert levels.lines == (1.0, 2.0, 30.0)
    assert levels.edges == (0.0, 1.0, 2.0, 30.0)


@pytest.mark.parametrize(
    ("wanted", "words", "values", "message"),
    [
        ("paper", ERROR, [1.0], "the paper's levels are of a loss"),
        ("log", LOSS, [-1.0, 2.0], "logarithmic levels need values of at least 0"),
        ((1.0,), LOSS, [1.0], "at least two increasing numbers"),
        ((2.0, 1.0), LOSS, [1.0], "at least two increasing numbers"),
        ((1.0, float("inf")), LOSS, [1.0], "at least two increasing numbers"),
    ],
)
def test_levels_that_do_not_fit_are_refused(wanted: object, words: object, values: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_levels([np.array(values)], words, wanted)  # type: ignore[arg-type]  # wrong on purpose
