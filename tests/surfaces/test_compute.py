from __future__ import annotations

import copy
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.attacks.measure import measure
from landscape.attacks.pgd import PGD, NoAttack
from landscape.attacks.threat import ThreatModel
from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.errors import BusyError, InputError, Interrupted, ModelError, SurfaceError
from landscape.models.normalize import NormalizedModel
from landscape.surfaces.compute import compute_surface, run_plan
from landscape.surfaces.cost import estimate_cost
from landscape.surfaces.directions import RandomDirections, filter_normalized, random_direction
from landscape.surfaces.plan import Shard, plan_surface
from landscape.surfaces.store import SurfaceStore, load_surface
from landscape.surfaces.surface import CENTRE, Grid, Surface
from landscape.weights import parameters_of
from tests.surfaces.killing import die_often
from tests.surfaces.small import assert_same, deep_copied, network

ATTACK = PGD(threat=ThreatModel(norm="linf", epsilon=0.15), step_size=0.05, num_steps=3)


@pytest.fixture(scope="module")
def examples() -> Examples:
    return load_examples("digits", split="train", num_examples=20)


def surface_of(net: nn.Module, examples: Any, **changes: Any) -> Surface:
    settings: dict[str, Any] = {"attack": ATTACK, "directions": 2, "grid": "-1:1:5", "device": "cpu", **changes}
    return compute_surface(net, examples, **settings)


def test_equals_a_double_loop_over_deep_copied_models(examples: Examples) -> None:
    net = network()
    surface = surface_of(net, examples)
    starts = ATTACK.starts(examples.ids, examples.image_shape, seed=0)
    weights = parameters_of(net)
    for d in range(2):
        direction = filter_normalized(random_direction(weights, seed=0, index=d), weights)
        for a, alpha in enumerate(surface.grid.alpha):
            model = deep_copied(net, direction, alpha)
            expected = measure(model, examples.inputs, examples.labels, ATTACK, starts=starts)
            np.testing.assert_allclose(surface.adversarial_loss[d, a], expected.adversarial_loss, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(surface.clean_loss[d, a], expected.clean_loss, rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(surface.adversarial_correct[d, a], expected.adversarial_correct)
    assert surface.complete and surface.grid.alpha[2] == 0.0


def test_the_centre_is_plain_evaluation_and_equals_the_node_at_zero(examples: Examples) -> None:
    net = network()
    surface = surface_of(net, examples)
    logits = net(examples.inputs)
    plain = nn.functional.cross_entropy(logits, examples.labels, reduction="none")
    np.testing.assert_allclose(surface.centre.clean_loss, plain.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(surface.centre.clean_correct, (logits.argmax(1) == examples.labels).numpy())
    for d in range(2):
        for name, array in surface.centre.arrays().items():
            np.testing.assert_array_equal(surface.arrays[name][d, 2], array)


def test_the_centre_is_measured_also_when_no_node_is_at_zero(examples: Examples) -> None:
    surface = surface_of(network(), examples, grid="-1:1:4")
    assert 0.0 not in surface.grid.alpha
    assert math.isfinite(surface.centre_mean())


class Coordinates(nn.Module):
    """Gives its own weight back as a loss: every node must return its own label (D1, D7, D16)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        # With the second logit this far below, the cross-entropy of class 1 is their difference to rounding.
        shift = self.weight[0, 0].expand(len(inputs))
        return torch.stack([torch.zeros_like(shift), -100 - shift], dim=1)


@pytest.mark.parametrize("alpha", ["-1:1:5", "-1:1:4", "0:1/2:3", "-2:1:7"])
def test_values_lie_at_the_node_that_the_axis_names(alpha: str) -> None:
    labels = torch.ones(3, dtype=torch.long)
    surface = compute_surface(
        Coordinates(), (torch.zeros(3, 1, 1, 1), labels), attack=None, directions=3, grid=alpha, device="cpu"
    )
    slopes = []
    for d in range(3):
        shift = surface.clean_loss[d].mean(axis=1) - 101
        slopes.append(shift / np.where(np.array(surface.grid.alpha) == 0, np.nan, surface.grid.alpha))
        np.testing.assert_allclose(np.abs(shift), np.abs(surface.grid.alpha), atol=2e-5)
    assert np.nanstd(slopes, axis=1).max() < 1e-4


def test_a_rectangular_plane_adds_both_displacements(examples: Examples) -> None:
    net = network()
    grid = Grid.parse("-1:1:3", "0:1/2:2")
    surface = surface_of(net, examples, directions=1, grid=grid)
    weights = parameters_of(net)
    first, second = (filter_normalized(random_direction(weights, seed=0, index=i), weights) for i in (0, 1))
    model = deep_copied(deep_copied(net, first, 1.0), second, 0.5)
    starts = ATTACK.starts(examples.ids, examples.image_shape, seed=0)
    expected = measure(model, examples.inputs, examples.labels, ATTACK, starts=starts)
    assert surface.adversarial_loss.shape == (1, 3, 2, 20)
    np.testing.assert_allclose(surface.adversarial_loss[0, 2, 1], expected.adversarial_loss, rtol=1e-4, atol=1e-5)


def test_batch_size_and_order_change_starts_not_at_all_and_losses_by_rounding(examples: Examples) -> None:
    net = network()
    whole, parts = surface_of(net, examples, batch_size=512), surface_of(net, examples, batch_size=7)
    np.testing.assert_allclose(parts.mean(), whole.mean(), rtol=1e-4)
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0)).tolist()
    shuffled = surface_of(net, examples.take(order))
    np.testing.assert_allclose(
        shuffled.adversarial_loss[..., np.argsort(order)], whole.adversarial_loss, rtol=1e-4, atol=1e-5
    )


def test_one_thread_and_two_agree(examples: Examples) -> None:
    net, threads = network(), torch.get_num_threads()
    whole = surface_of(net, examples)
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        other = surface_of(net, examples)
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_allclose(other.mean(), whole.mean(), rtol=1e-4)


def test_fixed_examples_are_those_of_the_centre_and_never_beat_the_attack_made_anew(examples: Examples) -> None:
    net = network()
    attack = PGD(threat=ThreatModel(norm="linf", epsilon=0.15), step_size=0.0375, num_steps=10)
    fly = surface_of(net, examples, attack=attack)
    fixed = surface_of(net, examples, attack=attack, objective="fixed", batch_size=6)
    np.testing.assert_allclose(fixed.centre.adversarial_loss, fly.centre.adversarial_loss, rtol=1e-5, atol=1e-6)
    assert bool((fly.mean() >= fixed.mean() - 1e-3).all())
    away = np.array(fly.grid.alpha) != 0
    assert bool((fly.mean()[:, away] > fixed.mean()[:, away] + 1e-3).all())


def test_clean_objective_measures_natural_losses_only(examples: Examples) -> None:
    surface = surface_of(network(), examples, objective="clean")
    np.testing.assert_array_equal(surface.adversarial_loss, surface.clean_loss)
    assert surface.spec["attack"]["name"] == "none"


def test_the_callers_model_and_generators_are_left_alone(examples: Examples) -> None:
    net = network().train()
    state, random = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    numpy_state = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002 - what is checked
    surface_of(net, examples)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        surface_of(net, examples, progress=stop)
    assert all(torch.equal(net.state_dict()[name], value) for name, value in state.items())
    assert net.training and all(p.requires_grad and p.grad is None for p in net.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert (np.random.get_state(legacy=False)["state"]["key"] == numpy_state).all()  # noqa: NPY002 - as above


class Fragile(nn.Module):
    """Gives NaN as soon as its weights have grown by a fifth."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.limit = 1.2 * float(self.linear.weight.detach().norm())

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.linear(inputs.flatten(1))
        return logits * torch.where(self.linear.weight.norm() > self.limit, math.nan, 1.0)


def test_losses_that_are_no_numbers_stay_so_and_are_marked(examples: Examples) -> None:
    torch.manual_seed(0)
    net = Fragile()
    surface = surface_of(net, examples)
    assert surface.status.tolist() == [[2, 1, 1, 1, 2]] * 2
    assert np.isnan(surface.adversarial_loss[:, [0, 4]]).all()
    assert np.isnan(surface.mean()[:, 0]).all() and np.isfinite(surface.mean()[:, 1:4]).all()
    assert surface.complete


def test_directions_of_one_surface_differ_and_repeat_with_the_seed(examples: Examples) -> None:
    first, again = surface_of(network(), examples), surface_of(network(), examples)
    assert_same(first, again)
    assert not np.array_equal(first.adversarial_loss[0], first.adversarial_loss[1])
    other = surface_of(network(), examples, seed=1)
    assert not np.array_equal(first.adversarial_loss[0, 0], other.adversarial_loss[0, 0])


# --- the cache


def test_a_second_call_reads_and_computes_nothing(examples: Examples, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    first = surface_of(network(), examples, cache_dir=tmp_path)
    second = surface_of(
        network(), examples, cache_dir=tmp_path, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == []
    assert_same(first, second)
    assert_same(first, surface_of(network(), examples))
    assert [path.name for path in tmp_path.glob("*.h5")] == [f"{first.key}.h5"]
    assert not list(tmp_path.glob("*.points"))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"seed": 1}, id="seed"),
        pytest.param({"attack": PGD(threat=ATTACK.threat, step_size=0.05, num_steps=4)}, id="steps"),
        pytest.param(
            {"attack": PGD(threat=ThreatModel(norm="l2", epsilon=0.15), step_size=0.05, num_steps=3)}, id="norm"
        ),
        pytest.param({"attack": None}, id="no attack"),
        pytest.param({"objective": "fixed"}, id="objective"),
        pytest.param({"directions": RandomDirections(norm="layer"), "num_directions": 2}, id="normalization of d"),
        pytest.param({"directions": RandomDirections(one_dim="copy"), "num_directions": 2}, id="one-dim rule"),
        pytest.param({"directions": RandomDirections(layers="4"), "num_directions": 2}, id="layers"),
        pytest.param({"precision": "bf16"}, id="precision"),
    ],
)
def test_whatever_changes_numbers_changes_the_key_and_shares_no_point(
    change: dict[str, Any], examples: Examples, tmp_path: Path
) -> None:
    reference = surface_of(network(), examples, cache_dir=tmp_path)
    settings: dict[str, Any] = {"attack": ATTACK, "directions": 2, "grid": "-1:1:5", "device": "cpu", **change}
    plan = plan_surface(network(), examples, **settings)
    assert plan.key != reference.key
    assert estimate_cost(plan, cache_dir=tmp_path).num_points == 11


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(lambda net, ex: (_nudged(net, "4.bias"), ex), id="a weight"),
        pytest.param(lambda net, ex: (_nudged(net, "1.running_mean"), ex), id="a buffer"),
        pytest.param(lambda net, ex: (net, ex.take(range(1, 20))), id="the examples"),
    ],
)
def test_other_weights_or_data_are_another_surface(changed: Callable[..., Any], examples: Examples) -> None:
    before = plan_surface(network(), examples, attack=ATTACK, device="cpu").key
    assert plan_surface(*changed(network(), examples), attack=ATTACK, device="cpu").key != before


def test_the_order_of_parameters_is_part_of_the_key(examples: Examples) -> None:
    class Pair(nn.Module):
        def __init__(self, *order: str) -> None:
            super().__init__()
            for name in order:
                self.add_module(name, nn.Linear(64, 10))
                nn.init.ones_(self.get_parameter(f"{name}.weight"))
                nn.init.zeros_(self.get_parameter(f"{name}.bias"))

        def forward(self, inputs: Tensor) -> Tensor:
            first, second = self.get_submodule("first"), self.get_submodule("second")
            logits: Tensor = first(inputs.flatten(1)) + second(inputs.flatten(1))
            return logits

    keys = [
        plan_surface(Pair(*order), examples, attack=ATTACK, device="cpu").spec
        for order in (("first", "second"), ("second", "first"))
    ]
    assert keys[0]["weights"] == keys[1]["weights"]
    assert keys[0] != keys[1]


def _nudged(net: nn.Module, name: str) -> nn.Module:
    net.state_dict()[name].add_(1e-6)
    return net


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"batch_size": 3}, id="batch size"),
        pytest.param({"label": "another"}, id="label"),
        pytest.param({"device": "auto"}, id="device"),
    ],
)
def test_what_does_not_change_numbers_does_not_change_the_key(change: dict[str, Any], examples: Examples) -> None:
    settings: dict[str, Any] = {"attack": ATTACK, "device": "cpu"}
    assert (
        plan_surface(network(), examples, **settings).key
        == plan_surface(network(), examples, **{**settings, **change}).key
    )


def test_points_are_shared_between_grids_and_numbers_of_directions(examples: Examples, tmp_path: Path) -> None:
    surface_of(network(), examples, cache_dir=tmp_path)
    plan = plan_surface(network(), examples, attack=ATTACK, directions=3, grid="-1:1:9", device="cpu")
    assert estimate_cost(plan, cache_dir=tmp_path).num_points == 3 * 9 - 2 * 5
    wider = run_plan(plan, cache_dir=tmp_path)
    assert_same(wider, run_plan(plan))


def with_softplus() -> nn.Module:
    changed = network()
    changed.add_module("2", nn.Softplus())
    return changed


def stop_at(count: int) -> Callable[[int, int], None]:
    def stop(done: int, total: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("stored", ["complete", "interrupted", "a relative"])
def test_another_function_behind_the_same_weights_is_refused(stored: str, examples: Examples, tmp_path: Path) -> None:
    if stored == "interrupted":
        with pytest.raises(Interrupted):
            surface_of(network(), examples, cache_dir=tmp_path, progress=stop_at(4))
    else:
        surface_of(network(), examples, cache_dir=tmp_path)
    wanted = {"directions": 3} if stored == "a relative" else {}
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SurfaceError, match=r"was computed by other code of the model .*Sequential"):
        surface_of(with_softplus(), examples, cache_dir=tmp_path, **wanted)
    assert sorted(tmp_path.iterdir()) == before
    assert surface_of(network(), examples, cache_dir=tmp_path, **wanted).complete


def test_numbers_inside_a_model_that_its_state_leaves_out_are_part_of_the_key(examples: Examples) -> None:
    keys = {
        plan_surface(NormalizedModel(network(), mean, (1.0,)), examples, attack=ATTACK, device="cpu").key
        for mean in ((0.0,), (0.5,))
    }
    assert len(keys) == 2


def test_a_model_that_is_broken_at_its_centre_is_found_again(examples: Examples, tmp_path: Path) -> None:
    net = network()
    with torch.no_grad():
        net.get_parameter("4.bias").fill_(math.nan)
    first = surface_of(net, examples, cache_dir=tmp_path)
    assert_same(first, surface_of(net, examples, cache_dir=tmp_path))
    assert (first.status == 2).all()


def test_an_interrupt_keeps_what_is_finished_and_the_same_call_goes_on(examples: Examples, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match=r"Stopped: 4 of 11 points are kept in .*; the same command goes on"):
        surface_of(network(), examples, cache_dir=tmp_path, progress=stop_at(4))
    calls: list[int] = []
    resumed = surface_of(network(), examples, cache_dir=tmp_path, progress=lambda done, total: calls.append(done))
    assert calls == [4, 5, 6, 7, 8, 9, 10, 11]
    assert_same(resumed, surface_of(network(), examples))


def test_resuming_keeps_the_batch_size_of_the_first_point(examples: Examples, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        surface_of(network(), examples, cache_dir=tmp_path, batch_size=7, progress=stop_at(4))
    resumed = surface_of(network(), examples, cache_dir=tmp_path, batch_size=20)
    assert_same(resumed, surface_of(network(), examples, batch_size=7))


def test_shards_together_equal_one_process(examples: Examples, tmp_path: Path) -> None:
    plan = plan_surface(network(), examples, attack=ATTACK, directions=2, grid="-1:1:5", device="cpu")
    assert not run_plan(plan, cache_dir=tmp_path, shard=Shard(number=1, count=2)).complete
    joined = run_plan(plan, cache_dir=tmp_path, shard=Shard(number=2, count=2))
    assert joined.complete
    assert_same(joined, run_plan(plan))


def test_a_second_process_on_the_same_surface_is_refused(examples: Examples, tmp_path: Path) -> None:
    def compete(done: int, total: int) -> None:
        if done == 2:
            surface_of(network(), examples, cache_dir=tmp_path)

    with pytest.raises(BusyError, match=str(os.getpid())):
        surface_of(network(), examples, cache_dir=tmp_path, progress=compete)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 of a forked child needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # any fork, since 3.12
def test_kill_minus_nine_at_twenty_places_loses_nothing_and_repeats_nothing(examples: Examples, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a forked child has no worker threads to wait for
    try:
        plan = plan_surface(network(), examples, attack=ATTACK, directions=20, grid="-1:1:21", device="cpu")
        expected = run_plan(plan)
        acknowledged = die_often(plan, tmp_path, np.random.default_rng(0).integers(1, 30, size=20))
        assert acknowledged > 150
        announced: list[int] = []
        final = run_plan(plan, cache_dir=tmp_path, progress=lambda done, total: announced.append(done))
    finally:
        torch.set_num_threads(threads)
    assert acknowledged <= announced[0] <= acknowledged + 1
    assert final.complete
    assert_same(final, expected)
    assert not list(tmp_path.glob("*.points"))


@pytest.mark.parametrize("what", ["an empty folder", "journals"])
def test_what_a_kill_at_the_very_end_leaves_is_deleted_by_the_next_call(
    what: str, examples: Examples, tmp_path: Path
) -> None:
    cache, journals = tmp_path / "cache", tmp_path / "journals"

    def keep(done: int, total: int) -> None:
        if done == total:
            (folder,) = cache.glob("*.points")
            shutil.copytree(folder, journals)

    surface = surface_of(network(), examples, cache_dir=cache, progress=keep)
    store = SurfaceStore(cache)
    folder, before = store.points_folder(surface.key), store.path(surface.key).read_bytes()
    if what == "journals":
        shutil.copytree(journals, folder)
        (folder / "main.claim").unlink()
        assert list(folder.iterdir())
    else:
        folder.mkdir()
    assert_same(surface_of(network(), examples, cache_dir=cache), surface)
    assert not folder.exists()
    assert store.path(surface.key).read_bytes() == before


def test_a_cut_journal_costs_only_the_torn_point(examples: Examples, tmp_path: Path) -> None:
    plan = plan_surface(network(), examples, attack=ATTACK, directions=2, grid="-1:1:5", device="cpu")
    store = SurfaceStore(tmp_path)
    measured = run_plan(plan)
    session = store.claim(
        plan.spec,
        example_ids=examples.ids.numpy(),
        labels=examples.labels.numpy(),
        provenance={},
        batch_size=plan.ready().batch_size,
    )
    with session:
        for point in (CENTRE, (0, 0), (0, 1)):
            session.append(point, measured.measurement(point))
    (journal,) = tmp_path.glob("*.points/*.journal")
    with open(journal, "rb+") as stream:
        stream.truncate(journal.stat().st_size - 3)
    assert store.finished_points(plan.spec) == {CENTRE, (0, 0)}
    assert_same(run_plan(plan, cache_dir=tmp_path), measured)


def test_the_file_can_be_read_by_itself(examples: Examples, tmp_path: Path) -> None:
    surface = surface_of(network(), examples, cache_dir=tmp_path, label="mine")
    again = load_surface(tmp_path / f"{surface.key}.h5")
    assert_same(surface, again)
    assert again.label == "mine"
    np.testing.assert_array_equal(again.example_ids, examples.ids.numpy())


# --- wrong calls


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"directions": 0}, "the number of directions is a whole number of at least 1, got 0."),
        ({"directions": 2.5}, "the number of directions is a whole number of at least 1, got 2.5."),
        ({"grid": 5}, "a grid is a landscape.Grid or FROM:TO:NUM such as -1:1:21, got 5."),
        ({"grid": "-1e39:1e39:3"}, "the nodes of a grid are at most 1e+30 in size, got 1e+39."),
        ({"attack": "pgd-10"}, "an attack is a landscape.PGD, another Attack or None, got 'pgd-10'."),
        ({"objective": "robust"}, "an objective is one of adversarial, fixed, clean, got 'robust'."),
        ({"batchnorm": "moving"}, "a BatchNorm policy is one of frozen, reestimate, batch, got 'moving'."),
        ({"precision": "fp8"}, "a precision is one of fp32, tf32, bf16, got 'fp8'."),
        ({"device": "tpu"}, "a device is auto, cpu, cuda or cuda:N, got 'tpu'."),
        ({"batch_size": 0}, "the batch size is a whole number of at least 1, got 0."),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(
    change: dict[str, Any], message: str, examples: Examples, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as failure:
        surface_of(network(), examples, cache_dir=tmp_path / "cache", **change)
    assert str(failure.value) == message
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ([1, 2, 3], "examples are landscape.Examples or a pair (inputs, labels), got list."),
        ((torch.zeros(8, 8), torch.tensor(1)), "inputs are floats in [0, 1] of (n, channels, height, width), got"),
        ((torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.zeros(2)), "inputs are floats in [0, 1]"),
        ((torch.zeros(2, 1, 8, 8), torch.zeros(2)), "labels are 2 whole numbers, got torch.float32 (2,)."),
        ((torch.zeros(2, 1, 8, 8), torch.zeros(3).long()), "labels are 2 whole numbers, got torch.int64 (3,)."),
        (("a", "b"), "inputs and labels are tensors or arrays, got ['str', 'str']."),
    ],
)
def test_examples_of_another_form_are_refused(pair: Any, message: str) -> None:
    with pytest.raises(InputError) as failure:
        surface_of(network(), pair)
    assert str(failure.value).startswith(message)


def test_arrays_serve_as_examples(examples: Examples) -> None:
    pair = (examples.inputs.numpy(), examples.labels.numpy())
    assert_same(surface_of(network(), pair), surface_of(network(), (examples.inputs, examples.labels)))


def test_a_model_without_gradients_is_refused(examples: Examples) -> None:
    class Detached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        @torch.no_grad()
        def forward(self, inputs: Tensor) -> Tensor:
            logits: Tensor = self.net(inputs)
            return logits

    with pytest.raises(ModelError, match="carry no gradient to its inputs"):
        surface_of(Detached(), examples)


def test_a_model_that_does_not_fit_the_examples_is_refused(examples: Examples) -> None:
    with pytest.raises(InputError, match=r"the model does not take inputs of 1x8x8 \(digits\): "):
        surface_of(nn.Sequential(nn.Flatten(), nn.Linear(9, 10)), examples)
    with pytest.raises(InputError, match=r"the model has 5 classes, but the labels go up to 9\."):
        surface_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), examples)
    with pytest.raises(InputError, match="a model gives logits"):
        surface_of(nn.Conv2d(1, 2, 3), examples)
    with pytest.raises(InputError, match=r"a model is a torch.nn.Module or a Checkpoint, got str\."):
        surface_of("model", examples)  # type: ignore[arg-type]


def test_no_attack_at_all_gives_natural_losses(examples: Examples) -> None:
    surface = surface_of(network(), examples, attack=NoAttack())
    np.testing.assert_array_equal(surface.adversarial_loss, surface.clean_loss)


def test_numbers_of_any_type_mean_the_same(examples: Examples) -> None:
    def key(epsilon: Any, directions: Any) -> str:
        attack = PGD(threat=ThreatModel(norm="linf", epsilon=epsilon), step_size=epsilon, num_steps=3)
        return plan_surface(network(), examples, attack=attack, directions=directions, device="cpu").key

    assert key(1, np.int64(3)) == key(1.0, 3) == key(np.float32(1), np.int32(3))
    assert key(1, 3) != key(1, 10)


def test_layers_are_named_as_in_the_network_with_and_without_normalization(examples: Examples) -> None:
    recipe = RandomDirections(layers="^4")
    plain = surface_of(network(), examples, directions=recipe, num_directions=1, grid="-1:1:2")
    inside = NormalizedModel(network(), (0.0,), (1.0,))
    normalized = surface_of(inside, examples, directions=recipe, num_directions=1, grid="-1:1:2")
    np.testing.assert_allclose(normalized.mean(), plain.mean(), rtol=1e-4)


@pytest.mark.cuda
def test_directions_and_examples_are_the_same_on_every_device(examples: Examples) -> None:
    weights = parameters_of(network())
    there = {name: weight.cuda() for name, weight in weights.items()}
    for name, part in RandomDirections(seed=3).direction(weights, 1).items():
        torch.testing.assert_close(RandomDirections(seed=3).direction(there, 1)[name].cpu(), part, rtol=1e-6, atol=0)
    here, moved = surface_of(network(), examples), surface_of(network(), examples.to("cuda"))
    assert here.key == moved.key
    np.testing.assert_allclose(moved.mean(), here.mean(), rtol=1e-4)


@pytest.mark.cuda
def test_a_cuda_device_agrees_with_the_cpu(examples: Examples) -> None:
    net = network()
    here, there = surface_of(net, examples), surface_of(net, examples, device="cuda")
    np.testing.assert_allclose(there.mean(), here.mean(), rtol=1e-3)
    np.testing.assert_allclose(there.centre.clean_loss, here.centre.clean_loss, rtol=1e-3, atol=1e-5)
