from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from landscape.analysis.settings import describe_attack
from landscape.attacks.pgd import FGSM
from landscape.datasets.examples import Examples
from landscape.errors import InputError
from landscape.models.noisy import inject_noise
from landscape.models.registry import build_model
from landscape.surfaces.compute import run_plan
from landscape.surfaces.plan import SurfacePlan
from landscape.surfaces.surface import CENTRE, Grid
from landscape.surfaces.warm_sweep import WarmSweep, warm_started
from landscape.weights import bind, displaced, parameters_of
from tests.surfaces.lines import EPSILON, STEP, STEPS, THREAT, attack_of, plan_of

FEW = 2


def walked(plan: SurfacePlan, line: int, side: list[float]) -> list[np.ndarray[tuple[int], np.dtype[np.float32]]]:
    """Losses of the nodes of one side, by textbook PGD from the neighbour's examples, one node after the other."""
    center = parameters_of(plan.model)
    direction = plan.settings.directions.direction(center, line)
    inputs, labels = plan.examples.inputs, plan.examples.labels
    starts = plan.settings.attack.starts(plan.examples.ids, plan.examples.image_shape, seed=plan.settings.seed)
    assert starts is not None
    adversarial, losses = (inputs + starts[0]).clamp(0, 1), []
    for alpha, steps in [(0.0, STEPS), *((alpha, FEW) for alpha in side)]:
        forward = bind(plan.model, displaced(center, (alpha, direction)))
        for _ in range(steps):
            moved = adversarial.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(forward(moved), labels), [moved])
            delta = (adversarial + STEP * gradient.sign() - inputs).clamp(-EPSILON, EPSILON)
            adversarial = (inputs + delta).clamp(0, 1)
        losses.append(F.cross_entropy(forward(adversarial), labels, reduction="none").numpy())
    return losses[1:]


def test_every_node_goes_on_from_its_neighbour(model: nn.Module, digits: Examples) -> None:
    plan = warm_started(plan_of(model, digits), FEW)
    surface = run_plan(plan)
    assert surface.grid.alpha == (-1.0, -0.5, 0.0, 0.5)
    for line in range(2):
        for index, expected in zip((1, 0), walked(plan, line, [-0.5, -1.0]), strict=True):
            np.testing.assert_allclose(surface.adversarial_loss[line, index], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            surface.adversarial_loss[line, 3], walked(plan, line, [0.5])[0], rtol=1e-4, atol=1e-5
        )
        np.testing.assert_array_equal(surface.adversarial_loss[line, 2], surface.centre.adversarial_loss)
    full = run_plan(plan_of(model, digits))
    np.testing.assert_array_equal(surface.centre.adversarial_loss, full.centre.adversarial_loss)
    np.testing.assert_array_equal(surface.clean_loss, full.clean_loss)


def test_a_point_is_the_same_whoever_was_asked_before(model: nn.Module, digits: Examples) -> None:
    plan = warm_started(plan_of(model, digits), FEW).ready()
    sweeps = [WarmSweep(plan.model, plan.examples, plan.settings, plan.device) for _ in range(2)]
    points = [(0, 1), (0, 3), (1, 0), CENTRE, (0, 0), (0, 2)]
    forwards = {point: sweeps[0](point) for point in points}
    for point in reversed(points):
        np.testing.assert_array_equal(sweeps[1](point).adversarial_loss, forwards[point].adversarial_loss)
    np.testing.assert_array_equal(sweeps[0]((0, 0)).adversarial_loss, forwards[0, 0].adversarial_loss)


def test_an_interrupted_line_goes_on_with_the_same_numbers(model: nn.Module, digits: Examples, tmp_path: Path) -> None:
    plan = warm_started(plan_of(model, digits), FEW)
    expected = run_plan(plan)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        run_plan(plan, cache_dir=tmp_path, progress=stop)
    np.testing.assert_array_equal(run_plan(plan, cache_dir=tmp_path).adversarial_loss, expected.adversarial_loss)


def test_restarts_keep_their_own_chains(model: nn.Module, digits: Examples) -> None:
    both = run_plan(warm_started(plan_of(model, digits, attack=attack_of(num_restarts=2)), FEW))
    one = run_plan(warm_started(plan_of(model, digits), FEW))
    assert (both.adversarial_loss >= one.adversarial_loss).all()
    assert (both.adversarial_loss > one.adversarial_loss).any()


def test_key_and_words_say_it_and_other_nodes_are_another_family(model: nn.Module, digits: Examples) -> None:
    plain = plan_of(model, digits)
    plan, finer = warm_started(plain, FEW), warm_started(plan_of(model, digits, "-1:0.5:7"), FEW)
    assert "warm_steps" not in plain.spec["attack"] and plan.key != plain.key
    assert plan.spec["attack"]["warm_steps"] == FEW
    assert plan.spec["attack"]["warm_along"] != finer.spec["attack"]["warm_along"]
    assert describe_attack(plan.spec) == (
        "PGD-4, L∞, ε = 0.15, step 0.04, 1 random start, beside the centre 2 steps from the neighbour's examples on"
    )


@pytest.mark.parametrize("steps", [0, STEPS], ids=str)
def test_steps_that_save_nothing_are_refused(model: nn.Module, digits: Examples, steps: int) -> None:
    with pytest.raises(InputError, match=f"at least 1 and fewer than the attack's 4, got {steps}"):
        warm_started(plan_of(model, digits), steps)


@pytest.mark.parametrize("random_start", [False, True], ids=["fgsm", "fgsm-rs"])
def test_an_attack_of_one_step_has_none_to_save(model: nn.Module, digits: Examples, random_start: bool) -> None:
    attack = FGSM(threat=THREAT, random_start=random_start)
    with pytest.raises(InputError, match="this attack has only one; leave them out, or attack with pgd-10"):
        warm_started(plan_of(model, digits, attack=attack), 3)


@pytest.mark.parametrize("what", ["clean", "fixed", "plane", "no attack"])
def test_what_has_no_line_of_attacks_is_refused(model: nn.Module, digits: Examples, what: str) -> None:
    plan = plan_of(model, digits, attack=None if what == "no attack" else FGSM(threat=THREAT, random_start=True))
    if what in ("clean", "fixed"):
        plan = plan_of(model, digits, objective=what)
    if what == "plane":
        plan = replace(plan, settings=replace(plan.settings, grid=Grid.parse("-1:1:3", "-1:1:3")))
    with pytest.raises(InputError, match="warm starts go along lines that PGD attacks on the fly"):
        warm_started(plan, 1)


def test_noise_is_refused(digits: Examples) -> None:
    noisy = inject_noise(build_model("small_cnn")).eval()
    with pytest.raises(InputError, match="warm starts are not for networks with parametric noise"):
        warm_started(plan_of(noisy, digits), FEW)
