"""Train: from settings to a run folder; stopped or killed at any moment, the same call goes on where it was."""

from __future__ import annotations

import contextlib
import copy
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from landscape.devices import arithmetic
from landscape.errors import Interrupted
from landscape.names import FINAL_ATTACK
from landscape.training.evaluation import Evaluation
from landscape.training.plan import Plan, make_plan, require_same_origin, settings_for
from landscape.training.process_group import device_of, together
from landscape.training.publish import publish, save, weights_in
from landscape.training.runs import RunFolder, load_state, require_same_settings, save_config, save_state
from landscape.training.teacher import with_pseudo_labels
from landscape.training.trainer import Trainer

if TYPE_CHECKING:
    from torch import nn

    from landscape.training.config import Settings, TrainConfig
    from landscape.training.history import Row
    from landscape.training.plan import ExamplePair
    from landscape.training.trainer import OnBatch, Stopper

logger = logging.getLogger(__name__)

OnEpoch = Callable[["Row"], None]
"""Told the row of history of each epoch that has been finished and stored."""


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    model: nn.Module | None = None,
    examples: ExamplePair | None = None,
    overwrite: bool = False,
    should_stop: Stopper = lambda: False,
    on_batch: OnBatch = lambda epoch, batch, num_batches: None,
    on_epoch: OnEpoch = lambda row: None,
) -> Path:
    """Train a model and write a run folder, or go on with the run that the folder holds.

    The same settings continue a run: interrupted and resumed gives the same weights, momentum, buffers and history as
    uninterrupted, bit for bit on the CPU with the same number of threads. A finished run is left as it is.

    Started by `torchrun`, or with a process group of `torch.distributed`, all processes have to make this call: each
    takes a part of every batch, the first one alone writes, and one that is asked to stop stops all.

    Args:
        config: the settings.
        out: the run folder.
        model: a network to start from, without normalization; copied, never changed. By default the one that
            `config.model` names, with initial weights by `config.seed`.
        examples: training and test examples; by default those of `config.dataset`.
        overwrite: remove the run that the folder holds and begin anew.
        should_stop: asked between batches; True stops the run and keeps its state.
        on_batch: told the progress.
        on_epoch: told the row of each epoch.

    Returns:
        The path of the last checkpoint.

    Raises:
        InputError: a setting is not allowed, or the data set needs one that was not given.
        DataError: the data are missing or damaged.
        ModelError: the model is unknown, cannot be built, or does not fit the data.
        TrainingError: the folder holds another run, another process trains there, the loss is no finite number any
            more, a run goes on with another number of processes, or one of several processes has failed.
        FileError: something cannot be written.
        Interrupted: `should_stop` said so.
    """
    folder = RunFolder(Path(out))
    with together() as processes:
        settings = processes.each(lambda: settings_for(config, model=model, examples=examples))
        device = processes.each(lambda: device_of(settings.device, processes))
        if not overwrite and processes.first(lambda: _is_finished(folder, settings)):
            logger.info("the run in %s is finished", folder.path)
            return folder.last
        with (
            # Layers that are random differ between replicas; the first one's initial weights are everybody's.
            _own_random_numbers((settings.seed + processes.rank) % 2**64, device),
            arithmetic(settings.precision, device),
            contextlib.ExitStack() as held,
        ):
            plan = processes.each(
                lambda: make_plan(settings, device, model=model, examples=examples, processes=processes)
            )
            processes.first(lambda: held.enter_context(folder.writing()))
            teach = partial(train, overwrite=overwrite, should_stop=should_stop)
            plan = with_pseudo_labels(plan, folder.path, model=model, train=teach)
            return _run(plan, folder, device, overwrite, should_stop, on_batch, on_epoch)


def _is_finished(folder: RunFolder, settings: Settings) -> bool:
    require_same_settings(folder, settings)
    return (state := load_state(folder)) is not None and bool(state["finished"])


def _run(
    plan: Plan,
    folder: RunFolder,
    device: torch.device,
    overwrite: bool,
    should_stop: Stopper,
    on_batch: OnBatch,
    on_epoch: OnEpoch,
) -> Path:
    settings, processes = plan.settings, plan.processes
    trainer = _open(plan, folder, device, overwrite)
    evaluation = plan.evaluation(settings.eval_attack, settings.eval_examples)
    progress = trainer.progress
    while progress.epoch < settings.epochs:
        if not trainer.run_epoch(should_stop=lambda: processes.any(should_stop()), on_batch=on_batch):
            _save_state(folder, trainer, plan)
            raise _stopped(folder, progress.epoch + 1, settings)
        _close_epoch(trainer, evaluation, settings)
        # The state comes first: every other file follows from it, and is written again after a kill.
        _save_state(folder, trainer, plan)
        processes.first(lambda: publish(folder, plan, progress))
        on_epoch(progress.rows[-1])
    _finish(trainer, plan, folder, device, should_stop)
    return folder.last


def _open(plan: Plan, folder: RunFolder, device: torch.device, overwrite: bool) -> Trainer:
    """The trainer where the folder's run stands; at the beginning in an empty folder."""
    processes = plan.processes
    state = processes.first(lambda: _state_in(folder, plan, overwrite))
    unlabelled = None if plan.unlabelled is None else plan.unlabelled.examples
    trainer = Trainer(plan.model, plan.train, plan.settings, device, unlabelled=unlabelled, processes=processes)
    if state is not None:
        trainer.restore(state)
    processes.first(lambda: save_config(folder, plan.settings))
    if trainer.progress.epoch and not trainer.progress.batch:
        processes.first(lambda: publish(folder, plan, trainer.progress))
    return trainer


def _state_in(folder: RunFolder, plan: Plan, overwrite: bool) -> dict[str, Any] | None:
    """What the run goes on from; None at its beginning."""
    folder.sweep()
    if overwrite:
        folder.clear()
    # Asked again, now that no other process can write here.
    require_same_settings(folder, plan.settings)
    if (state := load_state(folder)) is not None:
        require_same_origin(plan, state["origin"], folder.path)
    return state


def _close_epoch(trainer: Trainer, evaluation: Evaluation, settings: Settings) -> None:
    began = time.perf_counter()
    epoch = trainer.progress.epoch + 1
    due = epoch % settings.eval_every == 0 or epoch == settings.epochs
    measured = evaluation(trainer.model) if due else {}
    trainer.close_epoch(measured, time.perf_counter() - began)


def _finish(trainer: Trainer, plan: Plan, folder: RunFolder, device: torch.device, should_stop: Stopper) -> None:
    """Measure last and best on all examples, and say in the state that nothing is left to do."""
    progress, processes = trainer.progress, plan.processes
    evaluation = plan.evaluation(FINAL_ATTACK, None)
    epochs = {"last": progress.epoch, "best": progress.best}
    measured: dict[int, dict[str, Any]] = {}
    for selection, epoch in epochs.items():
        if processes.any(should_stop()):
            raise _stopped(folder, progress.epoch, plan.settings)
        path = folder.last if selection == "last" else folder.best
        model = plan.model if epoch == progress.epoch else _at_weights_of(path, plan)
        if epoch not in measured:
            # The numbers that runs are compared by have one precision, whatever the runs were trained in.
            with arithmetic("fp32", device):
                measured[epoch] = {"attack": FINAL_ATTACK, "examples": "all", **evaluation(model)}
        write = partial(save, path, plan, model, progress.rows[epoch - 1], selection=selection)
        processes.first(partial(write, metrics=measured[epoch]))
    progress.finished = True
    _save_state(folder, trainer, plan)


def _at_weights_of(path: Path, plan: Plan) -> nn.Module:
    model = copy.deepcopy(plan.model)
    plan.network_of(model).load_state_dict(plan.processes.first(lambda: weights_in(path)))
    return model


def _save_state(folder: RunFolder, trainer: Trainer, plan: Plan) -> None:
    state = {**trainer.state(), "origin": plan.origin}
    plan.processes.first(lambda: save_state(folder, state))


def _stopped(folder: RunFolder, epoch: int, settings: Settings) -> Interrupted:
    return Interrupted(
        f"Stopped in epoch {epoch} of {settings.epochs}; everything so far is kept in {folder.path}, "
        "and the same call goes on from here."
    )


@contextlib.contextmanager
def _own_random_numbers(seed: int, device: torch.device) -> Iterator[None]:
    """Initial weights and layers that are random draw from torch's generators, whose states are then put back."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
