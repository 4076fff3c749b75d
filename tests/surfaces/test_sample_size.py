from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from landscape.analysis.settings import describe_settings
from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.errors import InputError
from landscape.randomness import Stream, permutation
from landscape.surfaces.compute import compute_surface, run_plan
from landscape.surfaces.plan import SurfacePlan, plan_surface
from landscape.surfaces.sample_size import FEWEST, SampleSize, enough_examples, with_examples
from landscape.surfaces.surface import Grid
from landscape.weights import displaced, parameters_of


def linear(seed: int = 0, scale: float = 1.0, shift: float = 0.0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        last = nn.Linear(64, 10)
    with torch.no_grad():
        last.weight *= scale
        last.bias[0] += shift
    return nn.Sequential(nn.Flatten(), last).eval()


@pytest.fixture(scope="module")
def digits() -> Examples:
    return load_examples("digits", num_examples=600)


def plan_of(model: nn.Module, examples: Examples, *, attacked: bool = False, grid: str = "-1:1:5") -> SurfacePlan:
    attack = PGD(threat=ThreatModel(norm="linf", epsilon=0.1), step_size=0.05, num_steps=2) if attacked else None
    return plan_surface(model, examples, attack=attack, directions=2, grid=grid, device="cpu")


def enough(plans: Sequence[SurfacePlan], until_se: float, *, cache_dir: Path | None = None) -> SampleSize:
    return enough_examples(plans, until_se, measure=partial(run_plan, cache_dir=cache_dir))


def errors_at(plan: SurfacePlan, count: int) -> list[float]:
    """Standard errors of the mean natural loss at the centre and both ends, the long way round, in float64."""
    order = permutation(len(plan.examples), seed=plan.settings.seed, stream=Stream.SAMPLE)[:count]
    center = parameters_of(plan.model)
    direction = plan.settings.directions.direction(center, 0)
    found = []
    for alpha in (0.0, plan.settings.grid.alpha[0], plan.settings.grid.alpha[-1]):
        weights = displaced(center, (alpha, direction))
        losses = []
        for position in order.tolist():
            pixels = plan.examples.inputs[position].flatten().double()
            logits = weights["1.weight"].double() @ pixels + weights["1.bias"].double()
            losses.append(float(F.cross_entropy(logits[None], plan.examples.labels[position][None])))
        mean = sum(losses) / count
        found.append(math.sqrt(sum((loss - mean) ** 2 for loss in losses) / (count - 1) / count))
    return found


def test_the_number_is_the_first_of_the_rule_whose_errors_are_small_enough(digits: Examples) -> None:
    plan = plan_of(linear(scale=3.0), digits)
    first = max(errors_at(plan, FEWEST))
    wanted = first / 1.7
    found = enough([plan], wanted)
    predicted = math.ceil(FEWEST * 1.7**2 / 10 - 1e-9) * 10
    assert found.num_examples >= predicted == 290
    assert found.error == pytest.approx(max(errors_at(plan, found.num_examples)), rel=1e-5)
    assert found.error <= wanted
    assert found.num_examples == predicted or max(errors_at(plan, predicted)) > wanted


@pytest.mark.parametrize(("until_se", "count"), [(100.0, FEWEST), (1e-6, 600), (1e-300, 600)], ids=str)
def test_there_are_never_fewer_than_a_hundred_nor_more_than_there_are(
    digits: Examples, until_se: float, count: int
) -> None:
    found = enough([plan_of(linear(), digits)], until_se)
    assert found.num_examples == len(found.plans[0].examples) == count
    assert (found.error <= until_se) == (count == FEWEST)


def test_few_examples_are_taken_whole(digits: Examples) -> None:
    found = enough([plan_of(linear(), digits.take(range(20)))], 1e-6)
    assert found.num_examples == found.largest == 20


def test_the_surface_is_that_of_the_same_examples_and_takes_over_what_was_measured(
    digits: Examples, tmp_path: Path
) -> None:
    plan = plan_of(linear(), digits, attacked=True)
    (chosen,) = enough([plan], 100.0, cache_dir=tmp_path).plans
    surface = run_plan(chosen, cache_dir=tmp_path)
    plain = run_plan(plan_of(linear(), chosen.examples, attacked=True))
    np.testing.assert_array_equal(surface.adversarial_loss, plain.adversarial_loss)
    np.testing.assert_array_equal(surface.example_ids, np.sort(surface.example_ids))
    reused = ["reused_from" in surface.point_provenance(point) for point in [(-1,), (0, 0), (0, 4), (0, 1), (1, 0)]]
    assert reused == [True, True, True, False, False]


def test_samples_of_growing_size_contain_one_another(digits: Examples) -> None:
    plan = plan_of(linear(), digits)
    ids = [set(with_examples(plan, count, 0.1).examples.ids.tolist()) for count in (100, 250, 600)]
    assert ids[0] < ids[1] < ids[2] == set(digits.ids.tolist())


def test_all_plans_share_the_largest_number(digits: Examples) -> None:
    tame, wild = plan_of(linear(), digits), plan_of(linear(1, scale=20.0), digits)
    until_se = 1.5 * max(errors_at(tame, FEWEST))
    alone = [enough([plan], until_se).num_examples for plan in (tame, wild)]
    assert alone[0] == FEWEST < alone[1]
    for order in ([tame, wild], [wild, tame]):
        found = enough(order, until_se)
        assert [len(plan.examples) for plan in found.plans] == [max(alone)] * 2
        assert found.plans[0].spec["data"] == found.plans[1].spec["data"]


def test_a_plane_is_looked_at_in_its_corners(digits: Examples, tmp_path: Path) -> None:
    plan = plan_of(linear(), digits)
    plane = replace(plan, settings=replace(plan.settings, grid=Grid.parse("-1:1:3", "0:1:3")), num_directions=1)
    (chosen,) = enough([plane], 100.0, cache_dir=tmp_path).plans
    surface = run_plan(chosen, cache_dir=tmp_path)
    corners = [point for point in chosen.points() if "reused_from" in surface.point_provenance(point)]
    assert corners == [(-1,), (0, 0, 0), (0, 0, 2), (0, 2, 0), (0, 2, 2)]


def test_the_rule_is_part_of_the_key_and_of_the_words(digits: Examples) -> None:
    plan = plan_of(linear(), digits)
    (chosen,) = enough([plan], 100.0).plans
    given = replace(chosen, sampling={})
    assert chosen.spec["data"] == {**given.spec["data"], "until_se": 100.0, "at_most": 600}
    assert chosen.key != given.key and not {"until_se", "at_most"} & set(given.spec["data"])
    words = "a standard error of 100.0 at the centre and the ends of the first line)"
    assert describe_settings(run_plan(chosen))["Examples"] == (
        f"100 of digits train (at random from 600, as many as needed for {words}"
    )
    whole = with_examples(plan, 600, 100.0)
    assert describe_settings(run_plan(whole))["Examples"] == f"600 of digits train (all there were, asked for {words}"
    assert describe_settings(run_plan(given))["Examples"] == "100 of digits train"


@pytest.mark.parametrize("until_se", [0.0, -1.0, math.nan, math.inf], ids=str)
def test_an_error_that_no_number_reaches_is_refused(digits: Examples, until_se: float) -> None:
    with pytest.raises(InputError, match="a standard error to reach is a finite number above 0, got"):
        enough([plan_of(linear(), digits)], until_se)


def test_plans_of_other_examples_are_refused(digits: Examples) -> None:
    plans = [plan_of(linear(), digits), plan_of(linear(), digits.take(range(300)))]
    with pytest.raises(InputError, match="one number of examples is chosen for plans of the same examples"):
        enough(plans, 0.1)


def test_a_model_that_is_not_finite_at_an_end_gets_all_examples(digits: Examples) -> None:
    found = enough([plan_of(linear(shift=math.nan), digits)], 1.0)
    assert found.num_examples == 600 and found.error == math.inf


def asked(examples: Examples, until_se: Any, **changes: Any) -> Any:
    arguments: dict[str, Any] = {"attack": None, "directions": 2, "grid": "-1:1:5", "device": "cpu", **changes}
    return compute_surface(linear(scale=3.0), examples, until_se=until_se, **arguments)


def test_compute_surface_takes_as_many_examples_as_the_error_needs(digits: Examples, tmp_path: Path) -> None:
    plan = plan_of(linear(scale=3.0), digits)
    wanted = max(errors_at(plan, FEWEST)) / 1.7
    surface = asked(digits, wanted)
    count = len(surface.example_ids)
    assert FEWEST < count < 600
    losses = [surface.centre.clean_loss, surface.clean_loss[0, 0], surface.clean_loss[0, -1]]
    measured = [float(np.std(one.astype(np.float64), ddof=1)) / math.sqrt(count) for one in losses]
    assert max(measured) <= wanted
    assert measured == pytest.approx(errors_at(plan, count), rel=1e-5)
    chosen = enough([plan], wanted).plans[0]
    assert surface.key == chosen.key == asked(digits, wanted, cache_dir=tmp_path).key
    np.testing.assert_array_equal(surface.clean_loss, run_plan(chosen).clean_loss)
    assert describe_settings(surface)["Examples"].startswith(f"{count} of digits train (at random from 600, as many")
    assert asked(digits, None).key == plan.key


def test_compute_surface_says_when_all_examples_are_too_few(digits: Examples, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="landscape")
    surface = asked(digits.take(range(120)), 1e-6)
    assert len(surface.example_ids) == 120 and surface.spec["data"]["until_se"] == 1e-6
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    error = errors_at(plan_of(linear(scale=3.0), digits.take(range(120))), 120)
    said = re.fullmatch(
        r"120 of 120 examples, standard error over examples of the mean loss at one point at most ([\d.]+): "
        r"until_se=1e-06 needs about ([\d,]+) examples\.",
        warning,
    )
    assert said is not None
    assert float(said[1]) == pytest.approx(max(error), rel=0.01)
    assert int(said[2].replace(",", "")) == pytest.approx(120 * (max(error) / 1e-6) ** 2, rel=0.1)


def test_where_no_standard_error_is_finite_nothing_is_promised() -> None:
    assert SampleSize(plans=[], num_examples=500, largest=500, error=math.inf).needs(0.1) == "finite losses"
    assert SampleSize(plans=[], num_examples=500, largest=500, error=0.177).needs(0.02) == "about 40,000 examples"


def test_whole_numbers_and_floats_are_one_key(digits: Examples) -> None:
    assert asked(digits, 100).key == asked(digits, 100.0).key


@pytest.mark.parametrize("until_se", [0, -1.0, math.nan, math.inf, "0.1"], ids=str)
def test_compute_surface_refuses_what_no_number_reaches(digits: Examples, until_se: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a standard error to reach is a finite number above 0, got"):
        asked(digits, until_se, cache_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_until_se_goes_with_a_refined_plane(digits: Examples) -> None:
    nodes = Grid.parse("-1:1:17", "-1:1:17")
    surface = asked(digits, 100.0, grid=nodes, directions=1, refine=0.3)
    assert len(surface.example_ids) == FEWEST and surface.complete and surface.grid.refine == 0.3
