"""From a method's name and settings to the parts of an update."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from landscape.attacks.pgd import PGD
from landscape.relative_ball import RelativeBall
from landscape.training.adversarial_weights import AdversarialWeightPerturbation
from landscape.training.crafting import NoCrafting, NoiseCrafting, UniformCrafting, classification, divergence
from landscape.training.objectives import (
    AdversarialTraining,
    JointTraining,
    Mart,
    Natural,
    Objective,
    Trades,
    WithoutSmallLosses,
)
from landscape.training.parametric_noise import NoNoise, RenewedNoise
from landscape.training.perturbations import AfterWarmup, NoPerturbation, Perturbation
from landscape.training.random_weights import RandomWeightPerturbation
from landscape.training.regularizers import Penalty
from landscape.training.robust_weights import RobustWeightPerturbation
from landscape.training.selection import LossRange, parse_loss_range
from landscape.training.step import Recipe

if TYPE_CHECKING:
    from landscape.training.config import Settings
    from landscape.training.crafting import AscendedLoss, Crafting


def recipe_of(settings: Settings) -> Recipe:
    """What the updates of a run are made of."""
    objective = OBJECTIVES[settings.objective](settings)
    if settings.drop_below is not None:
        objective = WithoutSmallLosses(objective=objective, kept=LossRange(low=settings.drop_below))
    perturbation = PERTURBATIONS[settings.perturbation](settings)
    if settings.awp_warmup:
        perturbation = AfterWarmup(perturbation=perturbation, num_epochs=settings.awp_warmup)
    return Recipe(
        objective=objective,
        crafting=CRAFTINGS[settings.objective](settings),
        perturbation=perturbation,
        penalty=Penalty(weight_decay=settings.weight_decay, l1=settings.l1 or 0.0, l2=settings.l2),
        num_parts=settings.accumulate,
        noise=RenewedNoise(seed=settings.seed) if settings.injects_noise else NoNoise(),
    )


def _at(settings: Settings) -> Objective:
    return JointTraining() if settings.injects_noise else AdversarialTraining()


def _trades(settings: Settings) -> Objective:
    # The AWP reference moved the additional clean pass of the upstream code to the end.
    perturbs = settings.perturbation != "none"
    return Trades(beta=settings.beta_trades, clean_first=not perturbs, clean_last=perturbs)


def _mart(settings: Settings) -> Objective:
    return Mart(weight=settings.mart_lambda)


def _rst(settings: Settings) -> Objective:
    return Trades(beta=settings.beta_trades) if settings.rst_base == "trades" else _mart(settings)


def _uniform(settings: Settings) -> Crafting:
    # The reference of parametric noise makes its examples in eval mode, that of adversarial training does not.
    usual = "eval" if settings.injects_noise else "train"
    attack = PGD(
        threat=settings.threat,
        step_size=settings.step_size,
        num_steps=settings.attack_steps,
        num_restarts=settings.awp_alternations,
    )
    return UniformCrafting(attack=attack, training_mode=(settings.attack_mode or usual) == "train")


def _noise(settings: Settings, loss: AscendedLoss) -> Crafting:
    return NoiseCrafting(
        threat=settings.threat,
        step_size=settings.step_size,
        num_steps=settings.attack_steps,
        loss=loss,
        num_alternations=settings.awp_alternations,
        training_mode=settings.attack_mode == "train",
    )


def _awp(settings: Settings) -> Perturbation:
    return AdversarialWeightPerturbation(
        ball=_ball(settings, norm=settings.awp_norm),
        num_steps=settings.awp_steps,
        num_alternations=settings.awp_alternations,
        selected=None if settings.lsc_range is None else parse_loss_range(settings.lsc_range),
    )


def _rwp(settings: Settings) -> Perturbation:
    if settings.c_min is None:
        raise ValueError("c_min is left open")
    return RobustWeightPerturbation(
        ball=_ball(settings, norm="global"),
        selected=LossRange(high=settings.c_min, closed=settings.rwp_mask == "closed"),
        num_steps=settings.rwp_steps,
        accumulation=settings.rwp_accumulation,
        by_objective=settings.rwp_mask_loss == "objective",
    )


def _random(settings: Settings) -> Perturbation:
    return RandomWeightPerturbation(ball=_ball(settings, norm="layer"), seed=settings.seed)


def _ball(settings: Settings, *, norm: str) -> RelativeBall:
    if settings.gamma is None:
        raise ValueError("gamma is left open")
    return RelativeBall(gamma=settings.gamma, norm=norm, size=settings.awp_size)


OBJECTIVES: Mapping[str, Callable[[Settings], Objective]] = {
    "natural": lambda settings: Natural(),
    "at": _at,
    "trades": _trades,
    "mart": _mart,
    "rst": _rst,
}
"""The first part of a method's name."""

CRAFTINGS: Mapping[str, Callable[[Settings], Crafting]] = {
    "natural": lambda settings: NoCrafting(),
    "at": _uniform,
    "trades": lambda settings: _noise(settings, divergence),
    "mart": lambda settings: _noise(settings, classification),
    "rst": lambda settings: _noise(settings, divergence if settings.rst_base == "trades" else classification),
}
"""How each objective makes its examples."""

PERTURBATIONS: Mapping[str, Callable[[Settings], Perturbation]] = {
    "none": lambda settings: NoPerturbation(),
    "awp": _awp,
    "rwp": _rwp,
    "random": _random,
    "pni": lambda settings: NoPerturbation(),
}
"""The second part of a method's name; parametric noise is in the network, and moves no weights."""
