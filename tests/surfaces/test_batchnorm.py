from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape.attacks.measure import measure
from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import Checkpoint, load_checkpoint
from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.devices import find_device
from landscape.errors import InputError, Interrupted
from landscape.protocols import Measurement
from landscape.randomness import Stream, permutation
from landscape.surfaces.batchnorm import (
    BatchStatistics,
    FrozenStatistics,
    ReestimatedStatistics,
    find_policy,
)
from landscape.surfaces.compute import compute_surface, run_plan
from landscape.surfaces.cost import estimate_cost
from landscape.surfaces.directions import filter_normalized, random_direction
from landscape.surfaces.plan import plan_surface
from landscape.surfaces.surface import CENTRE, Surface
from landscape.surfaces.sweep import Sweep
from landscape.weights import parameters_of

ATTACK = PGD(threat=ThreatModel(norm="linf", epsilon=0.15), step_size=0.05, num_steps=3)

BATCHES = ((0, 8), (8, 16), (16, 23))
"""What 23 examples in batches of at most 10 become: equal ones."""


def network() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3, stride=2, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(54, 10),
    )
    net(torch.rand(64, 1, 8, 8))
    return net.eval()


@pytest.fixture(scope="module")
def examples() -> Examples:
    return load_examples("digits", split="train", num_examples=23)


def surface_of(net: nn.Module, examples: Any, **changes: Any) -> Surface:
    settings: dict[str, Any] = {"attack": ATTACK, "directions": 1, "grid": "-1:1:3", "device": "cpu", **changes}
    return compute_surface(net, examples, **settings)


def moved(net: nn.Module, alpha: float) -> nn.Module:
    weights = parameters_of(net)
    direction = filter_normalized(random_direction(weights, seed=0, index=0), weights)
    copied = copy.deepcopy(net)
    with torch.no_grad():
        for name, parameter in copied.named_parameters():
            parameter.add_(alpha * direction.get(name, torch.zeros(())))
    return copied


def batch_norm(net: nn.Module) -> nn.BatchNorm2d:
    layer = net.get_submodule("1")
    assert isinstance(layer, nn.BatchNorm2d)
    return layer


class OfTheBatch(nn.Module):
    """The network with its BatchNorm written out, by the statistics of whatever batch it gets."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, inputs: Tensor) -> Tensor:
        convolution, layer, last = (self.net.get_submodule(name) for name in "015")
        z = convolution(inputs)
        mean = z.mean(dim=(0, 2, 3), keepdim=True)
        variance = ((z - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
        weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
        scaled = weight.view(1, -1, 1, 1) * (z - mean) / torch.sqrt(variance + 1e-5) + bias.view(1, -1, 1, 1)
        logits: Tensor = last(functional.relu(scaled).flatten(1))
        return logits


def ordered(examples: Examples) -> tuple[Examples, Any]:
    order = permutation(23, seed=0, stream=Stream.BATCHNORM)
    return examples.take(order), np.argsort(order)


def starts_of(examples: Examples) -> Tensor:
    starts = ATTACK.starts(examples.ids, examples.image_shape, seed=0)
    assert starts is not None
    return starts


def literally_estimated(net: nn.Module, batches: list[Tensor]) -> nn.Module:
    """`net` with the averages of the batches' means and unbiased variances, weighted by size, in float64."""
    copied, total = copy.deepcopy(net), sum(len(batch) for batch in batches)
    mean, variance = np.zeros(6), np.zeros(6)
    for batch in batches:
        with torch.no_grad():
            z = copied.get_submodule("0")(batch).double().numpy()
        mean += len(batch) / total * z.mean(axis=(0, 2, 3))
        variance += len(batch) / total * z.transpose(1, 0, 2, 3).reshape(6, -1).var(axis=1, ddof=1)
    layer = batch_norm(copied)
    layer.running_mean, layer.running_var = torch.from_numpy(mean).float(), torch.from_numpy(variance).float()
    return copied


def assert_measured(surface: Surface, node: int, expected: Measurement, places: Any) -> None:
    for name, array in expected.arrays().items():
        np.testing.assert_allclose(surface.arrays[name][0, node], array[places], rtol=1e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("source", ["clean", "adversarial"])
def test_reestimated_statistics_equal_a_literal_loop_over_batches(source: str, examples: Examples) -> None:
    net = network()
    surface = surface_of(net, examples, batchnorm=ReestimatedStatistics(source=source, largest_batch=10))
    shuffled, places = ordered(examples)
    starts = starts_of(shuffled)
    for node, alpha in enumerate(surface.grid.alpha):
        model = moved(net, alpha)
        batches = [shuffled.inputs[first:last] for first, last in BATCHES]
        if source == "adversarial":
            batches = [
                next(ATTACK.restarts(OfTheBatch(model), x, shuffled.labels[a:b], starts[:, a:b]))
                for x, (a, b) in zip(batches, BATCHES, strict=True)
            ]
        settled = literally_estimated(model, batches)
        expected = measure(settled, shuffled.inputs, shuffled.labels, ATTACK, starts=starts)
        assert_measured(surface, node, expected, places)


def test_batch_statistics_equal_a_literal_loop_over_batches(examples: Examples) -> None:
    net = network()
    surface = surface_of(net, examples, batchnorm=BatchStatistics(largest_batch=10))
    shuffled, places = ordered(examples)
    starts = starts_of(shuffled)
    for node, alpha in enumerate(surface.grid.alpha):
        model = OfTheBatch(moved(net, alpha))
        parts = [
            measure(model, shuffled.inputs[a:b], shuffled.labels[a:b], ATTACK, starts=starts[:, a:b])
            for a, b in BATCHES
        ]
        joined = {name: np.concatenate([part.arrays()[name] for part in parts]) for name in parts[0].arrays()}
        assert_measured(surface, node, Measurement(**joined), places)
    assert {entry["batch_size"] for entry in surface.provenance} == {8}


POLICIES: dict[str, Any] = {
    "frozen": FrozenStatistics(),
    "reestimated from clean": ReestimatedStatistics(largest_batch=10),
    "reestimated from adversarial": ReestimatedStatistics(source="adversarial", largest_batch=10),
    "of the batch": BatchStatistics(largest_batch=10),
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
def test_no_buffer_flag_or_generator_of_the_caller_moves(policy: Any, examples: Examples) -> None:
    net = network().train()
    before, random = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    first = surface_of(net, examples, batchnorm=policy)
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    assert batch_norm(net).momentum == 0.1 and net.training
    assert torch.equal(torch.get_rng_state(), random)
    again = surface_of(net, examples, batchnorm=policy)
    np.testing.assert_array_equal(first.adversarial_loss, again.adversarial_loss)


def test_frozen_statistics_never_move_in_the_private_copy_either(examples: Examples) -> None:
    plan = plan_surface(network(), examples, attack=ATTACK, directions=1, grid="-1:1:3", device="cpu")
    sweep = Sweep(plan.model, plan.examples, plan.settings, plan.device)
    for point in (CENTRE, (0, 0), (0, 2)):
        sweep(point)
    layer = batch_norm(sweep._resident.module)
    for name, buffer in batch_norm(network()).named_buffers():
        assert torch.equal(layer.get_buffer(name), buffer)
    assert not layer.training


def test_statistics_settle_anew_at_every_point_whatever_came_before(examples: Examples) -> None:
    for policy in (POLICIES["reestimated from clean"], POLICIES["reestimated from adversarial"]):
        plan = plan_surface(
            network(), examples, attack=ATTACK, directions=1, grid="-1:1:3", device="cpu", batchnorm=policy
        )
        sweep = Sweep(plan.model, plan.examples, plan.settings, plan.device)
        there = sweep((0, 2))
        sweep((0, 0))
        np.testing.assert_array_equal(sweep((0, 2)).adversarial_loss, there.adversarial_loss)


@pytest.mark.parametrize("policy", list(POLICIES.values())[1:], ids=list(POLICIES)[1:])
def test_fixed_examples_are_those_of_the_centre_under_every_policy(policy: Any, examples: Examples) -> None:
    fly, fixed = (
        surface_of(network(), examples, batchnorm=policy, objective=objective) for objective in ("adversarial", "fixed")
    )
    np.testing.assert_allclose(fixed.centre.adversarial_loss, fly.centre.adversarial_loss, rtol=1e-5, atol=1e-6)
    assert not np.array_equal(fixed.adversarial_loss, fly.adversarial_loss)


# --- the law


@pytest.fixture(scope="module")
def bundled() -> Checkpoint:
    return load_checkpoint(Path(__file__).parents[2] / "checkpoints" / "digits-at.pt")


def accuracies(model: Any, policy: Any, *, destroyed: float | None = None) -> tuple[float, float]:
    """Natural and robust accuracy at the centre in percent."""
    chosen = copy.deepcopy(model.model)
    for layer in chosen.modules():
        if destroyed is not None and isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.fill_(destroyed)
            layer.running_var.fill_(abs(destroyed) + 1)
    attack = PGD(threat=ThreatModel(norm="linf", epsilon=0.15), step_size=0.0375, num_steps=10)
    plan = plan_surface(
        chosen,
        load_examples("digits", split="train", num_examples=500),
        attack=attack,
        device="cpu",
        batchnorm=policy,
    ).ready()
    found = Sweep(plan.model, plan.examples, plan.settings, find_device("cpu"))(CENTRE)
    return 100 * float(found.clean_correct.mean()), 100 * float(found.adversarial_correct.mean())


@pytest.mark.parametrize("destroyed", [5.0, math.nan], ids=["wrong", "no number"])
def test_reestimated_statistics_bring_a_destroyed_model_back(destroyed: float, bundled: Checkpoint) -> None:
    natural, robust = accuracies(bundled, "frozen")
    assert accuracies(bundled, "frozen", destroyed=destroyed)[0] < 50
    found = accuracies(bundled, "reestimate", destroyed=destroyed)
    assert found[0] >= natural - 1 and found[1] >= robust - 2
    assert accuracies(bundled, "batch", destroyed=destroyed)[0] >= natural - 2


def test_statistics_of_the_batch_are_not_the_frozen_ones(bundled: Checkpoint, examples: Examples) -> None:
    frozen, batch = (surface_of(bundled.model, examples, batchnorm=name) for name in ("frozen", "batch"))
    assert float(np.abs(batch.mean() - frozen.mean()).max()) > 0.05


# --- keys and refusals


def spec_of(policy: Any, examples: Examples) -> Any:
    return plan_surface(network(), examples, attack=ATTACK, device="cpu", batchnorm=policy, seed=3).spec["batchnorm"]


def test_what_determines_the_statistics_is_part_of_the_key(examples: Examples) -> None:
    assert spec_of("frozen", examples) == "frozen"
    assert spec_of("reestimate", examples) == {
        "name": "reestimate",
        "source": "clean",
        "batch_size": 128,
        "seed": 3,
    }
    assert spec_of("batch", examples) == {"name": "batch", "batch_size": 128, "seed": 3}
    changed = ReestimatedStatistics(source="adversarial", largest_batch=16, seed=1)
    assert spec_of(changed, examples) == {"name": "reestimate", "source": "adversarial", "batch_size": 16, "seed": 1}


def test_an_interrupted_surface_goes_on_bit_for_bit(examples: Examples, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    for policy in (BatchStatistics(largest_batch=10), ReestimatedStatistics(source="adversarial", largest_batch=10)):
        with pytest.raises(Interrupted):
            surface_of(network(), examples, batchnorm=policy, cache_dir=tmp_path, progress=stop)
        resumed = surface_of(network(), examples, batchnorm=policy, cache_dir=tmp_path)
        whole = surface_of(network(), examples, batchnorm=policy)
        np.testing.assert_array_equal(resumed.adversarial_loss, whole.adversarial_loss)
        np.testing.assert_array_equal(resumed.clean_correct, whole.clean_correct)


def test_the_cost_counts_the_passes_for_statistics(examples: Examples, tmp_path: Path) -> None:
    passes = [
        estimate_cost(
            plan_surface(network(), examples, attack=ATTACK, device="cpu", batchnorm=policy, directions=1)
        ).passes_per_example
        for policy in POLICIES.values()
    ]
    assert passes == [8, 9, 15, 8]


def test_models_and_examples_without_such_statistics_are_refused(examples: Examples) -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    for name in ("reestimate", "batch"):
        with pytest.raises(InputError, match="has no BatchNorm layer with running statistics"):
            surface_of(plain, examples, batchnorm=name)
        with pytest.raises(InputError, match="1 examples in batches of 1 leave one alone"):
            surface_of(network(), examples.take(range(1)), batchnorm=name)
    with pytest.raises(InputError, match="3 examples in batches of 2 leave one alone"):
        surface_of(network(), examples.take(range(3)), batchnorm=BatchStatistics(largest_batch=2))
    assert surface_of(plain, examples, batchnorm="frozen").complete


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"policy": "running"}, "one of frozen, reestimate, batch, got 'running'", id="name"),
        pytest.param({"policy": "batch", "source": "clean"}, "only re-estimated statistics have a source", id="source"),
        pytest.param(
            {"policy": "reestimate", "source": "test"}, "clean or adversarial examples, got 'test'", id="from"
        ),
        pytest.param(
            {"policy": "frozen", "largest_batch": 9}, "frozen statistics have no batches, got 9", id="batches"
        ),
        pytest.param({"policy": "batch", "largest_batch": 1}, "need at least 2 examples, got 1", id="batch of one"),
    ],
)
def test_settings_that_make_no_sense_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_policy(**arguments)


def test_batches_of_the_policy_and_of_the_sweep_do_not_contradict(examples: Examples) -> None:
    with pytest.raises(InputError, match="measures in the batches whose statistics it takes, got the batch size 5"):
        surface_of(network(), examples, batchnorm="batch", batch_size=5)
    with pytest.raises(InputError, match="need an attack; take those of clean ones"):
        surface_of(network(), examples, batchnorm=ReestimatedStatistics(source="adversarial"), attack=None)


def test_the_norm_of_logits_belongs_to_the_policy(examples: Examples) -> None:
    plan = plan_surface(network(), examples, attack=ATTACK, device="cpu", batchnorm="batch", loss="ce-normalised")
    shuffled, _ = ordered(examples)
    with torch.no_grad():
        expected = float(OfTheBatch(network())(shuffled.inputs).double().norm(dim=1).mean())
    surface = run_plan(
        plan_surface(
            network(), examples, attack=None, directions=1, grid="-1:1:2", device="cpu", batchnorm="batch",
            loss="ce-normalised",
        )
    )  # fmt: skip
    assert surface.provenance[0]["logit_norm"] == pytest.approx(expected, rel=1e-5)
    assert plan.key != surface.key
