"""Measures, on a few examples, what tells whether the landscape of a plan deserves trust; `analysis.check` judges it.

Everything is measured along direction 0, at alpha = -1, 0 and 1, by the sweep itself and by ways around it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from landscape.attacks.pgd import FGSM, PGD
from landscape.attacks.threat import ThreatModel
from landscape.surfaces.direction_norms import compare_norms
from landscape.surfaces.eval_mode import PlainModel
from landscape.surfaces.evidence import Effort, Evidence, Rescaling, Strength, Twin
from landscape.surfaces.surface import CENTRE, Grid, Point
from landscape.surfaces.sweep import Sweep
from landscape.weights import parameters_of

if TYPE_CHECKING:
    from torch import nn

    from landscape.protocols import Attack, Measurement
    from landscape.surfaces.compute import Progress
    from landscape.surfaces.plan import SurfacePlan
    from landscape.surfaces.rescaling import Rescaled

GRID = Grid(alpha=(-1.0, 0.0, 1.0))

HERE = "the centre"

ENDS: Mapping[str, Point] = {"alpha = -1": (0, 0), "alpha = 1": (0, 2)}

PLACES: Mapping[str, Point] = {HERE: CENTRE, **ENDS}

NODE_0: Point = (0, 1)

MORE_STEPS = (2, 5)
"""Times the steps of the attack."""

MORE_RESTARTS = 4
"""Restarts beside those of the attack."""

GREY = 0.5
"""L-inf radius in which every image in [0, 1] can become the same grey one: no classifier can be right there."""


class Job(NamedTuple):
    """The name of one measurement: what it is for, what is special about it, and where it is made."""

    topic: str
    what: str = ""
    where: str = HERE


Jobs = list[tuple[Job, "Callable[[], Measurement]"]]


def gather_evidence(plan: SurfacePlan, *, progress: Progress | None = None) -> Evidence:
    """Measure everything that `analysis.check` judges; nothing is read from or written to the cache.

    Args:
        plan: the model, examples, attack and directions; its grid, objective and number of directions do not matter,
            nothing is compiled, and of noise there is one draw.
        progress: called with (measurements done, measurements in all).

    Raises:
        InputError: the model does not fit the examples.
    """
    one_draw = replace(plan.settings.noise, count=1)
    settings = replace(plan.settings, grid=GRID, objective="adversarial", compiled=False, noise=one_draw)
    plan = replace(plan, settings=settings, num_directions=1).ready()
    plain = PlainModel(plan)
    copies, no_rescaling = _rescaled(plan, plain)
    jobs = _jobs(plan, plain, copies)
    measured, total = dict[Job, "Measurement"](), len(jobs)
    while jobs:
        _announce(progress, len(measured), total)
        job, act = jobs.pop(0)  # a copy of the model goes with the last job that needs it
        measured[job] = act()
    _announce(progress, total, total)
    labels, centre = plan.examples.labels, measured[Job("curve")]
    around = {"node 0": measured[Job("node 0")]}
    if _is_plain(plan):
        around["a plain evaluation"] = measured[Job("plain")]
    return Evidence(
        device=plan.device.type,
        precision=plan.settings.precision,
        chance=int(labels.bincount().max()) / len(labels),
        centre=centre,
        rescalings=tuple(
            Rescaling(how=entry.how, places=entry.places, twins=_twins(measured, "rescaled", entry.how, ENDS))
            for entry in copies
        ),
        no_rescaling=no_rescaling,
        repeats=_twins(measured, "again", "", PLACES),
        node_0=tuple(Twin(where=where, expected=centre, found=found) for where, found in around.items()),
        efforts=_efforts(plan.settings.attack, measured),
        directions=compare_norms(plan.settings.directions, parameters_of(plan.model), felt=_felt(measured)),
        strength=_strength(plan.settings.attack, plain, measured),
        mode=plain.mode(),
    )


def _jobs(plan: SurfacePlan, plain: PlainModel, copies: Iterable[Rescaled]) -> Jobs:
    """Every measurement by its name, in an order in which a model with a memory would give itself away."""
    first, again = _sweep(plan), _sweep(plan)
    jobs: Jobs = [(Job("curve", "", where), functools.partial(first, point)) for where, point in PLACES.items()]
    jobs.append((Job("node 0"), functools.partial(first, NODE_0)))
    jobs += [(Job("again", "", where), functools.partial(again, PLACES[where])) for where in reversed(list(PLACES))]
    jobs += [(Job("plain"), plain.measurement)] if _is_plain(plan) else []
    for entry in copies:
        moved = _sweep(plan, model=entry.model)
        jobs += [(Job("rescaled", entry.how, where), functools.partial(moved, point)) for where, point in ENDS.items()]
    for what, attack in _stronger(plan.settings.attack).items():
        swept = _sweep(plan, attack=attack)
        jobs += [(Job("effort", what, where), functools.partial(swept, point)) for where, point in PLACES.items()]
    for what, attack in _others(plan.settings.attack).items():
        jobs.append((Job("strength", what), functools.partial(_sweep(plan, attack=attack), CENTRE)))
    return jobs


def _rescaled(plan: SurfacePlan, plain: PlainModel) -> tuple[list[Rescaled], str]:
    kind = plan.settings.directions.settings().get("kind")
    if kind != "random":
        return [], f"directions of the kind {kind} belong to the weights that they were made at"
    return plain.rescaled()


def _is_plain(plan: SurfacePlan) -> bool:
    """Whether the surface measures what a plain evaluation does: cross-entropy, with the checkpoint's statistics."""
    return bool(plan.spec["loss"] == "cross-entropy" and plan.spec["batchnorm"] == "frozen")


def _sweep(
    plan: SurfacePlan, *, model: nn.Module | None = None, attack: Attack | None = None
) -> Callable[[Point], Measurement]:
    """A sweep, perhaps of another model or with another attack, that is made when it is first called."""

    @functools.cache
    def made() -> Sweep:
        settings = replace(plan.settings, attack=attack or plan.settings.attack)
        return Sweep(model or plan.model, plan.examples, settings, plan.device)

    return lambda point: made()(point)


def _stronger(attack: Attack) -> dict[str, Attack]:
    """The same PGD with more steps, and with more restarts."""
    if not _is_pgd(attack):
        return {}
    more: dict[str, Attack] = {
        f"{times * attack.num_steps} steps": replace(attack, num_steps=times * attack.num_steps) for times in MORE_STEPS
    }
    restarts = attack.num_restarts + MORE_RESTARTS
    return more | {f"{restarts} restarts": replace(attack, num_restarts=restarts, random_start=True)}


def _others(attack: Attack) -> dict[str, Attack]:
    """FGSM, the attack at other radii, and one that can make every image grey."""
    if not _is_pgd(attack):
        return {}
    grey = ThreatModel(norm="linf", epsilon=GREY)
    return {
        "fgsm": FGSM(threat=attack.threat),
        "grey": PGD(threat=grey, step_size=grey.default_step_size, num_steps=max(attack.num_steps, 10)),
        **{str(radius): _at_radius(attack, radius) for radius in _radii(attack)},
    }


def _is_pgd(attack: Attack) -> TypeGuard[PGD]:
    return isinstance(attack, PGD) and attack.threat.epsilon > 0


def _radii(attack: PGD) -> list[float]:
    """Half and twice the attack's radius, as far as the threat model goes."""
    largest = 1.0 if attack.threat.norm == "linf" else math.inf
    return [radius for radius in (attack.threat.epsilon / 2, 2 * attack.threat.epsilon) if radius <= largest]


def _at_radius(attack: PGD, radius: float) -> PGD:
    threat = ThreatModel(norm=attack.threat.norm, epsilon=radius)
    return replace(attack, threat=threat, step_size=attack.step_size * radius / attack.threat.epsilon)


def _twins(measured: Mapping[Job, Measurement], topic: str, what: str, places: Mapping[str, Point]) -> tuple[Twin, ...]:
    return tuple(
        Twin(where=where, expected=measured[Job("curve", "", where)], found=measured[Job(topic, what, where)])
        for where in places
    )


def _efforts(attack: Attack, measured: Mapping[Job, Measurement]) -> tuple[Effort, ...]:
    if not _is_pgd(attack):
        return ()
    asked = f"{attack.num_steps} steps"
    return tuple(
        Effort(
            where=where,
            attacks={
                asked: measured[Job("curve", "", where)],
                **{what: measured[Job("effort", what, where)] for what in _stronger(attack)},
            },
        )
        for where in PLACES
    )


def _strength(attack: Attack, plain: PlainModel, measured: Mapping[Job, Measurement]) -> Strength | None:
    if not _is_pgd(attack):
        return None
    by_epsilon = {radius: measured[Job("strength", str(radius))] for radius in _radii(attack)}
    by_epsilon[attack.threat.epsilon] = measured[Job("curve")]
    return Strength(
        fgsm=measured[Job("strength", "fgsm")],
        crosses=max(MORE_STEPS) * attack.num_steps * attack.step_size >= 2 * attack.threat.epsilon,
        by_epsilon=dict(sorted(by_epsilon.items())),
        grey=measured[Job("strength", "grey")],
        zero_gradients=plain.zero_gradients(),
    )


def _felt(measured: Mapping[Job, Measurement]) -> bool:
    """Whether the clean losses at the ends of the curve differ from those at the centre."""
    centre = measured[Job("curve")].clean_loss.tobytes()
    return any(measured[Job("curve", "", where)].clean_loss.tobytes() != centre for where in ENDS)


def _announce(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
