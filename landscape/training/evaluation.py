"""What a model in training is worth: natural and robust, on both splits, in eval mode at its own weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from landscape.attacks.measure import averaged, measure
from landscape.models.noisy import NoiseDraws
from landscape.randomness import Stream, permutation
from landscape.training.processes import ALONE, Processes
from landscape.weights import ResidentModel

if TYPE_CHECKING:
    from torch import Tensor, nn

    from landscape.datasets.examples import Examples
    from landscape.protocols import Attack, Measurement

SEED = 0
"""Of the choice of examples, their random starts and noise: the same for all runs, so that they can be compared."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The same attack on un-augmented training and test examples, and on validation examples if there are any.

    Attributes:
        attack: makes the adversarial examples.
        splits: "train", "test" and perhaps "validation" examples, on the model's device; of several processes each has
            its part.
        starts: random starts for each, on the same device.
        batch_size: examples in one batch.
        num_draws: draws of the noise of a noisy model that the numbers are means over.
        processes: which measure together.
        borrowed: splits whose examples are another process's, and count for nothing here.
    """

    attack: Attack
    splits: Mapping[str, Examples]
    starts: Mapping[str, Tensor | None]
    batch_size: int
    num_draws: int = 1
    processes: Processes = ALONE
    borrowed: frozenset[str] = frozenset()

    @classmethod
    def prepare(
        cls,
        attack: Attack,
        train: Examples,
        test: Examples,
        *,
        validation: Examples | None = None,
        num_examples: int | None,
        batch_size: int,
        num_draws: int = 1,
        processes: Processes = ALONE,
    ) -> Evaluation:
        """Choose the examples, at most `num_examples` of each split (None: all), and draw their random starts."""
        whole = {"train": train, "test": test} | ({} if validation is None else {"validation": validation})
        splits, borrowed = {}, set()
        for name, examples in whole.items():
            chosen = _subset(examples, num_examples)
            positions, is_borrowed = processes.part(len(chosen))
            splits[name] = chosen if processes.size == 1 else chosen.take(positions)
            borrowed |= {name} if is_borrowed else set()
        return cls(
            attack=attack,
            splits=splits,
            starts={name: _starts(attack, examples) for name, examples in splits.items()},
            batch_size=batch_size,
            num_draws=num_draws,
            processes=processes,
            borrowed=frozenset(borrowed),
        )

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """{train,test,validation}_{natural,robust}_{loss,accuracy}, and robust_gap = train minus test robust accuracy.

        Losses are mean cross-entropies in nats, accuracies lie in [0, 1]. The model is copied, never changed.
        """
        resident = ResidentModel(model)
        noise = NoiseDraws(seed=SEED, count=self.num_draws)
        numbers: dict[str, float] = {}
        for name in self.splits:
            draws = [self._measure(resident, name) for _ in noise.of(resident.module)]
            means = _means(name, averaged(draws), num_draws=len(draws))
            numbers |= self._of_all(name, means)
        numbers["robust_gap"] = numbers["train_robust_accuracy"] - numbers["test_robust_accuracy"]
        return numbers

    def _measure(self, resident: ResidentModel, split: str) -> Measurement:
        examples = self.splits[split]
        return measure(
            resident,
            examples.inputs,
            examples.labels,
            self.attack,
            starts=self.starts[split],
            batch_size=self.batch_size,
        )

    def _of_all(self, split: str, means: dict[str, float]) -> dict[str, float]:
        if self.processes.size == 1:
            return means
        count = 0 if split in self.borrowed else len(self.splits[split])
        (total,) = self.processes.sum([count * torch.tensor([*means.values(), 1.0], dtype=torch.float64)])
        return dict(zip(means, (total[:-1] / total[-1]).tolist(), strict=True))


def _means(split: str, measured: Measurement, *, num_draws: int) -> dict[str, float]:
    return {
        f"{split}_natural_loss": float(measured.clean_loss.mean(dtype=np.float64)),
        f"{split}_natural_accuracy": float(measured.clean_correct.mean(dtype=np.float64)) / num_draws,
        f"{split}_robust_loss": float(measured.adversarial_loss.mean(dtype=np.float64)),
        f"{split}_robust_accuracy": float(measured.adversarial_correct.mean(dtype=np.float64)) / num_draws,
    }


def _subset(examples: Examples, num_examples: int | None) -> Examples:
    # The rule of `load_examples`, so that a landscape of the same size and seed looks at the same examples.
    if num_examples is None or num_examples >= len(examples):
        return examples
    return examples.take(np.sort(permutation(len(examples), seed=SEED, stream=Stream.SUBSET)[:num_examples]))


def _starts(attack: Attack, examples: Examples) -> Tensor | None:
    starts = attack.starts(examples.ids.cpu(), examples.image_shape, seed=SEED)
    return None if starts is None else starts.to(examples.inputs)
