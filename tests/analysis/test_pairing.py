from __future__ import annotations

from typing import Any

import pytest

from landscape.analysis.pairing import differing_directions, differing_examples, differing_measures
from tests.analysis.synthetic import make_surface


def small(**changes: Any) -> Any:
    return make_surface(**{"num_directions": 3, "num_examples": 4, "grid": "-1:1:3", **changes})


DIRECTION_CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "other weights": ({"weights": "other"}, ()),
    "fewer directions": ({"num_directions": 2}, ()),
    "other shapes": ({"parameter_shapes": "other"}, ("the shapes of their parameters differ",)),
    "other seed": ({"directions": {"seed": 1}}, ("the recipes or seeds of their directions differ",)),
    "other norm": ({"directions": {"norm": "layer"}}, ("the recipes or seeds of their directions differ",)),
    "shapes not recorded": ({"parameter_shapes": None}, ("the shapes of their parameters differ",)),
}


@pytest.mark.parametrize(("changes", "reasons"), DIRECTION_CASES.values(), ids=DIRECTION_CASES.keys())
def test_directions_are_the_same_only_if_everything_says_so(changes: dict[str, Any], reasons: tuple[str, ...]) -> None:
    assert differing_directions(small(), small(**changes)) == reasons


def test_absent_shapes_cannot_be_shown_to_agree() -> None:
    a, b = small(), small()
    for surface in (a, b):
        del surface.spec["parameter_shapes"]
    assert differing_directions(a, b) == ("the shapes of their parameters differ",)


EXAMPLE_CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "other weights": ({"weights": "other"}, ()),
    "other data": ({"data": {"digest": "other"}}, ("their examples differ",)),
    "fewer examples": ({"num_examples": 3}, ("their examples differ",)),
    "other seed": ({"attack": {"seed": 7}}, ("the seeds of their attacks differ",)),
}


@pytest.mark.parametrize(("changes", "reasons"), EXAMPLE_CASES.values(), ids=EXAMPLE_CASES.keys())
def test_examples_are_the_same_only_if_everything_says_so(changes: dict[str, Any], reasons: tuple[str, ...]) -> None:
    assert differing_examples(small(), small(**changes)) == reasons


MEASURE_CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "seed of the attack": ({"attack": {"seed": 7}}, ()),
    "attack": ({"attack": {"num_steps": 20}}, ("attack",)),
    "objective and precision": ({"objective": "fixed", "precision": "bf16"}, ("objective", "precision")),
}


def test_other_noise_is_another_measurement_and_no_noise_is_not() -> None:
    noise = {"kind": "pni-w", "seed": 0, "draws": 2}
    assert differing_measures(small(), small(noise=noise)) == ()
    assert differing_measures(small(noise=noise), small(noise=noise)) == ()
    assert differing_measures(small(noise=noise), small(noise={**noise, "draws": 3})) == ("noise",)


@pytest.mark.parametrize(("changes", "names"), MEASURE_CASES.values(), ids=MEASURE_CASES.keys())
def test_other_measurements_are_named(changes: dict[str, Any], names: tuple[str, ...]) -> None:
    assert differing_measures(small(), small(**changes)) == names
