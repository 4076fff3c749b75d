"""Fewer attack steps along a line: each node goes on from the adversarial examples of its neighbour."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from landscape.attacks.pgd import PGD
from landscape.devices import arithmetic
from landscape.errors import InputError
from landscape.models.noisy import is_noisy
from landscape.surfaces.surface import CENTRE, Point
from landscape.surfaces.sweep import Play, Recorder, Sweep, SweepSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from landscape.datasets.examples import Examples
    from landscape.protocols import Attack, Measurement
    from landscape.surfaces.plan import SurfacePlan


class WarmSweep(Sweep):
    """A sweep that attacks the centre in full and every other node with fewer steps from its neighbour's result.

    From the centre outwards, on either side: x'_j is made on f_{w + a_j d} by `warm_steps` steps from x'_{j-1}, with
    x'_0 by the full attack at the centre. The numbers of a point are a function of the point and its line's nodes, not
    of the order of the calls: where the neighbour's examples are not at hand, the side is walked again from the centre,
    and what is measured on the way is kept until it is asked for.
    """

    def __init__(self, model: nn.Module, examples: Examples, settings: SweepSettings, device: torch.device) -> None:
        super().__init__(model, examples, settings, device)
        attack, steps = settings.attack, settings.warm_steps
        if not isinstance(attack, PGD) or steps is None:
            raise InputError("warm starts need PGD and a number of steps.")
        self._few = replace(attack, num_steps=steps)
        self._centre: Tensor | None = None
        self._last: tuple[Point, Tensor] | None = None
        self._kept: dict[Point, Measurement] = {}

    def __call__(self, point: Point) -> Measurement:
        """The measurement at a point (direction, *grid index), or at the centre."""
        if point == CENTRE or not self._node(point):
            return super().__call__(point)
        if point not in self._kept:
            self._walk_to(point)
        return self._kept.pop(point)

    def _walk_to(self, point: Point) -> None:
        side = self._side_of(point)
        if self._last is not None and self._last[0] in side[:-1]:
            side = side[side.index(self._last[0]) + 1 :]
            delta = self._last[1]
        else:
            self._kept = {}  # of another side, or of points that were asked for and are done
            delta = self._at_centre()
        for node in side:
            self.move_to(node)
            self._kept[node], delta = self._attacked(self._few, delta)
            self._last = node, delta

    def _side_of(self, point: Point) -> list[Point]:
        """The nodes from the one beside the centre to this one."""
        line, _ = point
        there = self._node(point)
        nodes = [(line, index) for (index,) in self._settings.grid.indices()]
        between = [node for node in nodes if self._node(node) * there > 0 and abs(self._node(node)) <= abs(there)]
        return sorted(between, key=lambda node: abs(self._node(node)))

    def _node(self, point: Point) -> float:
        return self._settings.grid.node(point[1:])[0]

    def _at_centre(self) -> Tensor:
        if self._centre is None:
            self.move_to(CENTRE)
            play = self._plays[0]
            self._centre = self._attacked(play.attack, play.starts)[1]
        return self._centre

    def _attacked(self, attack: Attack, starts: Tensor | None) -> tuple[Measurement, Tensor]:
        """The measurement at the present weights, and the perturbations (R, n, C, H, W) that the attack found."""
        recorder = Recorder(attack)
        with arithmetic(self._settings.precision, self._device):
            self._settle(Play(attack=attack, starts=starts))
            measured = self._measure(recorder, starts)
        return self._in_given_order(measured), recorder.recorded() - self._inputs


def warm_started(plan: SurfacePlan, num_steps: int) -> SurfacePlan:
    """The plan with warm starts of so many steps.

    Raises:
        InputError: the plan has no line, no PGD of several steps, or a network with parametric noise, or asks for too
            many steps.
    """
    settings = plan.settings
    if not isinstance(settings.attack, PGD) or settings.objective != "adversarial" or settings.grid.beta is not None:
        raise InputError("warm starts go along lines that PGD attacks on the fly; leave them out elsewhere.")
    if is_noisy(plan.model):
        raise InputError("warm starts are not for networks with parametric noise; leave them out.")
    if settings.attack.num_steps == 1:
        raise InputError("warm starts save steps, and this attack has only one; leave them out, or attack with pgd-10.")
    if not 1 <= num_steps < settings.attack.num_steps:
        raise InputError(
            f"warm starts save steps: ask for at least 1 and fewer than the attack's {settings.attack.num_steps}, got "
            f"{num_steps}."
        )
    return replace(plan, settings=replace(settings, warm_steps=num_steps))
