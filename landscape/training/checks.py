"""Which values a setting of a run may have, and which settings belong together; each refusal says its reason."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from landscape import names
from landscape.errors import InputError
from landscape.models.noisy import MOST_DRAWS
from landscape.training.method_rules import METHOD_RULES, require_sensible

if TYPE_CHECKING:
    from landscape.training.config import TrainConfig

AT_LEAST: Mapping[str, int] = {
    "epochs": 1, "batch_size": 1, "awp_warmup": 0, "attack_steps": 1, "seed": 0,
    "eval_every": 1, "eval_examples": 1, "checkpoint_every": 1, "validation": 1, "train_examples": 1,
    "awp_steps": 1, "awp_alternations": 1, "rwp_steps": 1, "labelled": 1,
    "lr_drop_epoch": 0, "epsilon_ramp": 0, "cutout": 1, "accumulate": 1, "noise_draws": 1,
}  # fmt: skip
"""Smallest value of whole numbers."""

ABOVE_ZERO = ("lr", "gamma", "step_size", "lr_one_drop", "l1", "l2", "mixup", "c_min")

NOT_NEGATIVE = (
    "epsilon",
    "weight_decay",
    "beta_trades",
    "mart_lambda",
    "drop_below",
    "unlabelled_weight",
    "noise_alpha",
)

CHOICES: Mapping[str, tuple[str, ...]] = {
    "method": names.METHODS,
    "schedule": names.SCHEDULES,
    "augmentation": names.AUGMENTATIONS,
    "norm": names.THREAT_NORMS,
    "precision": names.PRECISIONS,
    "awp_norm": names.PERTURBATION_NORMS,
    "awp_size": names.PERTURBATION_SIZES,
    "rwp_accumulation": names.RWP_ACCUMULATIONS,
    "rwp_mask": names.RWP_MASKS,
    "rwp_mask_loss": names.RWP_MASK_LOSSES,
    "attack_mode": names.ATTACK_MODES,
    "rst_base": names.RST_BASES,
}

_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a text"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
}

Rule = Callable[["TrainConfig"], str | None]
"""What is wrong with the settings, as a sentence; None where nothing is."""


def require_allowed(config: TrainConfig) -> None:
    """Refuse a value of another type, outside its range, or that does not belong to the others.

    Raises:
        InputError: naming the setting, what it may be, and what came.
    """
    for field in dataclasses.fields(config):
        _require_type(field, getattr(config, field.name))
    _require_ranges(config)
    require_sensible(config.method)
    for name, choices in CHOICES.items():
        if (value := getattr(config, name)) is not None:
            require_choice(name, value, choices)
    if config.model is not None and ":" not in config.model:
        require_choice("model", config.model, (*names.MODELS, "package.module:factory"))
    for rule in RULES:
        if (wrong := rule(config)) is not None:
            raise InputError(wrong)


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a text that is none of `choices`.

    Raises:
        InputError: naming them.
    """
    if value not in choices:
        raise InputError(f"{name} of a training run is one of {', '.join(choices)}, got {value!r}.")


def _require_type(field: dataclasses.Field[Any], value: Any) -> None:
    kinds, words = _KINDS.get(str(field.type).partition(" ")[0], ((object,), "a value"))
    # True is an int to Python, and no number to anybody who writes a configuration.
    fits = isinstance(value, kinds) and (bool in kinds or object in kinds or not isinstance(value, bool))
    if not fits and not (value is None and field.default is None):
        raise InputError(f"{field.name} of a training run is {words}, got {value!r}.")


def _require_ranges(config: TrainConfig) -> None:
    for name, minimum in AT_LEAST.items():
        value = getattr(config, name)
        if value is not None and value < minimum:
            raise InputError(f"{name} of a training run is at least {minimum}, got {value}.")
    if config.seed >= 2**64:
        raise InputError(f"seed of a training run is below 2**64, got {config.seed}.")
    for name in (*NOT_NEGATIVE, *ABOVE_ZERO):
        value = getattr(config, name)
        above = name in ABOVE_ZERO
        if value is not None and not (math.isfinite(value) and (value > 0 if above else value >= 0)):
            raise InputError(
                f"{name} of a training run is a finite number {'above' if above else 'of at least'} 0, got {value}."
            )


def _model_arguments(config: TrainConfig) -> str | None:
    given = config.model_arguments
    if given is None or (isinstance(given, dict) and all(isinstance(name, str) for name in given)):
        return None
    return f"model_arguments of a training run are values by name, such as width=16, got {given!r}."


def _perturbation_settings(config: TrainConfig) -> str | None:
    if config.perturbs or (config.gamma is None and not config.awp_warmup):
        return None
    return f"the method {config.method} has no weight perturbation; leave out gamma and awp_warmup or use at-awp."


def _warmup(config: TrainConfig) -> str | None:
    if not config.awp_warmup or config.epochs is None or config.awp_warmup <= config.epochs:
        return None
    return f"awp_warmup is at most the number of epochs, got {config.awp_warmup} of {config.epochs}."


def _onedrop(config: TrainConfig) -> str | None:
    if config.schedule == "onedrop" or (config.lr_drop_epoch is None and config.lr_one_drop is None):
        return None
    return (
        "lr_drop_epoch and lr_one_drop belong to the schedule onedrop; "
        f"leave them out with {config.schedule} or use --schedule onedrop."
    )


def _multipledecay(config: TrainConfig) -> str | None:
    if config.schedule != "multipledecay" or config.epochs is None or config.epochs >= 10:
        return None
    return (
        f"the schedule multipledecay falls every tenth of a run, so it needs at least 10 epochs, got {config.epochs}."
    )


def _l2(config: TrainConfig) -> str | None:
    if config.l2 is None or not config.weight_decay:
        return None
    return (
        f"l2 takes the place of weight_decay, which is 0 then, got {config.weight_decay:g}; "
        "leave out --weight-decay or --l2."
    )


def _mixup(config: TrainConfig) -> str | None:
    if config.mixup is None:
        return None
    if config.perturbs:
        return (
            f"mixup goes with no weight perturbation: the reference refuses the pair, so there is no number to compare "
            f"with; leave out --mixup or use --method {config.objective}."
        )
    if config.objective not in ("natural", "at"):
        return (
            f"mixup mixes the labels of cross-entropy, and the loss of {config.objective} is defined for one label "
            "only; use --method at or natural, or leave out --mixup."
        )
    return None


def _ramp(config: TrainConfig) -> str | None:
    if not config.epsilon_ramp or config.objective != "natural":
        return None
    return "epsilon_ramp is for methods with an attack, and natural has none; leave out --epsilon-ramp."


def _accumulate(config: TrainConfig) -> str | None:
    if config.accumulate <= config.batch_size:
        return None
    return f"accumulate is at most batch_size, got {config.accumulate} parts of {config.batch_size} examples."


def _noise(config: TrainConfig) -> str | None:
    if config.noise_draws > MOST_DRAWS:
        return f"noise_draws of a training run is at most {MOST_DRAWS}, got {config.noise_draws}."
    if config.injects_noise and config.compile:
        return "at-pni draws new noise in every pass, which a compiled model would not notice; leave out --compile."
    return None


RULES: list[Rule] = [
    _model_arguments,
    _perturbation_settings,
    _warmup,
    _onedrop,
    _multipledecay,
    _l2,
    _mixup,
    _ramp,
    _accumulate,
    _noise,
    *METHOD_RULES,
]
"""Asked in this order, after types, ranges and choices."""
