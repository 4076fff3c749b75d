"""The state of a run in memory, and how it moves: batch by batch, epoch by epoch, exactly resumable between any two."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from landscape.errors import TrainingError
from landscape.training.compilation import Compilation
from landscape.training.history import selecting
from landscape.training.processes import ALONE, Processes
from landscape.training.pseudo_labels import joined
from landscape.training.recipes import recipe_of
from landscape.training.sampling import Mixed, Sampling, Shuffled
from landscape.training.schedules import ramp, schedule_of, set_learning_rate, time_of
from landscape.training.step import make_optimizer, update
from landscape.training.supply import Supply
from landscape.weights import overwrites_inputs, takes_channels_last, use_channels_last

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.datasets.examples import Examples
    from landscape.training.config import Settings
    from landscape.training.history import Row

Stopper = Callable[[], bool]
"""Asked between batches: whether to stop here."""

OnBatch = Callable[[int, int, int], None]
"""Told (epoch from 1, batches done, batches in the epoch)."""


NUM_TOTALS = 6


@dataclass(kw_only=True)
class Progress:
    """Where a run stands; plain values, and tensors of the running epoch.

    Attributes:
        epoch: finished epochs.
        batch: finished batches of the running epoch.
        seconds: spent in the running epoch so far.
        totals: (6,) float64, sums over the running epoch: of the loss over examples; over batches of ||v|| / ||w||,
            inner steps, and share of examples that pull on v; of removed examples; of all examples.
        rows: the history.
        best: the epoch with the highest robust accuracy so far, on validation or else on test examples, from 1; 0
            before the first.
        finished: whether nothing is left to do.
    """

    totals: Tensor
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    best: int = 0
    finished: bool = False


class Trainer:
    """A live model with its optimizer and its place in the run.

    Attributes:
        model: takes inputs in [0, 1]; trained in place, on `device`.
        progress: where the run stands.
    """

    def __init__(
        self,
        model: nn.Module,
        examples: Examples,
        settings: Settings,
        device: torch.device,
        *,
        unlabelled: Examples | None = None,
        processes: Processes = ALONE,
    ) -> None:
        """Begin, with the first process's weights.

        Args:
            model: changed from now on.
            examples: to train on.
            settings: nothing left open.
            device: where to train.
            unlabelled: examples with pseudo-labels, which give half of each batch.
            processes: which train together, each on its part of every batch.

        Raises:
            TrainingError: the model overwrites its inputs.
        """
        self.model = model.to(device=device)
        example = examples.inputs[:1].to(device)
        if overwrites_inputs(self.model, example):
            raise TrainingError(
                "the model overwrites its inputs, which the attack needs again; write `x = x - mean`, not `x -= mean`."
            )
        layout = torch.contiguous_format
        if takes_channels_last(self.model, example):
            layout = torch.channels_last
            use_channels_last(self.model)
        processes.share(self.model, parameters=True)
        self._processes = processes
        self.progress = Progress(totals=torch.zeros(NUM_TOTALS, dtype=torch.float64, device=device))
        whole = examples if unlabelled is None else joined(examples, unlabelled)
        weights = _weights(settings, len(examples), len(whole), device)
        self._supply = Supply(whole, settings, device, processes=processes, layout=layout, weights=weights)
        self._sampling = _sampling(settings, len(examples), None if unlabelled is None else len(unlabelled))
        self._settings = settings
        self._device = device
        self._schedule = schedule_of(settings)
        self._recipe = recipe_of(settings)
        self._optimizer = make_optimizer(self.model, settings.lr, nesterov=settings.nesterov)
        self._compilation = Compilation(self.model) if settings.compile else None

    @property
    def num_batches(self) -> int:
        """Updates in an epoch; the last one may see fewer examples."""
        return self._sampling.num_batches

    def run_epoch(self, *, should_stop: Stopper, on_batch: OnBatch) -> bool:
        """Finish the running epoch, or stop between two batches; True if it was finished.

        Raises:
            TrainingError: the loss or a weight is not a finite number.
        """
        progress, began = self.progress, time.perf_counter()
        self.model.train()
        finished = True
        batches = self._sampling.batches(progress.epoch)
        for batch, rows in enumerate(batches):
            if batch < progress.batch:
                continue
            if should_stop():
                finished = False
                break
            if self._compilation is not None:
                self._compilation.applies = len(rows) == len(batches[0])
            self._run_batch(batch, batches)
            on_batch(progress.epoch + 1, progress.batch, self.num_batches)
        self._require_finite()
        progress.seconds += time.perf_counter() - began
        return finished

    def close_epoch(self, measured: dict[str, float], seconds: float) -> None:
        """Count the epoch as finished and write its row; `measured` is empty in epochs without an evaluation."""
        progress = self.progress
        loss, ratio, inner_steps, share, removed, seen = progress.totals.tolist()
        row: Row = {
            "epoch": progress.epoch + 1,
            "lr": self._optimizer.param_groups[0]["lr"],
            "train_loss": loss / seen,
            "perturbation_ratio": ratio / self.num_batches,
            "inner_steps": inner_steps / self.num_batches,
            "share_pulling": share / self.num_batches,
            "share_removed": removed / seen,
            **measured,
            "seconds": progress.seconds + seconds,
        }
        progress.rows.append(row)
        if measured and (not progress.best or selecting(measured) > selecting(progress.rows[progress.best - 1])):
            progress.best = progress.epoch + 1
        progress.epoch, progress.batch, progress.seconds = progress.epoch + 1, 0, 0.0
        progress.totals = torch.zeros_like(progress.totals)

    def state(self) -> dict[str, Any]:
        """Everything that a continuation needs, as plain values and tensors; asked of all processes at once."""
        cuda = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None
        random, *others = self._processes.gather({"cpu": torch.get_rng_state(), "cuda": cuda})
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "random": random,
            **({"random_of_others": others} if others else {}),
            "progress": {**vars(self.progress), "totals": self.progress.totals.cpu()},
            "finished": self.progress.finished,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` gave.

        Raises:
            TrainingError: the state is that of another model, or of another number of processes.
        """
        randoms = [state["random"], *state.get("random_of_others", [])]
        if len(randoms) != self._processes.size:
            raise TrainingError(
                f"the run goes on with as many processes as it was begun with, {len(randoms)}, got "
                f"{self._processes.size}; start as many, name another --out, or --overwrite it."
            )
        try:
            self.model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrainingError(
                "the state of the run is that of another model; name another --out, or --overwrite it."
            ) from error
        self.progress = Progress(**state["progress"])
        self.progress.totals = self._totals(self.progress)
        random = randoms[self._processes.rank]
        torch.set_rng_state(random["cpu"])
        if self._device.type == "cuda" and random["cuda"] is not None:
            torch.cuda.set_rng_state(random["cuda"], self._device)

    def _totals(self, stored: Progress) -> Tensor:
        if stored.totals.shape == (NUM_TOTALS,):
            return stored.totals.to(self._device)
        # Versions with fewer columns in their history had fewer sums, all of them 0 between two epochs.
        if stored.batch:
            raise TrainingError(
                "the run was stopped inside an epoch by an older version; finish it with that one, or --overwrite it."
            )
        return torch.zeros(NUM_TOTALS, dtype=torch.float64, device=self._device)

    def _run_batch(self, batch: int, batches: list[Tensor]) -> None:
        progress, settings = self.progress, self._settings
        t = time_of(progress.epoch, batch, self.num_batches)
        set_learning_rate(self._optimizer, self._schedule(t))
        recipe = self._recipe
        if (share := ramp(t, settings.epsilon_ramp)) < 1:
            recipe = dataclasses.replace(recipe, crafting=recipe.crafting.weaker(share))
        rows, data = batches[batch], self._supply.batch(batches, batch, recipe.crafting, epoch=progress.epoch)
        done = update(
            self.model, self._optimizer, data, recipe, epoch=progress.epoch, batch=batch, processes=self._processes
        )
        moved = done.perturbed
        numbers = [done.loss * len(rows), moved.ratio, moved.inner_steps, moved.share, done.removed * len(rows)]
        progress.totals += torch.stack([*(number.double() for number in numbers), self._count(rows)])
        progress.batch = batch + 1

    def _count(self, rows: Tensor) -> Tensor:
        return torch.full((), float(len(rows)), dtype=torch.float64, device=self._device)

    def _require_finite(self) -> None:
        # Asked once in an epoch: sums keep what is not finite, and a question makes a GPU wait.
        tensors = [self.progress.totals, *self.model.parameters(), *self.model.buffers()]
        if self._processes.any(not all(bool(torch.isfinite(tensor).all()) for tensor in tensors)):
            raise TrainingError(
                f"the loss or a weight is not a finite number any more in epoch {self.progress.epoch + 1}; "
                "the checkpoints of the epochs before are kept; try a smaller --lr or --gamma."
            )


def _sampling(settings: Settings, num_labelled: int, num_unlabelled: int | None) -> Sampling:
    size, seed = settings.batch_size, settings.seed
    if num_unlabelled is None:
        return Shuffled(num_examples=num_labelled, batch_size=size, seed=seed)
    return Mixed(num_first=num_labelled, num_second=num_unlabelled, batch_size=size, seed=seed)


def _weights(settings: Settings, num_labelled: int, num_examples: int, device: torch.device) -> Tensor | None:
    if settings.unlabelled_weight == 1.0:
        return None
    weights = torch.full((num_examples,), settings.unlabelled_weight, device=device)
    weights[:num_labelled] = 1.0
    return weights
