"""Small models and every attack, for the tests of attacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from landscape.attacks.auto import AutoAttack
from landscape.attacks.averaged import AveragedPGD
from landscape.attacks.feature import FeatureAttack
from landscape.attacks.margin import CW
from landscape.attacks.pgd import FGSM, PGD, NoAttack
from landscape.attacks.spsa import SPSA
from landscape.attacks.threat import ThreatModel
from landscape.attacks.transfer import Surrogate, Transfer
from landscape.models.noisy import NoiseDraws
from landscape.protocols import Attack

NUM_CLASSES = 5


def small_model(shape: tuple[int, ...], *, seed: int = 0, num_classes: int = NUM_CLASSES) -> nn.Module:
    """Two layers with random weights around the grey image, so that every class is near."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first, last = nn.Linear(math.prod(shape), 8), nn.Linear(8, num_classes, bias=False)
    with torch.no_grad():
        first.weight *= 4
        first.bias.copy_(-0.5 * first.weight.sum(dim=1))
    return nn.Sequential(nn.Flatten(), first, nn.Tanh(), last).eval()


def examples_for(shape: tuple[int, ...], *, count: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random images in [0, 1] and labels of several classes."""
    generator = torch.Generator().manual_seed(seed % 2**31)
    return torch.rand(count, *shape, generator=generator), torch.arange(count) % NUM_CLASSES


ATTACKS: Mapping[str, Callable[[ThreatModel, Tensor, Tensor], Attack]] = {
    "none": lambda threat, inputs, labels: NoAttack(),
    "fgsm": lambda threat, inputs, labels: FGSM(threat=threat),
    "fgsm-rs": lambda threat, inputs, labels: FGSM(threat=threat, random_start=True, step_size=2 * threat.epsilon),
    "pgd": lambda threat, inputs, labels: _pgd(threat),
    "cw": lambda threat, inputs, labels: CW(threat=threat, step_size=0.1, num_steps=3, num_restarts=2, kappa=10),
    "spsa": lambda threat, inputs, labels: SPSA(threat=threat, num_steps=3, num_samples=4, step_size=0.3),
    "feature": lambda threat, inputs, labels: FeatureAttack(pgd=_pgd(threat), targets=inputs, target_labels=labels),
    "averaged": lambda threat, inputs, labels: AveragedPGD(pgd=_pgd(threat), draws=NoiseDraws(count=2)),
    "transfer": lambda threat, inputs, labels: Transfer(
        attack=_pgd(threat),
        surrogate=Surrogate(forward=small_model(tuple(inputs.shape[1:]), seed=9), digest="9", name="other"),
    ),
}
"""Every attack of ours, with few steps and long ones."""


def apgd(threat: ThreatModel, *parts: str) -> AutoAttack:
    """Parts of AutoAttack."""
    return AutoAttack(threat=threat, parts=parts)


def _pgd(threat: ThreatModel) -> PGD:
    return PGD(threat=threat, step_size=0.7 * threat.epsilon, num_steps=3, num_restarts=2)
