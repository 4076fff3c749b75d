"""The feature attack: towards the features of an example of another class."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from landscape.attacks.modules import Features, module_of
from landscape.attacks.pgd import PGD
from landscape.attacks.starts import words_of
from landscape.errors import InputError
from landscape.files import digest_arrays

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.attacks.threat import ThreatModel
    from landscape.protocols import Forward


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureAttack:
    """PGD on the cosine of penultimate features with those of a target image (github.com/Line290/FeatureAttack).

    Each restart has a random start and a random target, an example of another class; an example is robust if it
    withstands every target. Features are what goes into the model's last linear layer.

    Attributes:
        pgd: threat, step, number of steps and restarts.
        targets: (m, C, H, W) in [0, 1], where targets are taken from; mostly the evaluated examples themselves.
        target_labels: (m,) int64.

    Raises:
        InputError: the targets are all of one class.
    """

    pgd: PGD
    targets: Tensor
    target_labels: Tensor

    def __post_init__(self) -> None:
        if bool((self.target_labels == self.target_labels[:1]).all()):
            raise InputError(
                "the feature attack goes towards examples of other classes, and all of these are of one class; take "
                "more examples or leave it out."
            )

    @property
    def threat(self) -> ThreatModel:
        """The ball."""
        return self.pgd.threat

    def settings(self) -> dict[str, Any]:
        """Those of PGD under its own name, and the digest of the targets."""
        return {**self.pgd.settings(), "name": "feature", "targets": self._digest}

    def starts(self, ids: Tensor, shape: tuple[int, ...], *, seed: int) -> Tensor | None:
        """Random starts, as PGD's; the target of a restart belongs to its start."""
        return self.pgd.starts(ids, shape, seed=seed)

    def restarts(self, forward: Forward, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> Iterator[Tensor]:
        """Yield adversarial inputs, once for each start."""
        if starts is None:
            raise InputError("the feature attack needs the random starts that its targets belong to.")
        features = Features(module_of(forward, attack="feature"))
        for start in starts:
            with torch.no_grad():
                wanted = features(self._targets(start, labels).to(inputs))
            yield self.pgd.ascend(inputs, start, functools.partial(_gradient, features, wanted))

    def _targets(self, start: Tensor, labels: Tensor) -> Tensor:
        """For each example one of the targets with another label, each as probable as the others."""
        pool = self.target_labels.cpu().numpy()
        chosen = []
        for row, label in zip(start.cpu(), labels.tolist(), strict=True):
            others = np.flatnonzero(pool != label)
            chosen.append(int(others[int(words_of(row, 1)[0]) % len(others)]))
        return self.targets[torch.tensor(chosen)]

    @cached_property
    def _digest(self) -> str:
        return digest_arrays({"inputs": self.targets.cpu().numpy(), "labels": self.target_labels.cpu().numpy()})


def _gradient(features: Features, wanted: Tensor, inputs: Tensor) -> Tensor:
    with torch.enable_grad():
        inputs = inputs.detach().requires_grad_()
        cosine = F.cosine_similarity(features(inputs), wanted, dim=1)
        (gradient,) = torch.autograd.grad(cosine.sum(), [inputs])
    return gradient
