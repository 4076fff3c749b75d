"""What the updates of an epoch see, made on their device: images, labels and starts of the attack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from landscape.devices import sent
from landscape.training.augmentation import augmentation_of, mix
from landscape.training.objectives import Batch

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.datasets.examples import Examples
    from landscape.training.config import Settings
    from landscape.training.crafting import Crafting
    from landscape.training.processes import Processes

AHEAD = 2048
"""Examples whose batches are made together on a device: random numbers are hundreds of small operations, however many
there are. On the CPU there is nothing to gain."""


class Supply:
    """The batches of a run; what they hold is a function of its seed, the epoch and their examples alone."""

    def __init__(
        self,
        examples: Examples,
        settings: Settings,
        device: torch.device,
        *,
        processes: Processes,
        layout: torch.memory_format,
        weights: Tensor | None,
    ) -> None:
        """Bring the examples to the device.

        Args:
            examples: to train on.
            settings: of the run.
            device: where it trains.
            processes: each gets its part of every batch.
            layout: of images.
            weights: (n,) of the examples, on the device; None where all count the same.
        """
        self._ids, self._examples = examples.ids.cpu(), examples.to(device)
        self._settings = settings
        self._device = device
        self._processes = processes
        self._layout = layout
        self._weights = weights
        self._augment = augmentation_of(settings)
        # While epsilon grows, each batch has starts of its own size.
        alone = device.type == "cpu" or settings.epsilon_ramp > 0
        self._ahead = 1 if alone else max(1, AHEAD // settings.batch_size)
        self._kept: dict[int, Batch] = {}
        self._name: tuple[int, Crafting] | None = None

    def batch(self, batches: list[Tensor], number: int, crafting: Crafting, *, epoch: int) -> Batch:
        """What this process takes of a batch.

        Args:
            batches: rows of all batches of the epoch, on the CPU.
            number: of the batch, from 0.
            crafting: says what starts are.
            epoch: from 0.
        """
        if self._name != (epoch, crafting):
            self._kept, self._name = {}, (epoch, crafting)
        if number not in self._kept:
            some = range(number, min(number + self._ahead, len(batches)))
            self._kept = dict(zip(some, self._made(batches, some, crafting, epoch), strict=True))
        return self._kept.pop(number)

    def _made(self, batches: list[Tensor], numbers: range, crafting: Crafting, epoch: int) -> list[Batch]:
        parts = [self._processes.part(len(batches[number])) for number in numbers]
        own = [batches[number][positions] for number, (positions, _) in zip(numbers, parts, strict=True)]
        if self._settings.mixup is None:
            pictures = self._pictures(own, epoch)
        else:
            # Partners come from the whole batch.
            whole = self._pictures([batches[number] for number in numbers], epoch)
            mixed = [self._mixed(*pair, number, epoch) for pair, number in zip(whole, numbers, strict=True)]
            places = [sent(positions, self._device) for positions, _ in parts]
            pictures = [(inputs[at], labels[at]) for (inputs, labels), at in zip(mixed, places, strict=True)]
        starts = self._starts(own, crafting, epoch)
        weights = [None if self._weights is None else self._weights[sent(rows, self._device)] for rows in own]
        return [
            Batch(
                inputs=inputs.contiguous(memory_format=self._layout),
                labels=labels,
                starts=start,
                weights=weight,
                borrowed=borrowed,
            )
            for (inputs, labels), start, weight, (_, borrowed) in zip(pictures, starts, weights, parts, strict=True)
        ]

    def _pictures(self, groups: list[Tensor], epoch: int) -> list[tuple[Tensor, Tensor]]:
        """Augmented images and labels of each group of rows."""
        rows, sizes = torch.cat(groups), [len(group) for group in groups]
        chosen = sent(rows, self._device)
        inputs = self._examples.inputs[chosen]
        inputs = self._augment(inputs, self._ids[rows], seed=self._settings.seed, epoch=epoch)
        labels = self._examples.labels[chosen]
        return list(zip(torch.split(inputs, sizes), torch.split(labels, sizes), strict=True))

    def _starts(self, groups: list[Tensor], crafting: Crafting, epoch: int) -> list[Tensor | None]:
        ids, shape = self._ids[torch.cat(groups)], self._examples.image_shape
        starts = crafting.starts(ids, shape, seed=self._settings.seed, epoch=1 + epoch, device=self._device)
        if starts is None:
            return [None] * len(groups)
        return list(torch.split(starts, [len(group) for group in groups], dim=1))

    def _mixed(self, inputs: Tensor, labels: Tensor, number: int, epoch: int) -> tuple[Tensor, Tensor]:
        return mix(
            inputs,
            labels,
            num_classes=self._examples.num_classes,
            parameter=self._settings.mixup or 0.0,
            seed=self._settings.seed,
            epoch=epoch,
            batch=number,
        )
