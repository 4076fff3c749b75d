"""Is what the device computes right: gradients, mean losses in every precision, a whole surface, against the CPU."""

from __future__ import annotations

import copy
import math

import torch
from cuda_bench import Bench
from subjects import SEED, digits_model
from torch import Tensor, nn

from landscape.attacks.measure import measure
from landscape.attacks.pgd import input_gradient
from landscape.datasets.registry import load_examples
from landscape.devices import arithmetic
from landscape.names import PRECISIONS
from landscape.surfaces.compute import compute_surface
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.surface import Grid
from landscape.weights import Weights, bind, displaced, parameters_of

ALPHAS = (0.0, 0.5)
DOUBLE_BAR, SINGLE_BAR, LOSS_BAR, SURFACE_BAR = 1e-8, 1e-5, 1e-3, 1e-3


def gradients(bench: Bench) -> None:
    """Input gradients against double precision on the CPU, each example relative to its largest entry."""
    model, name = bench.subject()
    examples = bench.some(bench.sizes.gradient_examples)
    starts = _starts(bench, bench.sizes.gradient_examples)
    inputs = (examples.inputs + starts[0]).clamp(0, 1)
    expected = _gradient(model, inputs, examples.labels, ALPHAS[1], "fp32", torch.device("cpu"), double=True)
    largest = expected.abs().flatten(1).amax(dim=1).clamp_min(1e-300)
    for variant in ("fp64", *PRECISIONS):
        double = variant == "fp64"
        precision = "fp32" if double else variant
        found = _gradient(model, inputs, examples.labels, ALPHAS[1], precision, bench.device, double=double)
        off = (found - expected).abs().flatten(1).amax(dim=1) / largest
        bench.say(
            "gradients", "largest difference from CPU float64, median", variant, float(off.median()), "of largest"
        )
        bench.say(
            "gradients", "largest difference from CPU float64, worst", variant, float(off.max()), "of largest", name
        )
        if double:
            bench.require(float(off.max()) <= DOUBLE_BAR, f"fp64 gradients differ by {float(off.max()):.1e}.")
        elif precision == "fp32":
            bench.require(float(off.median()) <= SINGLE_BAR, f"fp32 gradients differ by {float(off.median()):.1e}.")


def mean_losses(bench: Bench) -> None:
    """Mean adversarial losses in every precision against float64 on the device, in their standard errors.

    Every precision attacks for itself, as a sweep does: what counts is the curve that comes out.
    """
    model, name = bench.subject()
    examples = bench.some(bench.sizes.exact_examples)
    starts = _starts(bench, bench.sizes.exact_examples)
    for alpha in ALPHAS:
        expected = _losses(bench, model, examples.inputs, examples.labels, starts, alpha, "fp32", double=True)
        mean, error = float(expected.mean()), float(expected.std()) / math.sqrt(len(expected))
        where = f"alpha {alpha:g}"
        bench.say("mean losses", f"mean adversarial loss, {where}", "fp64", mean, "nats", name)
        bench.say("mean losses", f"its standard error, {where}", "fp64", error, "nats", f"{len(expected)} examples")
        for precision in PRECISIONS:
            found = _losses(bench, model, examples.inputs, examples.labels, starts, alpha, precision)
            off = float(found.mean()) - mean
            bench.say("mean losses", f"deviation of the mean, {where}", precision, off, "nats")
            bench.say("mean losses", f"the same in standard errors, {where}", precision, off / error, "SE")
            if precision == "fp32":
                bench.require(abs(off) <= LOSS_BAR * abs(mean), f"the fp32 mean loss at {where} is off by {off:.2e}.")


def digits_surface(bench: Bench) -> None:
    """A whole `plot-1d` surface of digits on the device against the CPU."""
    directions, points, count = bench.sizes.digits
    given, _, attack, name = digits_model()
    examples = load_examples("digits", num_examples=count, seed=SEED)
    surfaces = [
        compute_surface(
            given, examples, attack=attack, directions=directions, grid=Grid.line(-1, 1, points), device=str(device)
        )
        for device in ("cpu", bench.device)
    ]
    expected, found = (surface.mean() for surface in surfaces)
    off = float((abs(found - expected) / abs(expected)).max())
    basis = f"{name}; {directions} x {points} points, {count} examples"
    bench.say("digits surface", "mean losses differ from the CPU's by at most", "fp32", off, "relative", basis)
    bench.require(off <= SURFACE_BAR, f"the digits surface differs from the CPU's by {off:.1e}.")


def _starts(bench: Bench, count: int) -> Tensor:
    examples = bench.some(count)
    starts = bench.attack().starts(examples.ids, examples.image_shape, seed=SEED)
    if starts is None:
        raise ValueError("the comparison needs an attack with a random start")
    return starts


def _moved(model: nn.Module, alpha: float, *, double: bool) -> tuple[nn.Module, Weights]:
    """The network, and its weights moved along direction 0, which is drawn in single precision for all."""
    center = parameters_of(model)
    weights = displaced(center, (alpha, RandomDirections(seed=SEED).direction(center, 0)))
    if double:
        return copy.deepcopy(model).double(), {name: weight.double() for name, weight in weights.items()}
    return model, weights


def _gradient(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    alpha: float,
    precision: str,
    device: torch.device,
    *,
    double: bool,
) -> Tensor:
    network, weights = _moved(model, alpha, double=double)
    forward = bind(network.to(device), {name: weight.to(device) for name, weight in weights.items()})
    with arithmetic(precision, device):
        gradient = input_gradient(forward, (inputs.double() if double else inputs).to(device), labels.to(device))
    model.cpu()
    return gradient.double().cpu()


def _losses(
    bench: Bench,
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    starts: Tensor,
    alpha: float,
    precision: str,
    *,
    double: bool = False,
) -> Tensor:
    network, weights = _moved(model, alpha, double=double)
    dtype = torch.float64 if double else torch.float32
    forward = bind(network.to(bench.device), {name: weight.to(bench.device) for name, weight in weights.items()})
    with arithmetic(precision, bench.device):
        found = measure(
            forward,
            inputs.to(bench.device, dtype),
            labels.to(bench.device),
            bench.attack(),
            starts=starts.to(bench.device, dtype),
            batch_size=256,
        )
    model.cpu()
    return torch.from_numpy(found.adversarial_loss).double()
