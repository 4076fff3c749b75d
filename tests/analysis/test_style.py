from __future__ import annotations

from typing import Any

import pytest

from landscape.analysis.style import COLOURS, LINE_STYLES, style_curves
from landscape.errors import InputError
from tests.analysis.synthetic import make_surface


def small(**changes: Any) -> Any:
    return make_surface(num_directions=1, num_examples=3, grid="-1:1:3", **changes)


def test_each_surface_has_its_own_colour_line_and_marker() -> None:
    curves = style_curves([small(label=f"net-{i}", weights=f"w{i}") for i in range(4)])
    assert [curve.label for curve in curves] == ["net-0", "net-1", "net-2", "net-3"]
    assert [curve.colour for curve in curves] == list(COLOURS[:4])
    assert [curve.linestyle for curve in curves] == list(LINE_STYLES)
    assert len({curve.marker for curve in curves}) == 4


def test_both_splits_share_a_colour_and_differ_by_line() -> None:
    test = {"split": "test", "digest": "data-1"}
    surfaces = [small(weights=w, data=data) for w in ("a", "b") for data in ({}, test)]
    curves = style_curves(surfaces, ["at", "at", "awp", "awp"])
    assert [curve.label for curve in curves] == ["at (train)", "at (test)", "awp (train)", "awp (test)"]
    assert [curve.colour for curve in curves] == [COLOURS[0], COLOURS[0], COLOURS[1], COLOURS[1]]
    assert [curve.linestyle for curve in curves] == [LINE_STYLES[0], LINE_STYLES[1]] * 2
    assert curves[0].marker == curves[1].marker != curves[2].marker


def test_every_label_says_its_split_if_splits_differ() -> None:
    test = {"split": "test", "digest": "data-1"}
    curves = style_curves([small(label="at"), small(label="at", data=test), small(label="awp", weights="w")])
    assert [curve.label for curve in curves] == ["at (train)", "at (test)", "awp (train)"]


def test_labels_say_how_examples_were_made_if_that_differs() -> None:
    clean = {"objective": "clean", "attack": {"name": "none"}}
    changes: list[dict[str, Any]] = [{}, {"objective": "fixed"}, clean]
    curves = style_curves([small(label="at", **change) for change in changes])
    assert [curve.label for curve in curves] == ["at (on the fly)", "at (fixed)", "at (natural)"]
    test = {"split": "test", "digest": "data-1"}
    both = style_curves([small(label="at", data=data, **change) for change in changes[:2] for data in ({}, test)])
    assert both[3].label == "at (test, fixed)"
    assert len({(curve.colour, str(curve.linestyle)) for curve in both}) == 4


def test_attacks_tell_equal_labels_apart() -> None:
    curves = style_curves([small(label="at"), small(label="at", attack={"num_steps": 50})])
    assert [curve.label for curve in curves] == ["at [PGD-10]", "at [PGD-50]"]


def test_equal_labels_are_told_apart() -> None:
    surface = small(label="at")
    assert [curve.label for curve in style_curves([surface, surface, small(label="awp")])] == ["at #1", "at #2", "awp"]


@pytest.mark.parametrize(
    ("count", "labels", "message"),
    [(0, None, "at least one surface, got none"), (2, ["one"], "2 surfaces need as many labels, got 1")],
)
def test_wrong_counts_are_refused(count: int, labels: list[str] | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        style_curves([small()] * count, labels)
