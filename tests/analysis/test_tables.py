from __future__ import annotations

import json
from typing import Any

import pytest

from landscape.analysis.statistics import paired_difference, rise
from landscape.analysis.style import style_curves
from landscape.analysis.tables import aligned, compare, comparison_sentences, curve_table, numbers, rise_table
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


def test_rise_table_marks_what_is_interpolated_absent_or_masked() -> None:
    curves = curves_of(AT, {**AWP, "grid": "-0.5:0.5:11", "not_finite": ((3, 10),)})
    text = rise_table(curves)
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in text.splitlines()[2:10]}
    found = rise(curves[0].surface, 0.1)
    assert found is not None
    assert rows["at", "0.1"][0] == f"{found.value:.4f}"
    assert rows["at", "0.25"][0].startswith("~")
    assert rows["awp", "1"] == ["-"] * 4
    assert rows["awp", "0.5"][0].endswith("*")
    notes = text.splitlines()[10:]
    assert notes[0].startswith("- the grid does not reach ±r")
    assert notes[1].startswith("~ ±r are no nodes of the grid")
    assert notes[2] == "* awp: directions left out (a point is missing or not finite): 1 at r = 0.5."


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
    "other attack": (AT, {**AWP, "attack": {"num_steps": 20}}, ("Note: measured differently (attack)",)),
    "smaller grid": ({**AT, "grid": "-0.3:0.3:7"}, AWP, ("at r = 0.25 by ~", "Note: ~ interpolated")),
    "no common radius": (
        {**AT, "grid": "-0.05:0.05:5"},
        AWP,
        ("are not compared: no radius of 0.1, 0.25, 0.5, 1 lies in both grids.",),
    ),
    "masked": (AT, {**AWP, "missing": ((0, 5),)}, ("over 9 directions", "Note: 1 curves left out")),
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
    assert plain["sentences"] == comparison_sentences(curves)
