from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import load_checkpoint, save_checkpoint
from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.errors import InputError, Interrupted, SurfaceError
from landscape.models.registry import build_model
from landscape.surfaces.compute import compute_surface
from landscape.surfaces.directions import filter_normalized, random_direction
from landscape.surfaces.measured_losses import CrossEntropy, Joint, Mart, NormalisedCrossEntropy, Trades, find_loss
from landscape.surfaces.plan import plan_surface
from landscape.surfaces.surface import Surface
from landscape.weights import parameters_of
from tests.surfaces.small import network

Floats = npt.NDArray[np.float64]

ATTACK = PGD(threat=ThreatModel(norm="linf", epsilon=0.15), step_size=0.05, num_steps=3, num_restarts=2)


@pytest.fixture(scope="module")
def examples() -> Examples:
    return load_examples("digits", split="train", num_examples=20)


def surface_of(net: nn.Module, examples: Any, **changes: Any) -> Surface:
    settings: dict[str, Any] = {"attack": ATTACK, "directions": 2, "grid": "-1:1:3", "device": "cpu", **changes}
    return compute_surface(net, examples, **settings)


def softmax(z: Floats) -> Floats:
    return np.asarray(np.exp(z - z.max()) / np.exp(z - z.max()).sum())


def cross_entropy(clean: Floats, z: Floats, y: int, norm: float) -> float:
    return float(-np.log(softmax(z)[y]))


def margin(clean: Floats, z: Floats, y: int, norm: float) -> float:
    return float(max(z[k] for k in range(len(z)) if k != y) - z[y])


def normalised(clean: Floats, z: Floats, y: int, norm: float) -> float:
    return float(-np.log(softmax(z / norm)[y]))


def trades(clean: Floats, z: Floats, y: int, norm: float) -> float:
    p, q = softmax(clean), softmax(z)
    return float(-np.log(p[y]) + 6.0 * sum(p[k] * (np.log(p[k]) - np.log(q[k])) for k in range(len(z))))


def mart(clean: Floats, z: Floats, y: int, norm: float) -> float:
    p, q = softmax(clean), softmax(z)
    wrong = max(q[k] for k in range(len(z)) if k != y)
    divergence = sum(p[k] * (np.log(p[k]) - np.log(q[k] + 1e-12)) for k in range(len(z)))
    return float(-np.log(q[y]) - np.log(1.0001 - wrong + 1e-12) + 5.0 * divergence * (1.0000001 - p[y]))


ORACLES: dict[str, tuple[Any, Callable[[Floats, Floats, int, float], float]]] = {
    "cross-entropy": ("ce", cross_entropy),
    "margin": ("margin", margin),
    "normalised": ("ce-normalised", normalised),
    "trades": (Trades(beta=6.0), trades),
    "mart": (Mart(weight=5.0), mart),
}


def logits_of(model: nn.Module, inputs: Tensor) -> Floats:
    with torch.no_grad():
        return np.asarray(model(inputs).double().numpy())


@pytest.mark.parametrize(("loss", "literal"), ORACLES.values(), ids=ORACLES.keys())
def test_equals_a_loop_over_points_restarts_and_examples(
    loss: Any, literal: Callable[[Floats, Floats, int, float], float], examples: Examples
) -> None:
    net = network()
    surface, reference = surface_of(net, examples, loss=loss), surface_of(net, examples)
    weights = parameters_of(net)
    starts = ATTACK.starts(examples.ids, examples.image_shape, seed=0)
    norm = float(np.mean([np.sqrt((z**2).sum()) for z in logits_of(net, examples.inputs)]))
    for d in range(2):
        direction = filter_normalized(random_direction(weights, seed=0, index=d), weights)
        for a, alpha in enumerate(surface.grid.alpha):
            model = copy.deepcopy(net)
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.add_(alpha * direction.get(name, torch.zeros(())))
            clean = logits_of(model, examples.inputs)
            attacked = [logits_of(model, x) for x in ATTACK.restarts(model, examples.inputs, examples.labels, starts)]
            for i, y in enumerate(examples.labels.tolist()):
                worst = max(literal(clean[i], z[i], y, norm) for z in attacked)
                assert surface.adversarial_loss[d, a, i] == pytest.approx(worst, rel=1e-4, abs=2e-5)
                assert surface.clean_loss[d, a, i] == pytest.approx(
                    literal(clean[i], clean[i], y, norm), rel=1e-4, abs=2e-5
                )
    np.testing.assert_array_equal(surface.adversarial_correct, reference.adversarial_correct)
    np.testing.assert_array_equal(surface.clean_correct, reference.clean_correct)


def test_the_cross_entropy_keeps_its_name_and_others_have_their_own(examples: Examples) -> None:
    specs = {
        name: plan_surface(network(), examples, attack=ATTACK, loss=loss, device="cpu").spec["loss"]
        for name, (loss, _) in ORACLES.items()
    }
    assert specs == {
        "cross-entropy": "cross-entropy",
        "margin": "margin",
        "normalised": "ce-normalised",
        "trades": {"name": "trades", "beta": 6.0},
        "mart": {"name": "mart", "lambda": 5.0},
    }


def test_the_normalised_curve_stays_where_all_logits_are_multiplied(examples: Examples) -> None:
    net, scaled = network(), network()
    with torch.no_grad():
        for parameter in scaled.get_submodule("4").parameters():
            parameter.mul_(64.0)  # a power of two: no rounding
    changes: dict[str, Any] = {"loss": "ce-normalised", "objective": "clean", "attack": None}
    before, after = surface_of(net, examples, **changes), surface_of(scaled, examples, **changes)
    np.testing.assert_allclose(after.clean_loss, before.clean_loss, rtol=1e-5)
    raw = [surface_of(model, examples, **{**changes, "loss": "ce"}).mean() for model in (net, scaled)]
    assert bool((raw[1] > 2 * raw[0]).all())


def test_the_norm_is_recorded_and_does_not_depend_on_batches_or_interruptions(
    examples: Examples, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    expected = float(np.mean(np.sqrt((logits_of(network(), examples.inputs) ** 2).sum(axis=1))))
    with pytest.raises(Interrupted):
        surface_of(network(), examples, loss="ce-normalised", cache_dir=tmp_path, batch_size=7, progress=stop)
    resumed = surface_of(network(), examples, loss="ce-normalised", cache_dir=tmp_path, batch_size=20)
    whole = surface_of(network(), examples, loss="ce-normalised", batch_size=7)
    assert {entry["logit_norm"] for entry in resumed.provenance} == {whole.provenance[0]["logit_norm"]}
    assert whole.provenance[0]["logit_norm"] == pytest.approx(expected, rel=1e-6)
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[name], array)
    with pytest.raises(SurfaceError, match="was computed by other code"):
        surface_of(with_softplus(), examples, loss="ce-normalised", cache_dir=tmp_path)


def with_softplus() -> nn.Module:
    changed = network()
    changed.add_module("2", nn.Softplus())
    return changed


def test_logits_without_a_norm_are_not_divided_by_it(examples: Examples) -> None:
    net = network()
    with torch.no_grad():
        for parameter in net.get_submodule("4").parameters():
            parameter.zero_()
    with pytest.raises(InputError, match=r"the mean norm of the logits at the centre is 0, .*; take --loss ce"):
        surface_of(net, examples, loss="ce-normalised")
    with pytest.raises(InputError, match="before their norm at the centre is measured"):
        NormalisedCrossEntropy()(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, dtype=torch.long))


def test_the_joint_loss_is_half_of_each() -> None:
    clean, logits, labels = torch.randn(5, 3), torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    first, second = (torch.nn.functional.cross_entropy(z, labels, reduction="none") for z in (clean, logits))
    torch.testing.assert_close(Joint()(clean, logits, labels), (first + second) / 2)


TRAINED: dict[str, tuple[dict[str, Any], Any]] = {
    "natural": ({"method": "natural"}, CrossEntropy()),
    "at": ({"method": "at-awp", "settings": {}}, CrossEntropy()),
    "at-pni": ({"method": "at-pni", "settings": {}}, Joint()),
    "trades": ({"method": "trades-awp", "settings": {"beta_trades": 3.5}}, Trades(beta=3.5)),
    "mart": ({"method": "mart-rwp", "settings": {"mart_lambda": 4}}, Mart(weight=4.0)),
    "rst": ({"method": "rst", "settings": {"rst_base": "trades", "beta_trades": 6.0}}, Trades(beta=6.0)),
    "rst by mart": ({"method": "rst-awp", "settings": {"rst_base": "mart", "mart_lambda": 5.0}}, Mart(weight=5.0)),
}


@pytest.mark.parametrize(("training", "loss"), TRAINED.values(), ids=TRAINED.keys())
def test_the_training_objective_is_read_from_the_checkpoint(training: dict[str, Any], loss: Any) -> None:
    assert find_loss("training", training) == loss


@pytest.mark.parametrize(
    ("training", "message"),
    [
        pytest.param({}, "got the method None; take --loss ce", id="a foreign file"),
        pytest.param({"method": "trades"}, "got the method 'trades' without its settings", id="no settings"),
        pytest.param({"method": "rst", "settings": {}}, "got the method 'rst'", id="no base"),
        pytest.param({"method": "pruning", "settings": {}}, "got the method 'pruning'", id="unknown"),
    ],
)
def test_an_unknown_training_objective_is_refused(training: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_loss("training", training)


def test_names_and_plain_models_are_refused_in_a_sentence(examples: Examples) -> None:
    with pytest.raises(InputError, match="a loss is one of ce, margin, ce-normalised, training, got 'hinge'"):
        plan_surface(network(), examples, attack=ATTACK, loss="hinge")
    with pytest.raises(InputError, match="needs a checkpoint that records"):
        plan_surface(network(), examples, attack=ATTACK, loss="training")


def test_the_training_loss_of_a_trades_checkpoint_is_measured(examples: Examples, tmp_path: Path) -> None:
    path = save_checkpoint(
        tmp_path / "trades.pt",
        network=build_model("small_cnn"),
        model_name="small_cnn",
        model_arguments={},
        normalization=None,
        dataset="digits",
        threat=ATTACK.threat,
        step_size=0.05,
        training={"method": "trades-awp", "settings": {"beta_trades": 6.0}},
    )
    checkpoint = load_checkpoint(path)
    measured = compute_surface(
        checkpoint, examples, attack=ATTACK, directions=1, grid="-1:1:2", loss="training", device="cpu"
    )
    named = compute_surface(
        checkpoint, examples, attack=ATTACK, directions=1, grid="-1:1:2", loss=Trades(beta=6.0), device="cpu"
    )
    assert measured.key == named.key
    np.testing.assert_array_equal(measured.adversarial_loss, named.adversarial_loss)


def test_reduced_precision_takes_differences_in_single_precision(examples: Examples) -> None:
    for loss in ("margin", Trades(beta=6.0), "ce-normalised"):
        wide, narrow = (surface_of(network(), examples, loss=loss, precision=name) for name in ("fp32", "bf16"))
        assert np.isfinite(narrow.mean()).all()
        np.testing.assert_allclose(narrow.mean(), wide.mean(), rtol=0.05, atol=0.05)
