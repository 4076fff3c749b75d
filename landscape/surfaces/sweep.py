"""The hot loop: displace the weights, attack that very model, measure every example. No files here.

Algorithm 1 of Wu et al. 2020: g(a) = (1/n) sum_i max_{x'_i} loss(f_{w + a d}(x'_i), y_i), where the x'_i are made anew
by the attack on f_{w + a d} at every a. In a plane, g(a, b) moves to w + a d + b e.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from landscape.attacks.measure import averaged, measure
from landscape.attacks.pgd import NoAttack
from landscape.devices import arithmetic
from landscape.errors import InputError
from landscape.memory import keep_freed_memory
from landscape.models.noisy import NoiseDraws
from landscape.names import OBJECTIVES, PRECISIONS
from landscape.protocols import Measurement, StateRecipe
from landscape.surfaces.batchnorm import BatchNormPolicy, FrozenStatistics
from landscape.surfaces.measured_losses import CrossEntropy, MeasuredLoss
from landscape.surfaces.surface import CENTRE, Grid, Point
from landscape.weights import ResidentModel, Weights, parameters_of, state_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.datasets.examples import Examples
    from landscape.protocols import Attack, DirectionRecipe, Forward, Moves


NORM_BATCH = 128
"""Examples in one batch where the norm of logits is measured, so that it does not depend on the sweep's batches."""


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """What is measured at every point.

    Attributes:
        attack: makes the adversarial examples.
        objective: `adversarial` attacks every displaced model (on the fly), `fixed` replays the examples that were made
            once at the centre (the control, which underestimates), `clean` makes none.
        directions: the recipe of the directions.
        grid: the nodes; with beta, direction k of the plane k is (2k, 2k + 1) of the recipe.
        seed: seed of the attack's random starts.
        batch_size: examples in one batch; None leaves the choice to `SurfacePlan.ready`.
        precision: `fp32`, `tf32` or `bf16`.
        compiled: whether torch.compile compiles the model once for all points; pays for large models.
        loss: what is measured; the attack ascends the cross-entropy whichever it is.
        batchnorm: which statistics BatchNorm normalizes by.
        noise: draws of noise that are averaged over, where the model has any.
        warm_steps: steps of the attack from the neighbour's adversarial examples on, see `WarmSweep`; None for the full
            attack at every node.

    Raises:
        InputError: an unknown objective or precision.
    """

    attack: Attack
    objective: str
    directions: DirectionRecipe
    grid: Grid
    seed: int
    batch_size: int | None
    precision: str
    compiled: bool = False
    loss: MeasuredLoss = field(default_factory=CrossEntropy)
    batchnorm: BatchNormPolicy = field(default_factory=FrozenStatistics)
    noise: NoiseDraws = field(default_factory=NoiseDraws)
    warm_steps: int | None = None

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise InputError(f"an objective is one of {', '.join(OBJECTIVES)}, got {self.objective!r}.")
        if self.precision not in PRECISIONS:
            raise InputError(f"a precision is one of {', '.join(PRECISIONS)}, got {self.precision!r}.")

    def moves(self, point: Point) -> Moves:
        """How far a point (direction, *grid index) lies along which directions; nothing moves at the centre."""
        if point == CENTRE:
            return {}
        line, *index = point
        return dict(zip(self.grid.directions_of(line), self.grid.node(tuple(index)), strict=True))


class Sweep:
    """Measures one model at displaced weights; called with a point, it gives back the measurement there.

    The caller's model is copied once; data, random starts and weights stay on the device. On the CPU this process
    keeps the memory that it frees from now on.
    """

    def __init__(self, model: nn.Module, examples: Examples, settings: SweepSettings, device: torch.device) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        self._settings = settings
        self._device = device
        self._center = {name: weight.to(device) for name, weight in parameters_of(model).items()}
        passing = isinstance(settings.directions, StateRecipe)
        self._state = {name: tensor.cpu() for name, tensor in state_of(model).items()} if passing else {}
        self._resident = ResidentModel(model, device=device)
        self._batchnorm = settings.batchnorm
        self._batchnorm.prepare(self._resident)
        if settings.compiled:
            self._resident.compile()
        order = self._batchnorm.order(len(examples))
        # Of each example, its place among the batches.
        self._places = None if order is None else np.argsort(order)
        ordered = examples if order is None else examples.take(order)
        self._inputs = ordered.inputs.to(device)
        self._labels = ordered.labels.to(device)
        self._plays = self._objective(ordered)
        self._drawn: tuple[int, tuple[Weights, ...]] | None = None

    def __call__(self, point: Point) -> Measurement:
        """The measurement at a point (direction, *grid index), or at the centre."""
        self.move_to(point)
        with arithmetic(self._settings.precision, self._device):
            return self._over_draws(lambda play: self._measure(play.attack, play.starts))

    def clean(self) -> Measurement:
        """The measurement of the clean examples alone, at the centre."""
        self.move_to(CENTRE)
        with arithmetic(self._settings.precision, self._device):
            return self._over_draws(lambda play: self._measure(NoAttack(), None))

    @torch.no_grad()
    def mean_logit_norm(self) -> float:
        """Mean over the examples of ||z||, their logits at the centre, in single precision and batches of their own."""
        self.move_to(CENTRE)
        size = self._batchnorm.batch_size(len(self._inputs)) or NORM_BATCH
        logits = []
        with arithmetic("fp32", self._device):
            for play in self._played():
                self._settle(play)
                logits += [self._resident(batch) for batch in torch.split(self._inputs, size)]
        return float(torch.cat(logits).double().norm(dim=1).mean())

    def _over_draws(self, measured: Callable[[Play], Measurement]) -> Measurement:
        """The measurement at the present weights, averaged over the draws of noise; one where there is no noise."""
        draws = []
        for play in self._played():
            self._settle(play)
            draws.append(measured(play))
        return self._in_given_order(averaged(draws))

    def _played(self) -> Iterator[Play]:
        """Give the model one draw of noise after the other, with what is played then."""
        for draw in self._settings.noise.of(self._resident.module):
            yield self._plays[draw]

    def _settle(self, play: Play) -> None:
        """Give BatchNorm the statistics of the present weights."""
        self._batchnorm.settle(self._resident, self._examples_of(play) if play.estimated is None else play.estimated)

    def _examples_of(self, play: Play) -> Tensor:
        """The examples that statistics are estimated from."""
        return self._batchnorm.examples(self._resident, self._inputs, self._labels, play.attack, play.starts)

    def move_to(self, point: Point) -> None:
        """Displace the weights; the first call for a line or plane also makes its directions."""
        recipe = self._settings.directions
        if isinstance(recipe, StateRecipe):
            self._resident.load(recipe.state(self._state, self._settings.moves(point)))
        else:
            self._resident.move(self._center, *self._moves(point))

    def _measure(self, attack: Attack, starts: Tensor | None) -> Measurement:
        return measure(
            self._resident,
            self._inputs,
            self._labels,
            attack,
            starts=starts,
            batch_size=self._batchnorm.batch_size(len(self._inputs)) or self._settings.batch_size,
            loss=self._settings.loss,
        )

    def _in_given_order(self, measured: Measurement) -> Measurement:
        if self._places is None:
            return measured
        return Measurement(**{name: array[self._places] for name, array in measured.arrays().items()})

    def _moves(self, point: Point) -> list[tuple[float, Weights]]:
        if point == CENTRE:
            return []
        return list(zip(self._settings.moves(point).values(), self._directions(point[0]), strict=True))

    def _directions(self, line: int) -> tuple[Weights, ...]:
        # Points come line by line, so the last directions are the only ones worth keeping.
        if self._drawn is None or self._drawn[0] != line:
            center = {name: weight.cpu() for name, weight in self._center.items()}
            indices = self._settings.grid.directions_of(line)
            recipe = self._settings.directions
            self._drawn = line, tuple(self._on_device(recipe.direction(center, index)) for index in indices)
        return self._drawn[1]

    def _on_device(self, direction: Weights) -> Weights:
        return {name: part.to(self._device) for name, part in direction.items()}

    def _objective(self, examples: Examples) -> list[Play]:
        """What is played under each draw of noise."""
        attack, num_draws = self._settings.attack, self._settings.noise.count
        if self._settings.objective == "clean":
            return [Play(attack=NoAttack())] * num_draws
        starts = attack.starts(examples.ids, examples.image_shape, seed=self._settings.seed)
        play = Play(attack=attack, starts=None if starts is None else starts.to(self._device))
        if self._settings.objective == "adversarial":
            return [play] * num_draws
        return [self._recorded(play) for _ in self._settings.noise.of(self._resident.module)]

    def _recorded(self, play: Play) -> Play:
        """The examples that are made at the centre, to be played again at every point."""
        recorder = Recorder(play.attack)
        with arithmetic(self._settings.precision, self._device):
            # As the examples that are measured, those of the statistics are made once.
            play = replace(play, estimated=self._examples_of(play))
            self._settle(play)
            self._measure(recorder, play.starts)
        return replace(play, attack=_Replay(), starts=recorder.recorded())


@dataclass(frozen=True, kw_only=True)
class Play:
    """What a model meets at every point under one draw of its noise.

    Attributes:
        attack: makes the adversarial examples.
        starts: (R, n, C, H, W) of the attack; None without.
        estimated: examples for BatchNorm's statistics that were made once; None where they are made at every point.
    """

    attack: Attack
    starts: Tensor | None = None
    estimated: Tensor | None = None


class Recorder:
    """Passes an attack through and keeps what it made, batch by batch."""

    def __init__(self, attack: Attack) -> None:
        self._attack = attack
        self._batches: list[Tensor] = []

    def settings(self) -> dict[str, Any]:
        return dict(self._attack.settings())

    def starts(self, ids: Tensor, shape: tuple[int, ...], *, seed: int) -> Tensor | None:
        return self._attack.starts(ids, shape, seed=seed)

    def restarts(self, forward: Forward, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> Iterator[Tensor]:
        made = list(self._attack.restarts(forward, inputs, labels, starts))
        self._batches.append(torch.stack(made))
        yield from made

    def recorded(self) -> Tensor:
        """(R, n, C, H, W) adversarial inputs of all batches."""
        return torch.cat(self._batches, dim=1)


class _Replay:
    """An attack whose starts are finished adversarial inputs."""

    def settings(self) -> dict[str, Any]:
        return {"name": "replay"}

    def starts(self, ids: Tensor, shape: tuple[int, ...], *, seed: int) -> Tensor | None:
        return None

    def restarts(self, forward: Forward, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> Iterator[Tensor]:
        if starts is None:
            raise InputError("a replayed attack needs the adversarial inputs that it replays.")
        yield from starts
