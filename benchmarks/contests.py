"""What `sweep.py` lets the package and a plain loop compute, and how either side gets ready for it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from harness import note, timed
from naive import NaiveLoop
from operations import forward_operations, sweep_passes
from sides import Prepared
from subjects import SEED, cifar_shaped, digits_model
from torch import nn

from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import load_checkpoint
from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.devices import default_batch_size
from landscape.models.registry import build_model
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.surface import Grid
from landscape.surfaces.sweep import Sweep, SweepSettings
from landscape.weights import Weights, parameters_of

CPU = torch.device("cpu")
NAIVE_BATCH_SIZES = (32, 64, 128, 250, 500)
DIGITS_BAR, PREACT_BAR, COMPILED_BAR, TORCHATTACKS_BAR = 1.8, 1.8, 2.0, 1.2


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line says about the contests.

    Attributes:
        points, directions: of the digits sweeps.
        examples: of the others.
        checkpoint: weights of the others; random without.
        data_dir: folder of CIFAR-10.
    """

    points: int
    directions: int
    examples: int
    checkpoint: str | None
    data_dir: str | None


@dataclass(frozen=True, kw_only=True)
class Contest:
    """What both sides compute.

    Attributes:
        case: its name.
        model: the model, in eval mode.
        weights: where its weights come from.
        examples: what is measured.
        inputs: where the examples come from.
        attack: PGD in L-inf, one restart.
        num_directions: how many lines.
        alphas: nodes along each of them.
        batch_size: of the package's side.
        naive_batch_sizes: the naive loop takes the fastest of these.
        bar: how many times faster the package must be.
        compiled_bar: the same with torch.compile; None where that is not timed.
        loop: the other side.
        other: what it is called.
    """

    case: str
    model: nn.Module
    weights: str
    examples: Examples
    inputs: str
    attack: PGD
    alphas: tuple[float, ...]
    batch_size: int
    naive_batch_sizes: tuple[int, ...]
    bar: float
    compiled_bar: float | None = None
    num_directions: int = 1
    loop: type[NaiveLoop] = NaiveLoop
    other: str = "naive loop"

    @property
    def points(self) -> list[tuple[int, int]]:
        """(direction, node) of every point."""
        return [(line, index) for line in range(self.num_directions) for index in range(len(self.alphas))]

    def directions(self) -> list[Weights]:
        """What the weights are moved along."""
        center, recipe = parameters_of(self.model), RandomDirections(seed=SEED)
        return [recipe.direction(center, line) for line in range(self.num_directions)]


def digits_contest(wanted: Wanted) -> Contest:
    _, model, attack, weights = digits_model()
    examples = load_examples("digits", num_examples=500, seed=SEED)
    return Contest(
        case="digits",
        model=model,
        weights=weights,
        examples=examples,
        inputs="digits, train split",
        attack=attack,
        alphas=Grid.line(-1, 1, wanted.points).alpha,
        batch_size=default_batch_size(model, examples.inputs[:1], CPU),
        naive_batch_sizes=NAIVE_BATCH_SIZES,
        bar=DIGITS_BAR,
        num_directions=wanted.directions,
    )


def preact_contest(wanted: Wanted) -> Contest:
    examples, inputs = cifar_shaped(wanted.examples, wanted.data_dir)
    threat = ThreatModel(norm="linf", epsilon=8 / 255)
    if wanted.checkpoint is not None:
        loaded = load_checkpoint(wanted.checkpoint)
        model, weights = loaded.model, f"{loaded.model_name}, {loaded.name}"
    else:
        torch.manual_seed(SEED)
        model, weights = build_model("preact_resnet18").eval(), "preact_resnet18, random weights"
    return Contest(
        case="preact",
        model=model,
        weights=weights,
        examples=examples,
        inputs=inputs,
        attack=PGD(threat=threat, step_size=2 / 255, num_steps=10),
        alphas=Grid.line("-0.1", "0.1", 3).alpha,
        batch_size=32,
        naive_batch_sizes=(32,),
        bar=PREACT_BAR,
        compiled_bar=COMPILED_BAR,
    )


def torchattacks_contest(wanted: Wanted) -> Contest:
    """As `preact`, against torchattacks' PGD; from the examples themselves, because its random starts are its own.

    Raises:
        ImportError: there is no torchattacks.
    """
    from torchattacks_loop import TorchattacksLoop

    contest = preact_contest(wanted)
    return replace(
        contest,
        case="torchattacks",
        attack=replace(contest.attack, random_start=False),
        bar=TORCHATTACKS_BAR,
        compiled_bar=TORCHATTACKS_BAR,
        loop=TorchattacksLoop,
        other="torchattacks",
    )


CONTESTS: dict[str, Callable[[Wanted], Contest]] = {
    "digits": digits_contest,
    "preact": preact_contest,
    "torchattacks": torchattacks_contest,
}


def our_side(case: str, wanted: Wanted, compiled: bool = False) -> Prepared:
    """The package's sweep, warmed up; it says what the first point took, and with `compiled` what compiling took."""
    contest = CONTESTS[case](wanted)
    sweep = our_sweep(contest, contest.directions(), compiled=compiled)
    first = timed(lambda: sweep(contest.points[0])).seconds
    return Prepared(task=lambda: [sweep(point) for point in contest.points], about={"first_point_s": first})


def their_side(case: str, wanted: Wanted) -> Prepared:
    """The plain loop, warmed up; it says its batch size."""
    contest = CONTESTS[case](wanted)
    loops = [naive_loop(contest, direction) for direction in contest.directions()]
    size = _best_batch_size(loops[0], contest)
    return Prepared(
        task=lambda: [found for loop in loops for found in loop.sweep(contest.alphas, size)], about={"batch_size": size}
    )


def useful_operations(contest: Contest) -> float:
    """Floating-point operations that the task needs, over all points and examples."""
    forward = forward_operations(contest.model, contest.examples.inputs[:1])
    passes = sweep_passes(contest.attack.num_steps)
    return float(forward * passes * len(contest.examples) * len(contest.alphas) * contest.num_directions)


@dataclass(frozen=True)
class Drawn:
    """Directions that are there already, so that nobody draws them while a clock runs."""

    drawn: list[Weights]

    def settings(self) -> dict[str, Any]:
        return {"kind": "drawn"}

    def moving(self, weights: Weights) -> list[str]:
        return list(weights)

    def direction(self, weights: Weights, index: int) -> Weights:
        return self.drawn[index]


def our_sweep(contest: Contest, directions: list[Weights], *, compiled: bool = False) -> Sweep:
    settings = SweepSettings(
        attack=contest.attack,
        objective="adversarial",
        directions=Drawn(directions),
        grid=Grid(alpha=contest.alphas),
        seed=SEED,
        batch_size=contest.batch_size,
        precision="fp32",
        compiled=compiled,
    )
    return Sweep(contest.model, contest.examples, settings, CPU)


def naive_loop(contest: Contest, direction: Weights) -> NaiveLoop:
    examples = contest.examples
    starts = contest.attack.starts(examples.ids, examples.image_shape, seed=SEED)
    model = copy.deepcopy(contest.model)
    return contest.loop(
        model=model,
        state={name: value.clone() for name, value in model.state_dict().items()},
        direction=direction,
        inputs=examples.inputs,
        labels=examples.labels,
        starts=torch.zeros_like(examples.inputs) if starts is None else starts[0],
        epsilon=contest.attack.threat.epsilon,
        step_size=contest.attack.step_size,
        num_steps=contest.attack.num_steps,
    )


def _best_batch_size(naive: NaiveLoop, contest: Contest) -> int:
    """The batch size at which the naive loop is fastest, so that it does not lose by a bad choice."""
    sizes = contest.naive_batch_sizes
    if len(sizes) == 1:
        naive.sweep(contest.alphas[:1], sizes[0])
        return sizes[0]
    some = contest.alphas[:2]
    seconds = {size: min(timed(lambda size=size: naive.sweep(some, size)).seconds for _ in range(3)) for size in sizes}  # type: ignore[misc]
    note("  naive batch sizes: " + ", ".join(f"{size}: {1000 * s / 2:.1f} ms a point" for size, s in seconds.items()))
    return min(seconds, key=lambda size: seconds[size])
