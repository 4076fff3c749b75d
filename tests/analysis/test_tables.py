from __future__ import annotations

import json
from typing import Any

import pytest

from landscape.analysis.comparison import comparison_sentences
from landscape.analysis.statistics import rise
from landscape.analysis.style import style_curves
from landscape.analysis.tables import CURVE_COLUMNS, aligned, curve_table, curve_tables, numbers, rise_table
from tests.analysis.synthetic import make_surface


def curves_of(*changes: dict[str, Any]) -> Any:
    return style_curves([make_surface(**{"num_examples": 100, "weights": str(i), **c}) for i, c in enumerate(changes)])


AT = {"label": "at", "sharpness": 8.0}
AWP = {"label": "awp", "sharpness": 4.0}


def test_columns_are_aligned() -> None:
    assert aligned(["", "r", "value"], [["at", "0.5", "1.25"], ["awp", "1", "-"]], left=1) == (
        "       r  value\nat   0.5   1.25\nawp    1      -"
    )


def test_curve_table_has_a_row_for_each_alpha() -> None:
    (curve,) = curves_of({**AT, "grid": "-1:1:5", "not_finite": ((0, 1),)})
    lines = curve_table(curve).splitlines()
    assert lines[0].startswith(f"at: adversarial loss g(0) = {curve.surface.centre_mean():.4f}, robust accuracy ")
    assert lines[1].split("  ")[0] == "alpha"
    assert [line.split()[0] for line in lines[2:7]] == ["-1", "-0.5", "0", "0.5", "1"]
    row = lines[6].split()
    assert row[1] == f"{curve.surface.mean()[:, 4].mean():.4f}"
    assert row[2] == f"{curve.surface.standard_error()[4]:.4f}"
    assert row[3] == f"{curve.surface.mean()[:, 4].std(ddof=1):.4f}"
    assert row[4] == f"{100 * curve.surface.accuracy()[:, 4].mean():.1f}"
    assert lines[7] == "Masked in at: of 50 points 1 not finite."


def test_errors_are_in_percent() -> None:
    (curve,) = curves_of({**AT, "grid": "-1:1:5"})
    lines = curve_table(curve, "robust-error").splitlines()
    assert "mean robust error (%)" in lines[1]
    assert lines[2].split()[1] == f"{100 * curve.surface.mean('robust-error')[:, 0].mean():.2f}"


def test_rise_table_marks_what_is_interpolated_or_masked_and_leaves_out_what_is_absent() -> None:
    curves = curves_of(AT, {**AWP, "grid": "-0.5:0.5:11", "not_finite": ((3, 10),)})
    text = rise_table(curves)
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in text.splitlines()[2:9]}
    found = rise(curves[0].surface, 0.1)
    assert found is not None
    assert rows["at", "0.1"][0] == f"{found.value:.4f}"
    assert rows["at", "0.25"][0].startswith("~")
    assert rows["awp", "0.5"][0].endswith("*")
    assert ("awp", "1") not in rows
    notes = text.splitlines()[9:]
    assert notes[0].startswith("SE directions: ")
    assert notes.pop(1).startswith("CV directions: ")
    assert rows["at", "0.1"][3:5] == [f"{100 * found.variation_directions:.1f}", "%"]
    assert notes[1] == "No row for r = 1 of awp: the grid does not reach ±r."
    assert notes[2].startswith("~ ±r are no nodes of the grid")
    assert notes[3] == "* awp: directions left out (a point is missing or not finite): 1 at r = 0.5."


def test_a_coarse_grid_has_only_the_rows_that_it_can_give() -> None:
    text = rise_table(curves_of({**AT, "grid": "-1:1:5"}, {**AWP, "grid": "-1:1:5"}))
    assert [line.split()[:2] for line in text.splitlines()[2:6]] == [
        ["at", "0.5"],
        ["at", "1"],
        ["awp", "0.5"],
        ["awp", "1"],
    ]
    assert "No row for r = 0.1, 0.25: the nodes lie too far apart." in text
    nothing = rise_table(curves_of({**AT, "grid": "-0.05:0.05:5"}))
    assert nothing.splitlines()[1:] == ["No row for r = 0.1, 0.25, 0.5, 1: the grid does not reach ±r."]


CLEAN: dict[str, Any] = {"objective": "clean", "attack": {"name": "none"}}


@pytest.mark.parametrize("changes", [CLEAN, {"attack": {"name": "none"}}], ids=["objective clean", "attack none"])
def test_without_attack_every_accuracy_is_natural(changes: dict[str, Any]) -> None:
    curves = curves_of({**AT, "grid": "-1:1:5", **changes})
    for text in (curve_table(curves[0]), rise_table(curves)):
        assert "natural loss" in text
        assert "natural accuracy" in text
        assert "robust" not in text
        assert "adversarial" not in text
    row = curve_table(curves[0]).splitlines()[2].split()
    assert row[4] == f"{100 * curves[0].surface.clean_correct[:, 0].mean():.1f}"
    plain = json.loads(json.dumps(numbers(curves), allow_nan=False))
    (curve,) = plain["curves"]
    assert plain["title"] == "natural loss"
    assert set(curve["robust_accuracy"]) == {None}
    assert curve["centre_robust_accuracy"] is None
    assert curve["natural_accuracy"][0] == curves[0].surface.clean_correct[:, 0].mean()
    assert [found["robust_accuracy"] for found in curve["rises"]] == [None, None]


def test_natural_quantities_stand_beside_natural_accuracy() -> None:
    curves = curves_of({**AT, "grid": "-1:1:5"})
    assert curve_table(curves[0], "natural-loss").splitlines()[1].endswith("natural accuracy")
    assert rise_table(curves, "natural-loss").splitlines()[1].endswith("natural accuracy")
    assert rise_table(curves).splitlines()[1].endswith("robust accuracy")


def test_mixed_objectives_say_which_accuracy_is_which() -> None:
    text = rise_table(curves_of(AT, {**AT, "weights": "0", **CLEAN}))
    assert "accuracy: natural for at (natural), where nothing was attacked; robust for the others." in text
    assert "g(0); loss (cross-entropy, nats)" in text


def test_columns_are_explained_once() -> None:
    text = curve_tables(curves_of(AT, AWP))
    assert text.count("SE examples: ") == 1
    assert text.endswith(f"\n{CURVE_COLUMNS}")


def test_rises_of_errors_are_in_percentage_points() -> None:
    assert rise_table(curves_of(AT), "robust-error").splitlines()[0].endswith("robust error (percentage points)")


def test_numbers_are_plain_json() -> None:
    curves = curves_of({**AT, "missing": tuple((j, 0) for j in range(10))}, AWP)
    plain = json.loads(json.dumps(numbers(curves), allow_nan=False))
    at, awp = plain["curves"]
    assert at["label"] == "at"
    assert at["mean"][0] is None
    assert at["num_missing"] == 10
    assert [entry["radius"] for entry in awp["rises"]] == [0.1, 0.25, 0.5, 1.0]
    found = rise(curves[1].surface, 0.5)
    assert found is not None
    assert awp["rises"][2]["value"] == found.value
    assert plain["differences"][2]["paired"] is True
    assert plain["differences"][3]["low"] is None
    assert plain["settings"].startswith("Attack: PGD-10, L∞, ε = 0.15")
    assert plain["sentences"] == comparison_sentences(curves)
