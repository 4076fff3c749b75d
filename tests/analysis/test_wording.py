from __future__ import annotations

from typing import Any

import pytest

from landscape.analysis.wording import ABSENT, counted, listed, number, percent, quantity_words
from landscape.errors import InputError
from tests.analysis.synthetic import make_surface

CLEAN: dict[str, Any] = {"objective": "clean", "attack": {"name": "none"}}


def small(**changes: Any) -> Any:
    return make_surface(num_directions=1, num_examples=3, **changes)


@pytest.mark.parametrize(
    ("quantity", "changes", "title"),
    [
        ("loss", [{}], "adversarial loss"),
        ("loss", [{"objective": "fixed"}], "adversarial loss"),
        ("loss", [CLEAN], "natural loss"),
        ("loss", [{"attack": {"name": "none"}}], "natural loss"),
        ("loss", [{}, CLEAN], "loss"),
        ("natural-loss", [{}, CLEAN], "natural loss"),
        ("robust-error", [{}], "robust error"),
    ],
)
def test_titles(quantity: str, changes: list[dict[str, Any]], title: str) -> None:
    assert quantity_words(quantity, [small(**change) for change in changes]).title == title


def test_what_was_not_measured_is_refused() -> None:
    with pytest.raises(InputError, match="a quantity is one of loss, robust-error"):
        quantity_words("accuracy", [small()])
    with pytest.raises(InputError, match=r"needs an attack, but nothing was attacked in clean; take natural-error"):
        quantity_words("robust-error", [small(), small(label="clean", **CLEAN)])


def test_a_quantity_knows_its_range() -> None:
    words = [quantity_words(quantity, [small()]) for quantity in ("loss", "robust-error")]
    assert [(word.lowest, word.highest) for word in words] == [(0.0, float("inf")), (0.0, 1.0)]
    assert quantity_words("loss", [small(loss="margin")]).lowest == -float("inf")


def test_numbers_counts_and_shares() -> None:
    words = quantity_words("robust-error", [small()])
    assert number(0.1236, words) == "12.36"
    assert number(0.12345, words, half_width=0.2) == "12"
    assert number(float("nan"), words) == percent(float("nan")) == ABSENT
    assert percent(1.0001) == "100.0 %"
    assert [counted(count, "direction") for count in (1, 2)] == ["1 direction", "2 directions"]
    assert listed((0.1, 1.0, "x")) == "0.1, 1, x"
