"""From a plan to a surface: cached, resumed or computed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from landscape.devices import describe_machine
from landscape.errors import InputError, Interrupted, SurfaceError
from landscape.surfaces.engines import InProcess, completed
from landscape.surfaces.findings import findings
from landscape.surfaces.plan import NUM_DIRECTIONS, Shard, SurfacePlan, plan_surface
from landscape.surfaces.planes import plane_cosines
from landscape.surfaces.rounds import Round, one_round, rounds_of_levels
from landscape.surfaces.sample_size import enough_examples
from landscape.surfaces.store import Session, SurfaceStore
from landscape.surfaces.surface import Draft, Grid, Point, Surface
from landscape.surfaces.sweep import Sweep
from landscape.surfaces.warm_sweep import WarmSweep
from landscape.weights import parameters_of

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from pathlib import Path

    from torch import Tensor, nn

    from landscape.checkpoints import Checkpoint
    from landscape.datasets.examples import Examples
    from landscape.protocols import Attack, DirectionRecipe, Measurement
    from landscape.surfaces.batchnorm import BatchNormPolicy
    from landscape.surfaces.measured_losses import MeasuredLoss

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with (points done, points in all) after every point, and once before the first."""

NUM_VERIFIED = 32
"""Examples on which the code of a user's own model is compared with a cached surface."""

LARGEST_DEVIATION = 1e-3
"""Largest difference of their clean losses that still counts as the same model."""


def compute_surface(
    model: nn.Module | Checkpoint,
    examples: Examples | tuple[Tensor, Tensor],
    *,
    attack: Attack | None,
    directions: int | DirectionRecipe = NUM_DIRECTIONS,
    num_directions: int | None = None,
    grid: Grid | str = "-1:1:21",
    objective: str = "adversarial",
    loss: str | MeasuredLoss = "ce",
    batchnorm: str | BatchNormPolicy = "frozen",
    precision: str = "fp32",
    compiled: bool = False,
    seed: int = 0,
    noise_draws: int = 1,
    batch_size: int | None = None,
    cache_dir: Path | str | None = None,
    device: str = "auto",
    label: str | None = None,
    refine: float | None = None,
    until_se: float | None = None,
    progress: Progress | None = None,
) -> Surface:
    """The weight loss landscape of a model along random directions (Algorithm 1 of Wu et al. 2020).

    Args:
        model: any module that takes inputs in [0, 1] and gives logits, or a `Checkpoint`; it is never changed.
        examples: `Examples`, or a pair inputs (n, C, H, W) in [0, 1] and labels (n,) int64.
        attack: the attack, made anew on every displaced model; None measures natural losses only.
        directions: how many filter-normalized random directions, or a recipe (then `num_directions` says how many).
        num_directions: number of directions; planes when the grid has beta.
        grid: a `Grid` or FROM:TO:NUM, in multiples of the normalized direction.
        objective: `adversarial` (on the fly), `fixed` (examples made once, at the centre) or `clean`.
        loss: what is measured: `ce`, `margin`, `ce-normalised` (logits divided by their mean norm at the centre),
            `training` (the objective that a checkpoint was trained with), or a `MeasuredLoss`. The attack ascends the
            cross-entropy whichever it is.
        batchnorm: `frozen` (the checkpoint's running statistics everywhere), `reestimate` (at every point, from clean
            examples in batches of 128), `batch` (each batch's own), or a `ReestimatedStatistics` or `BatchStatistics`.
        precision: `fp32` (TF32 off), `tf32` or `bf16`.
        compiled: whether torch.compile compiles the model (half a minute, once); changes nothing but rounding.
        seed: seed of directions, random starts and noise.
        noise_draws: draws of noise that losses and accuracies are means over, for a network with parametric noise;
            without effect on others.
        batch_size: examples in one batch; by memory when None.
        cache_dir: folder to take the surface from or to write it to; None reads and writes nothing.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        label: what figures call the model.
        refine: of a plane, measure only where the mean loss bends by more than this (in units of the loss), see
            `surfaces.refinement`; None for all nodes. The others stay missing in the surface, pictures interpolate.
        until_se: take only as many of the examples, from 100 on, as a standard error of the mean loss of this size (in
            units of the loss) needs at the centre and the outermost nodes of the first line or plane, see
            `surfaces.sample_size`; None for all. Where all are too few, all are taken and a warning is logged.
        progress: called with (points done, points in all); not while a number of examples is looked for.

    Returns:
        The surface, with the losses of every example at every point.

    Raises:
        InputError: an argument is out of range, or the model does not fit the examples.
        SurfaceError: a stored surface is damaged or belongs to other code of the user's own model.
        BusyError: another process is computing this surface.
        Interrupted: stopped by the user; what was finished is in the cache.
    """
    plan = plan_surface(
        model,
        examples,
        attack=attack,
        directions=directions,
        num_directions=num_directions,
        grid=grid,
        objective=objective,
        loss=loss,
        batchnorm=batchnorm,
        precision=precision,
        compiled=compiled,
        seed=seed,
        noise_draws=noise_draws,
        batch_size=batch_size,
        device=device,
        label=label,
        refine=refine,
    )
    if until_se is not None:
        found = enough_examples([plan], until_se, measure=partial(run_plan, cache_dir=cache_dir))
        if found.error > until_se:
            logger.warning("%s: until_se=%g needs %s.", found, until_se, found.needs(until_se))
        (plan,) = found.plans
    return run_plan(plan, cache_dir=cache_dir, progress=progress)


def run_plan(
    plan: SurfacePlan,
    *,
    cache_dir: Path | str | None = None,
    shard: Shard | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Surface:
    """Take the surface of a plan from the cache, or compute what is missing of it; see `compute_surface`.

    Raises:
        InputError: a shard of a refined plane, whose points depend on those of the others.
        SurfaceError, BusyError, Interrupted: as `compute_surface`.
    """
    if shard is not None and plan.settings.grid.refine is not None:
        raise InputError("a refined plane is measured level by level, which shards cannot share; leave one out.")
    engine = executor or InProcess()
    if cache_dir is None:
        return _in_memory(plan.ready(), engine, progress)
    store = SurfaceStore(cache_dir)
    cached = store.load(plan.key)
    if plan.identity["own_code"]:
        _verify_own_code(plan, store.known_centres(plan.spec))
    if cached is not None and cached.complete:
        logger.info("%s: taken from %s", plan.label, store.path(plan.key))
        store.tidy(plan.key)
        return cached
    plan = plan.ready()
    logger.info("%s: computing %s", plan.label, store.path(plan.key))
    with store.claim(
        plan.spec,
        example_ids=plan.examples.ids.numpy(),
        labels=plan.examples.labels.numpy(),
        provenance=_provenance(plan),
        writer=shard.writer if shard else "main",
        batch_size=plan.batch_size,
    ) as session:
        return _compute_missing(plan, session, shard, engine, progress)


def is_stored(plan: SurfacePlan, cache_dir: Path | str) -> bool:
    """Whether the whole surface of a plan lies in the cache, so that nothing would be computed."""
    cached = SurfaceStore(cache_dir).load(plan.key)
    return cached is not None and cached.complete


def _compute_missing(
    plan: SurfacePlan, session: Session, shard: Shard | None, engine: Executor, progress: Progress | None
) -> Surface:
    refined = plan.settings.grid.refine is not None
    # One batch size for all points of a surface: a resumed one equals an uninterrupted one bit for bit.
    resumed = replace(plan, settings=replace(plan.settings, batch_size=session.batch_size))
    rounds = (
        rounds_of_levels(session.surface, session.reuse) if refined else one_round(plan.points(shard), session.done)
    )
    try:
        _measure(resumed, rounds, engine, session.append, progress)
    except KeyboardInterrupt:
        path = session.finish()
        if not session.done:
            raise Interrupted("Stopped before the first point was finished.") from None
        of = "of at most" if refined else "of"
        kept = f"{len(session.done)} {of} {len(plan.points())} points are kept in {path}"
        raise Interrupted(f"Stopped: {kept}; the same command goes on from there.") from None
    session.finish()
    return session.surface()


def _in_memory(plan: SurfacePlan, engine: Executor, progress: Progress | None) -> Surface:
    draft = Draft(
        key=plan.key,
        spec=plan.spec,
        example_ids=plan.examples.ids.numpy(),
        labels=plan.examples.labels.numpy(),
    )
    process = draft.add_provenance(_provenance(plan))
    refined = plan.settings.grid.refine is not None
    rounds = rounds_of_levels(draft.surface) if refined else one_round(plan.points(), set())
    _measure(plan, rounds, engine, lambda point, measurement: draft.put(point, measurement, process), progress)
    return draft.surface()


def _measure(
    plan: SurfacePlan,
    rounds: Iterable[Round],
    engine: Executor,
    keep: Callable[[Point, Measurement], None],
    progress: Progress | None,
) -> None:
    """Measure round by round, with one sweep for all, and keep every point as soon as it is finished."""
    kind = Sweep if plan.settings.warm_steps is None else WarmSweep
    sweep: Sweep | None = None
    for these in rounds:
        if sweep is None:
            _announce(progress, these.num_done, these.num_asked)
            sweep = kind(plan.model, plan.examples, plan.settings, plan.device)
        for done, (point, measurement) in enumerate(completed(engine, sweep, these.missing), start=these.num_done + 1):
            keep(point, measurement)
            _announce(progress, done, these.num_asked)


def _provenance(plan: SurfacePlan) -> dict[str, Any]:
    found = findings(plan)
    about = {
        **describe_machine(plan.device),
        "label": plan.label,
        "batch_size": plan.batch_size,
        "compiled": plan.settings.compiled,
        **plan.settings.loss.provenance(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **({"directions": found} if found else {}),
    }
    if plan.settings.grid.beta is not None:
        # Kept here, because figures are redrawn without the weights that the directions depend on.
        weights = {name: weight.cpu() for name, weight in parameters_of(plan.model).items()}
        about["cosines"] = plane_cosines(plan.settings.directions, weights, plan.num_directions)
    return about


def _verify_own_code(plan: SurfacePlan, known: Iterable[tuple[str, Measurement]]) -> None:
    """Refuse to use stored points when the code behind a user's own model gives other losses than it did.

    Weights are part of the key, code is not: a few clean losses at the centre tell whether it is still one function.

    Args:
        plan: what is asked for.
        known: keys of the surfaces whose points would be used, with their measurements at the centre.
    """
    now = None
    for key, centre in known:
        if now is None:
            now = _few_clean_losses(plan)
        then = centre.clean_loss[: len(now)]
        # NaN equals NaN: a model that is broken at its centre is the same broken model.
        if len(then) != len(now) or not np.isclose(now, then, rtol=0.0, atol=LARGEST_DEVIATION, equal_nan=True).all():
            raise SurfaceError(
                f"the stored surface {key[:12]} was computed by other code of the model {plan.identity['name']}: clean "
                f"losses at the centre differ; clear it with `landscape cache clear {key[:12]}` or use another cache."
            )


def _few_clean_losses(plan: SurfacePlan) -> npt.NDArray[np.float32]:
    """Losses of the first examples; only where BatchNorm looks at batches are the others needed for them."""
    few = range(min(NUM_VERIFIED, len(plan.examples)))
    alone = plan.settings.batchnorm.order(len(plan.examples)) is None
    examples = plan.examples.take(few) if alone else plan.examples
    plain = replace(plan.settings, objective="adversarial", compiled=False)  # nothing is made beforehand
    settings = replace(plain, loss=plan.ready_loss())
    return Sweep(plan.model, examples, settings, plan.device).clean().clean_loss[: len(few)]


def _announce(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
