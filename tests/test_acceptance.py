"""The acceptance tests that follow from defects seen in other landscape tools; docs/acceptance.md has all of them."""

from __future__ import annotations

import copy
import math
import os
import re
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import load_checkpoint
from landscape.datasets.registry import load_examples
from landscape.errors import Interrupted, SurfaceError
from landscape.files import digest_arrays
from landscape.protocols import Measurement
from landscape.surfaces.compute import compute_surface
from landscape.surfaces.directions import RandomDirections, filter_normalized, random_direction
from landscape.surfaces.planes import cosine, orthogonal_pairs
from landscape.surfaces.rescaling import rescaled_copies
from landscape.surfaces.store import SurfaceStore, load_surface
from landscape.surfaces.surface import CENTRE, DONE, Draft, Grid, Surface
from landscape.weights import digest_weights, parameters_of
from tests.analysis.synthetic import SPEC

ROOT = Path(__file__).parents[1]

THREAT = ThreatModel(norm="linf", epsilon=0.15)

ATTACK = PGD(threat=THREAT, step_size=0.0375, num_steps=3)


def network() -> nn.Module:
    return copy.deepcopy(load_checkpoint("digits-at").model)


def surface_of(model: nn.Module, num_examples: int = 20, **changes: Any) -> Surface:
    examples = load_examples("digits", split="train", num_examples=num_examples)
    settings: dict[str, Any] = {"attack": ATTACK, "directions": 1, "grid": "-1:1:3", "device": "cpu", **changes}
    return compute_surface(model, examples, **settings)


# --- D1, D7: coordinates


class Witness(nn.Module):
    """Notes the weights with which it is called: on any grid they must be the labels of its axes, exactly."""

    seen: ClassVar[list[list[float]]] = []

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 2))

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen.append(self.weight[0].tolist())
        return self.weight.expand(len(inputs), 2)


class Axes:
    """Direction i of a plane is its i-th axis."""

    def settings(self) -> dict[str, Any]:
        return {"kind": "axes"}

    def moving(self, weights: dict[str, Tensor]) -> list[str]:
        return list(weights)

    def direction(self, weights: dict[str, Tensor], index: int) -> dict[str, Tensor]:
        return {"weight": torch.eye(2)[index % 2][None]}


@pytest.mark.parametrize(
    ("alpha", "beta"), [("-1:1:5", "-1:1:3"), ("-1:1:4", "0:1/2:3"), ("-1:1:2", "-2:1:4")], ids=["odd", "mixed", "even"]
)
def test_d1_d7_nodes_are_the_outer_product_of_their_labels(alpha: str, beta: str) -> None:
    Witness.seen.clear()
    grid = Grid.parse(alpha, beta)
    examples = torch.zeros(2, 1, 1, 1), torch.tensor([0, 1])
    compute_surface(
        Witness(), examples, attack=None, directions=Axes(), num_directions=1, grid=grid, batch_size=2, device="cpu"
    )
    expected = [[0.0, 0.0], *([a, b] for a in grid.alpha for b in grid.beta or ())]
    # Of each point two calls: the example itself, and as its own adversarial example; the first two try the model.
    assert Witness.seen[2::2] == Witness.seen[3::2] == np.array(expected, np.float32).tolist()


@pytest.mark.parametrize("grid", [Grid.parse("-1:1:3"), Grid.parse("-1:1:3", "0:1:2")], ids=["line", "plane"])
def test_d1_d7_node_0_is_the_centre_bit_for_bit(grid: Grid) -> None:
    surface = surface_of(network(), grid=grid)
    zero = (0, 1) if grid.beta is None else (0, 1, 0)
    for name, array in surface.centre.arrays().items():
        assert array.tobytes() == surface.arrays[name][zero].tobytes()


# --- D2, D5, D13: directions


def test_d2_d5_d13_directions_are_centred_and_orthogonal_as_far_as_their_filters_allow() -> None:
    weights = parameters_of(network())
    draws = torch.cat([part.reshape(-1) for part in random_direction(weights, seed=0, index=0).values()])
    assert abs(float(draws.mean())) < 5 / math.sqrt(len(draws))
    moving = {name: weight for name, weight in weights.items() if weight.dim() > 1}
    filters = [(float(part.double().square().sum()), part.numel()) for weight in moving.values() for part in weight]
    # |cos| is at most about 5 s: s^2 = sum_f ||w_f||^4 / n_f / (sum_f ||w_f||^2)^2.
    s = math.sqrt(sum(square**2 / count for square, count in filters)) / sum(square for square, _ in filters)
    recipe = RandomDirections(seed=0)
    for plane in range(5):
        first = recipe.direction(weights, 2 * plane)
        assert 0 < abs(cosine(first, recipe.direction(weights, 2 * plane + 1))) < 5 * s
        assert abs(cosine(first, orthogonal_pairs(recipe).direction(weights, 2 * plane + 1))) < 1e-6


# --- D3, D11, D12: filters


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3),
        nn.Linear(7, 5),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.Conv2d(4, 8, 3, groups=4),
    ],
    ids=["conv", "linear", "grouped", "depthwise"],
)
def test_d3_d11_d12_every_filter_of_a_direction_is_as_long_as_that_of_the_weights(layer: nn.Module) -> None:
    weights = parameters_of(layer)
    draws = random_direction(weights, seed=2, index=1)
    direction = filter_normalized(draws, weights)
    assert list(direction) == ["weight"]
    for d_f, w_f, drawn in zip(direction["weight"], weights["weight"], draws["weight"], strict=True):
        size = math.sqrt(sum(w * w for w in w_f.double().flatten().tolist()))
        length = math.sqrt(sum(d * d for d in drawn.double().flatten().tolist()))
        assert float(d_f.double().norm()) / size == pytest.approx(1, abs=1e-6)
        assert d_f.flatten().tolist() == pytest.approx([d * size / length for d in drawn.flatten().tolist()], rel=1e-5)


# --- D4: the caller's model


def state_of(model: nn.Module) -> Any:
    flags = [part.training for part in model.modules()], [weight.requires_grad for weight in model.parameters()]
    gradients = [weight.grad for weight in model.parameters()]
    return digest_weights(model), flags, gradients, torch.get_rng_state().tolist()


@pytest.mark.parametrize(
    "end", [None, RuntimeError("in the middle"), KeyboardInterrupt()], ids=["success", "error", "ctrl-c"]
)
def test_d4_the_callers_model_and_random_state_survive_any_end(end: BaseException | None, tmp_path: Path) -> None:
    model = network().train()
    next(model.parameters()).requires_grad_(False)
    before = state_of(model)

    def stop(done: int, total: int) -> None:
        if end is not None and done == 2:
            raise end

    if end is None:
        surface_of(model, progress=stop, cache_dir=tmp_path)
    else:
        with pytest.raises(Interrupted if isinstance(end, KeyboardInterrupt) else type(end)):
            surface_of(model, progress=stop, cache_dir=tmp_path)
    assert state_of(model) == before


# --- D6: what is no number


class Diverging(nn.Module):
    """Gives an infinite logit as soon as its weights have moved."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10, bias=False)
        self.kept = self.linear.weight.detach().clone()

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.linear(inputs.flatten(1))
        return logits if torch.equal(self.linear.weight, self.kept) else logits / 0.0


def test_d6_what_is_no_number_stays_so_in_the_file(tmp_path: Path) -> None:
    surface = surface_of(Diverging(), attack=None, cache_dir=tmp_path)
    stored = load_surface(tmp_path / f"{surface.key}.h5")
    assert stored.status.tolist() == [[2, 1, 2]] and stored.complete
    assert not np.isfinite(stored.clean_loss[:, [0, 2]]).any() and np.isfinite(stored.clean_loss[:, 1]).all()
    assert stored.clean_loss.tobytes() == surface.clean_loss.tobytes()


# --- D9, D10, D20: BatchNorm


class Watched(nn.Module):
    """Notes, at every call, whether any part is in training mode, and its buffers."""

    seen: ClassVar[list[tuple[bool, str]]] = []

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, inputs: Tensor) -> Tensor:
        buffers = digest_arrays({name: buffer.numpy() for name, buffer in self.network.named_buffers()})
        self.seen.append((any(part.training for part in self.modules()), buffers))
        logits: Tensor = self.network(inputs)
        return logits


def test_d9_d10_d20_frozen_batchnorm_never_moves_and_every_call_is_in_eval_mode() -> None:
    Watched.seen.clear()
    surface_of(Watched().train())
    # Three tries, and for each of 4 points the example, 3 steps and the adversarial example.
    assert len(Watched.seen) == 3 + 4 * 5
    assert len(set(Watched.seen)) == 1 and not Watched.seen[0][0]


def test_d9_d10_d20_the_batch_size_changes_rounding_only() -> None:
    whole, parts = (surface_of(network(), batch_size=size) for size in (20, 7))
    np.testing.assert_allclose(parts.mean(), whole.mean(), rtol=1e-4)


# --- D14: directions


def test_d14_directions_differ_by_index_and_are_equal_in_every_process() -> None:
    weights = {"a": torch.ones(4, 3), "b": torch.ones(2, 5)}
    first, second = (random_direction(weights, seed=3, index=index) for index in (0, 1))
    assert not any(torch.equal(first[name], second[name]) for name in weights)
    code = (
        "import torch; from landscape.surfaces.directions import random_direction; "
        "from landscape.weights import digest_weights; torch.manual_seed(9); torch.rand(5); "
        "print(digest_weights(random_direction({'a': torch.ones(4, 3), 'b': torch.ones(2, 5)}, seed=3, index=1)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == digest_weights(second)


# --- D17: what is done is final


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 of a forked child needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_d17_killed_in_the_middle_the_same_call_ends_with_the_same_file(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"num_examples": 5, "grid": "-1:1:5"}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a forked child has no worker threads to wait for
    try:
        whole = surface_of(network(), **settings, cache_dir=tmp_path / "whole")

        def stop(done: int, total: int) -> None:
            if done == 3:
                os.kill(os.getpid(), signal.SIGKILL)

        if (child := os.fork()) == 0:
            try:
                surface_of(network(), **settings, cache_dir=tmp_path, progress=stop)
            finally:
                os._exit(0)
        _, ended = os.waitpid(child, 0)
        assert os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGKILL
        found: list[int] = []
        again = surface_of(network(), **settings, cache_dir=tmp_path, progress=lambda done, total: found.append(done))
    finally:
        torch.set_num_threads(threads)
    assert found[0] == 3
    assert again.key == whole.key and load_surface(tmp_path / f"{whole.key}.h5").complete
    np.testing.assert_array_equal(again.adversarial_loss, whole.adversarial_loss)


def test_d17_zero_and_negative_losses_are_final(tmp_path: Path) -> None:
    spec = {**SPEC, "grid": Grid.parse("-1:1:3").to_spec(), "num_directions": 1}
    ids = np.arange(2)
    store = SurfaceStore(tmp_path)

    def measured(loss: float) -> Measurement:
        losses, correct = np.full(2, loss, np.float32), np.ones(2, np.uint8)
        return Measurement(
            adversarial_loss=losses, clean_loss=losses, adversarial_correct=correct, clean_correct=correct
        )

    def session() -> Any:
        return store.claim(spec, example_ids=ids, labels=ids, provenance={}, batch_size=2)

    with session() as writing:
        for point, loss in ((CENTRE, 0.0), ((0, 0), -1.0), ((0, 1), 0.0)):
            writing.append(point, measured(loss))
    with session() as resumed:
        assert resumed.done == {CENTRE, (0, 0), (0, 1)}
        resumed.append((0, 2), measured(1.0))
        resumed.finish()
        assert resumed.surface().mean().tolist() == [[-1.0, 0.0, 1.0]]
    draft = Draft(key="k", spec=spec, example_ids=ids, labels=ids)
    draft.put((0, 0), measured(-1.0), 0)
    assert draft.surface().status.tolist() == [[DONE, 0, 0]]


@pytest.mark.parametrize("changed", ["weights", "data", "attack"])
def test_d17_a_file_of_other_weights_data_or_attack_is_refused(changed: str, tmp_path: Path) -> None:
    """Whatever changed asks for another key, and a file that was renamed to that key is not taken for it."""
    stored = surface_of(network(), cache_dir=tmp_path)
    model, settings = network(), dict[str, Any]()
    if changed == "weights":
        with torch.no_grad():
            next(model.parameters()).add_(1e-3)
    elif changed == "data":
        settings["num_examples"] = 19
    else:
        settings["attack"] = replace(ATTACK, num_steps=4)
    wanted = surface_of(model, **settings).key
    assert wanted != stored.key
    (tmp_path / f"{stored.key}.h5").rename(tmp_path / f"{wanted}.h5")
    with pytest.raises(SurfaceError, match=f"should hold surface {wanted[:12]} but holds {stored.key[:12]}"):
        surface_of(model, cache_dir=tmp_path, **settings)


# --- D18: the newest and the oldest dependencies


def test_d18_the_oldest_supported_versions_are_pinned_for_their_own_test_run() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = dict(requirement.split(">=") for requirement in project["dependencies"])
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "constraints-oldest.txt").read_text(), re.MULTILINE))

    def release(version: str) -> list[int]:
        return [int(part) for part in version.split("+")[0].split(".")]

    for name, bound in bounds.items():
        length = len(release(bound))
        assert release(pins[name])[:length] == release(bound), name


# --- Science


def test_science_rescaling_leaves_the_normalized_curve_in_place() -> None:
    model = network()
    surface = surface_of(model, directions=2)
    copies, _ = rescaled_copies(model, load_examples("digits", split="train", num_examples=4).inputs)
    assert len(copies) == 2
    for entry in copies:
        assert digest_weights(entry.model) != digest_weights(model)
        rescaled = surface_of(entry.model, directions=2)
        np.testing.assert_allclose(rescaled.adversarial_loss, surface.adversarial_loss, rtol=1e-4, atol=1e-6)


def test_science_on_the_fly_is_never_below_fixed_examples() -> None:
    settings: dict[str, Any] = {"directions": 2, "grid": "-1:1:5", "attack": replace(ATTACK, num_steps=10)}
    fly, fixed = (surface_of(network(), objective=name, **settings) for name in ("adversarial", "fixed"))
    assert (fly.mean() >= fixed.mean() - 1e-3).all()
    away = np.abs(fly.grid.alpha) > 0.25
    assert (fly.mean()[:, away] >= 2 * fixed.mean()[:, away]).all()


def test_science_more_steps_never_lower_the_loss_beyond_noise() -> None:
    few, *more = (surface_of(network(), attack=replace(ATTACK, num_steps=steps)) for steps in (5, 10, 25))
    for surface in more:
        gain = surface.adversarial_loss.astype(np.float64) - few.adversarial_loss
        error = gain.std(axis=-1, ddof=1) / np.sqrt(gain.shape[-1])
        assert (gain.mean(axis=-1) >= -2 * error - 1e-6).all()


# --- The table


def test_every_test_that_the_table_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (ROOT / "docs" / "acceptance.md").read_text())
    assert len(named) > 20
    for path, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{name}"
