"""AutoAttack (Croce & Hein 2020) and its parts, from the package `pyautoattack`; nothing of it is written anew."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from landscape.attacks.starts import random_starts, words_of
from landscape.errors import AttackError, InputError

if TYPE_CHECKING:
    from types import ModuleType

    from torch import Tensor

    from landscape.attacks.threat import ThreatModel
    from landscape.protocols import Forward

STANDARD = ("apgd-ce", "apgd-t", "fab-t", "square")
"""The parts of the standard version, in their order; each attacks what the ones before left."""

NORMS = {"linf": "Linf", "l2": "L2"}

LEAST_CLASSES = 4
"""The targeted loss looks at the fourth largest logit."""

NUM_TARGETS = 9

BATCH_SIZE = 128


@dataclass(frozen=True, kw_only=True)
class AutoAttack:
    """Parts of AutoAttack with the budgets of its standard version; each sees only what the ones before left.

    Its random numbers are drawn for whole batches, so results belong to the batch: its size is part of the key. What it
    cannot get misclassified comes back unchanged: the losses of these examples are the clean ones.

    Attributes:
        threat: the ball.
        parts: some of `STANDARD`, in its order.
        batch_size: examples that are attacked together.

    Raises:
        InputError: an unknown part, none, or one twice.
    """

    threat: ThreatModel
    parts: tuple[str, ...] = STANDARD
    batch_size: int = BATCH_SIZE

    def __post_init__(self) -> None:
        if not self.parts or tuple(part for part in STANDARD if part in self.parts) != self.parts:
            raise InputError(f"the parts of AutoAttack are {', '.join(STANDARD)}, in this order, got {self.parts}.")
        if self.batch_size < 1:
            raise InputError(f"a batch has at least 1 example, got {self.batch_size}.")

    def settings(self) -> dict[str, Any]:
        """Everything that determines the result."""
        return {
            "name": "autoattack" if self.parts == STANDARD else "-".join(self.parts),
            **self.threat.settings(),
            "package": "pyautoattack 0.2.0",
            "parts": list(self.parts),
            "batch_size": self.batch_size,
        }

    def starts(self, ids: Tensor, shape: tuple[int, ...], *, seed: int) -> Tensor | None:
        """Random starts, which only name the random numbers of each batch."""
        return random_starts(self.threat, ids, shape, seed=seed)

    def restarts(self, forward: Forward, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> Iterator[Tensor]:
        """Yield adversarial inputs, once.

        Raises:
            AttackError: the package is not installed, or the model has too few classes.
        """
        if starts is None:
            raise InputError("AutoAttack needs the random starts that its seeds belong to.")
        parts = (torch.split(part, self.batch_size) for part in (inputs, labels, starts[0]))
        batches = zip(*parts, strict=True)
        yield torch.cat([self._attack(forward, *batch) for batch in batches])

    def _attack(self, forward: Forward, inputs: Tensor, labels: Tensor, starts: Tensor) -> Tensor:
        package = _package()
        seed = int(words_of(starts[0].cpu(), 1)[0] >> 33)
        with torch.no_grad():
            num_classes = forward(inputs[:1]).shape[1]
        if num_classes < LEAST_CLASSES and "apgd-t" in self.parts:
            raise AttackError(
                f"AutoAttack's targeted losses need {LEAST_CLASSES} classes, and this model has {num_classes}; take "
                "apgd-ce, fab-t and square by name."
            )
        library = package.AutoAttack(
            forward, norm=NORMS[self.threat.norm], eps=self.threat.epsilon, seed=seed, device=inputs.device
        )
        library.attacks_to_run = list(self.parts)
        library.verbose = False
        library.apgd_targeted.n_target_classes = library.fab.n_target_classes = min(NUM_TARGETS, num_classes - 1)
        with _undisturbed(inputs.device):
            adversarial, _ = library.run_standard_evaluation(inputs, labels, batch_size=len(inputs))
        found: Tensor = adversarial.detach()
        return found


def require_package() -> None:
    """Raise an `AttackError` if the package is not installed."""
    _package()


def _package() -> ModuleType:
    try:
        return importlib.import_module("pyautoattack")
    except ImportError as error:
        raise AttackError(
            "AutoAttack and its parts come from the package pyautoattack, which is not installed; install it with "
            "pip install 'robust-landscape[eval]'."
        ) from error


@contextlib.contextmanager
def _undisturbed(device: torch.device) -> Iterator[None]:
    """Leave torch's global random numbers and the interpreter's trace function, both of which it sets, as they were."""
    trace = sys.gettrace()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            sys.settrace(trace)
