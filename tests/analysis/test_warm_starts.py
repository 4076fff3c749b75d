from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from landscape.analysis.captions import settings_line
from landscape.analysis.warm_starts import BIAS, describe_warm_starts
from landscape.surfaces.surface import Surface
from landscape.surfaces.warm_bias import Bias, with_bias
from tests.analysis.synthetic import make_surface


def warm(*losses: float) -> Surface:
    """With warm starts that found these losses, where the full attack found 2, at 0.5, 1, ..."""
    surface = make_surface(num_directions=2, num_examples=4, attack={"warm_steps": 3, "warm_along": "nodes-0"})
    found = [Bias(direction=1, alpha=(i + 1) / 2, warm=loss, full=2.0) for i, loss in enumerate(losses)]
    return with_bias(surface, found) if found else surface


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        pytest.param(
            (1.9, 1.5),
            "-25.0 % at α = 1 along direction 1, the largest of 2 nodes compared with the full attack",
            id="low",
        ),
        pytest.param(
            (2.5,),
            "+25.0 % at α = 0.5 along direction 1, the largest of 1 node compared with the full attack",
            id="high",
        ),
        pytest.param((math.inf, math.nan), "undefined at the 2 nodes compared with the full attack", id="undefined"),
        pytest.param((), "not recorded", id="not measured"),
    ],
)
def test_the_largest_bias_stands_in_the_settings(losses: tuple[float, ...], words: str) -> None:
    assert describe_warm_starts(warm(*losses)) == {BIAS: words}


def test_others_have_no_bias() -> None:
    full = make_surface(num_directions=2, num_examples=4)
    assert describe_warm_starts(full) == {}
    assert "Bias of warm starts: not recorded [a]; none [b]." in settings_line([warm(), full], ["a", "b"])


def test_of_many_curves_the_largest_is_named() -> None:
    surfaces = [warm(2.0 - number / 10) for number in (1, 2, 5, 3, 4)]
    said = "-25.0 % at α = 0.5 along direction 1, the largest of 1 node compared with the full attack"
    caption = settings_line(surfaces, ["a", "b", "c", "d", "e"])
    assert f"Bias of warm starts: {said} [c; no larger elsewhere]." in caption


@pytest.mark.parametrize("record", [3, {"bias": "low"}, {"num_compared": 2}, None], ids=str)
def test_a_record_that_makes_no_sense_is_none(record: Any) -> None:
    surface = warm()
    strange = replace(surface, provenance=(*surface.provenance, {"warm_bias": record}))
    assert describe_warm_starts(strange) == {BIAS: "not recorded"}
