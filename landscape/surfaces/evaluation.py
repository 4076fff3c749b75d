"""What a model does at its own weights under one attack: a surface without directions, which is its centre alone.

Robustness is measured on unperturbed weights in eval mode. A stored surface of the same model, examples, attack and
seed has that number already, whatever its directions: it is taken from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from landscape.attacks.budget import require_budget, threat_of
from landscape.attacks.pgd import NoAttack
from landscape.surfaces.batchnorm import FrozenStatistics
from landscape.surfaces.compute import run_plan
from landscape.surfaces.measured_losses import CrossEntropy
from landscape.surfaces.plan import SurfacePlan, plan_surface
from landscape.surfaces.surface import Grid, Surface

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from landscape.checkpoints import Checkpoint
    from landscape.datasets.examples import Examples
    from landscape.protocols import Attack, Forward

AT_THE_CENTRE = Grid(alpha=(0.0,))
"""The grid of what is only looked at where the weights are."""

Progress = Callable[[int, int], None]
"""Called with (attacked examples, attacked examples in all), each restart counting, and once before the first."""


@dataclass(frozen=True)
class NoDirections:
    """The recipe of a surface that moves nothing."""

    def settings(self) -> dict[str, Any]:
        """Its kind."""
        return {"kind": "none"}

    def moving(self, weights: dict[str, Tensor]) -> list[str]:
        """No parameter."""
        return []

    def direction(self, weights: dict[str, Tensor], index: int) -> dict[str, Tensor]:
        """Nothing moves."""
        return {}


def evaluate(
    model: nn.Module | Checkpoint,
    examples: Examples | tuple[Tensor, Tensor],
    *,
    attack: Attack | None,
    precision: str = "fp32",
    seed: int = 0,
    noise_draws: int = 1,
    batch_size: int | None = None,
    cache_dir: Path | str | None = None,
    device: str = "auto",
    label: str | None = None,
    progress: Progress | None = None,
) -> Surface:
    """Natural and robust losses and correctness of every example, at the model's own weights, in eval mode.

    Args:
        model: any module that takes inputs in [0, 1] and gives logits, or a `Checkpoint`; it is never changed.
        examples: `Examples`, or a pair inputs (n, C, H, W) in [0, 1] and labels (n,) int64.
        attack: what is done to the examples; None for natural accuracy only.
        precision: `fp32` (TF32 off), `tf32` or `bf16`.
        seed: of the attack's random numbers.
        noise_draws: draws of noise that the numbers are means over, for a network with parametric noise.
        batch_size: examples in one batch; by memory when None.
        cache_dir: folder to take the result from or to write it to; None reads and writes nothing.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        label: what tables call the model.
        progress: called with (attacked examples, attacked examples in all).

    Returns:
        A surface without directions: `centre` has the numbers of every example, `centre_values` the same as errors and
        losses, `centre_mean` their means.

    Raises:
        InputError: an argument is out of range, or the model does not fit the examples.
        AttackError: the attack left its ball or the pixel box.
        SurfaceError: a stored result is damaged or belongs to other code of the user's own model.
        BusyError: another process is computing this very result.
        Interrupted: stopped by the user.
    """
    plan = plan_evaluation(
        model,
        examples,
        attack=attack,
        precision=precision,
        seed=seed,
        noise_draws=noise_draws,
        batch_size=batch_size,
        device=device,
        label=label,
    )
    return run_evaluation(plan, cache_dir=cache_dir, progress=progress)


def plan_evaluation(
    model: nn.Module | Checkpoint, examples: Examples | tuple[Tensor, Tensor], *, attack: Attack | None, **how: Any
) -> SurfacePlan:
    """Decide everything about an evaluation; `how` as in `evaluate`, and `compiled` as in `compute_surface`.

    Raises:
        InputError: an argument is out of range.
    """
    plan = plan_surface(
        model, examples, attack=attack, directions=NoDirections(), num_directions=1, grid=AT_THE_CENTRE, **how
    )
    return at_the_centre(plan)


def at_the_centre(plan: SurfacePlan) -> SurfacePlan:
    """What an evaluation of a plan's model on its examples under its attack is, however the plan measures them.

    Of a plan that moves weights too it is the evaluation that `plan_evaluation` gives: eval mode, running statistics
    frozen, the cross-entropy of examples that are attacked there.
    """
    settings = replace(
        plan.settings,
        directions=NoDirections(),
        grid=AT_THE_CENTRE,
        objective="adversarial",
        loss=CrossEntropy(),
        batchnorm=FrozenStatistics(),
        warm_steps=None,
    )
    return replace(plan, settings=settings, num_directions=0, sampling={})


def run_evaluation(
    plan: SurfacePlan, *, cache_dir: Path | str | None = None, progress: Progress | None = None
) -> Surface:
    """Take an evaluation from the cache, or compute it; every adversarial input is compared with its budget."""
    attack = plan.settings.attack
    total = len(plan.examples) * int(attack.settings().get("num_restarts", 1))
    watched = _Watched(attack, total, progress)
    return run_plan(replace(plan, settings=replace(plan.settings, attack=watched)), cache_dir=cache_dir)


class _Watched:
    """An attack whose results are counted, and compared with its budget before they are believed."""

    def __init__(self, attack: Attack, total: int, progress: Progress | None) -> None:
        self._attack, self._total, self._progress = attack, total, progress
        self._name = str(attack.settings().get("name", type(attack).__name__))
        self._done = 0

    def settings(self) -> Mapping[str, Any]:
        return self._attack.settings()

    def starts(self, ids: Tensor, shape: tuple[int, ...], *, seed: int) -> Tensor | None:
        self._announce(0)
        return self._attack.starts(ids, shape, seed=seed)

    def restarts(self, forward: Forward, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> Iterator[Tensor]:
        if isinstance(self._attack, NoAttack):
            yield from self._attack.restarts(forward, inputs, labels, starts)
            return
        for adversarial in self._attack.restarts(forward, inputs, labels, starts):
            self._verify(adversarial, inputs)
            self._announce(len(inputs))
            yield adversarial

    def _verify(self, adversarial: Tensor, inputs: Tensor) -> None:
        # A model whose gradients are no numbers leads an attack to inputs that are none. Its loss there is none either,
        # and the surface's status says so.
        if adversarial.shape == inputs.shape and not bool(torch.isfinite(adversarial).all()):
            sound = torch.isfinite(adversarial).flatten(1).all(dim=1)
            adversarial, inputs = adversarial[sound], inputs[sound]
        require_budget(adversarial, inputs, threat_of(self._attack), name=self._name)

    def _announce(self, more: int) -> None:
        self._done += more
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)
