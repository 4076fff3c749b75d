"""The state of a run in memory, and how it moves: batch by batch, epoch by epoch, exactly resumable between any two."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from landscape.attacks.pgd import PGD
from landscape.errors import TrainingError
from landscape.randomness import Stream, permutation
from landscape.training.augmentation import AUGMENTATIONS
from landscape.training.objectives import OBJECTIVES, Batch
from landscape.training.perturbations import AdversarialWeightPerturbation, NoPerturbation, Perturbation
from landscape.training.schedules import SCHEDULES, set_learning_rate, time_of
from landscape.training.step import Recipe, make_optimizer, update
from landscape.weights import use_channels_last

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.datasets.examples import Examples
    from landscape.training.config import Settings
    from landscape.training.history import Row

Stopper = Callable[[], bool]
"""Asked between batches: whether to stop here."""

OnBatch = Callable[[int, int, int], None]
"""Told (epoch from 1, batches done, batches in the epoch)."""


@dataclass(kw_only=True)
class Progress:
    """Where a run stands; plain values, and tensors of the running epoch.

    Attributes:
        epoch: finished epochs.
        batch: finished batches of the running epoch.
        seconds: spent in the running epoch so far.
        totals: (2,) float64, sums over the running epoch of loss times examples and of ||v|| / ||w|| over batches.
        rows: the history.
        best: the epoch with the highest robust accuracy on test examples so far, from 1; 0 before the first.
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

    def __init__(self, model: nn.Module, examples: Examples, settings: Settings, device: torch.device) -> None:
        self.model = model.to(device=device)
        use_channels_last(self.model)
        self.progress = Progress(totals=torch.zeros(2, dtype=torch.float64, device=device))
        self._examples = examples.to(device)
        self._ids = examples.ids.cpu()
        self._settings = settings
        self._device = device
        self._augment = AUGMENTATIONS[settings.augmentation]
        self._attack = PGD(threat=settings.threat, step_size=settings.step_size, num_steps=settings.attack_steps)
        self._recipe = Recipe(
            objective=OBJECTIVES[settings.objective],
            perturbation=perturbation_of(settings),
            attack=self._attack,
            weight_decay=settings.weight_decay,
        )
        self._optimizer = make_optimizer(self.model, settings.lr)

    @property
    def num_batches(self) -> int:
        """Updates in an epoch; the last one may see fewer examples."""
        return -(-len(self._ids) // self._settings.batch_size)

    def run_epoch(self, *, should_stop: Stopper, on_batch: OnBatch) -> bool:
        """Finish the running epoch, or stop between two batches; True if it was finished.

        Raises:
            TrainingError: the loss or a weight is not a finite number.
        """
        progress, began = self.progress, time.perf_counter()
        order = torch.from_numpy(
            permutation(len(self._ids), seed=self._settings.seed, stream=Stream.SHUFFLE, a=progress.epoch)
        )
        self.model.train()
        finished = True
        for batch, rows in enumerate(torch.split(order, self._settings.batch_size)):
            if batch < progress.batch:
                continue
            if should_stop():
                finished = False
                break
            self._run_batch(batch, rows)
            on_batch(progress.epoch + 1, progress.batch, self.num_batches)
        self._require_finite()
        progress.seconds += time.perf_counter() - began
        return finished

    def close_epoch(self, measured: dict[str, float], seconds: float) -> None:
        """Count the epoch as finished and write its row; `measured` is empty in epochs without an evaluation."""
        progress = self.progress
        loss, ratio = progress.totals.tolist()
        row: Row = {
            "epoch": progress.epoch + 1,
            "lr": self._optimizer.param_groups[0]["lr"],
            "train_loss": loss / len(self._ids),
            "perturbation_ratio": ratio / self.num_batches,
            **measured,
            "seconds": progress.seconds + seconds,
        }
        progress.rows.append(row)
        key = "test_robust_accuracy"
        if measured and (not progress.best or measured[key] > (progress.rows[progress.best - 1][key] or 0.0)):
            progress.best = progress.epoch + 1
        progress.epoch, progress.batch, progress.seconds = progress.epoch + 1, 0, 0.0
        progress.totals = torch.zeros_like(progress.totals)

    def state(self) -> dict[str, Any]:
        """Everything that a continuation needs, as plain values and tensors."""
        cuda = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "random": {"cpu": torch.get_rng_state(), "cuda": cuda},
            "progress": {**vars(self.progress), "totals": self.progress.totals.cpu()},
            "finished": self.progress.finished,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` gave.

        Raises:
            TrainingError: the state is that of another model.
        """
        try:
            self.model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrainingError(
                "the state of the run is that of another model; name another --out, or --overwrite it."
            ) from error
        self.progress = Progress(**state["progress"])
        self.progress.totals = self.progress.totals.to(self._device)
        torch.set_rng_state(state["random"]["cpu"])
        if self._device.type == "cuda" and state["random"]["cuda"] is not None:
            torch.cuda.set_rng_state(state["random"]["cuda"], self._device)

    def _run_batch(self, batch: int, rows: Tensor) -> None:
        progress, settings = self.progress, self._settings
        t = time_of(progress.epoch, batch, self.num_batches)
        set_learning_rate(self._optimizer, SCHEDULES[settings.schedule](t, settings.epochs, settings.lr))
        loss, ratio = update(self.model, self._optimizer, self._load(rows), self._recipe, epoch=progress.epoch)
        progress.totals += torch.stack([loss * len(rows), ratio]).double()
        progress.batch = batch + 1

    def _load(self, rows: Tensor) -> Batch:
        ids, chosen = self._ids[rows], rows.to(self._device)
        epoch, seed = self.progress.epoch, self._settings.seed
        inputs = self._augment(self._examples.inputs[chosen], ids, seed=seed, epoch=epoch)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        starts = None
        if self._recipe.objective.attacks:
            starts = self._attack.starts(ids, self._examples.image_shape, seed=seed, epoch=1 + epoch)
            starts = None if starts is None else starts.to(self._device, non_blocking=True)
        return Batch(inputs=inputs, labels=self._examples.labels[chosen], starts=starts)

    def _require_finite(self) -> None:
        # Asked once in an epoch: sums keep what is not finite, and a question makes a GPU wait.
        tensors = [self.progress.totals, *self.model.parameters(), *self.model.buffers()]
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
            raise TrainingError(
                f"the loss or a weight is not a finite number any more in epoch {self.progress.epoch + 1}; "
                "the checkpoints of the epochs before are kept; try a smaller --lr or --gamma."
            )


def perturbation_of(settings: Settings) -> Perturbation:
    """The weight perturbation that the method's name asks for."""
    if settings.gamma is None:
        return NoPerturbation()
    return AdversarialWeightPerturbation(gamma=settings.gamma, warmup=settings.awp_warmup)
