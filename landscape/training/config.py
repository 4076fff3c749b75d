"""The settings of a training run: what a user asks for, and what that means once the data set is known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landscape import names
from landscape.attacks.suite import parse_attack
from landscape.attacks.threat import ThreatModel
from landscape.errors import InputError
from landscape.models.normalize import NORMALIZATIONS, Normalization, parse_normalization
from landscape.training.augmentation import AUGMENTATIONS
from landscape.training.presets import OTHERWISE, PRESETS
from landscape.training.schedules import SCHEDULES

if TYPE_CHECKING:
    from landscape.datasets.source import DatasetInfo

_WHOLE = {
    "epochs": 1, "batch_size": 1, "awp_warmup": 0, "attack_steps": 1, "seed": 0,
    "eval_every": 1, "eval_examples": 1, "checkpoint_every": 1,
}  # fmt: skip
_NUMBERS_ABOVE_ZERO = ("lr", "gamma", "step_size")
_NUMBERS = ("epsilon", "weight_decay", *_NUMBERS_ABOVE_ZERO)
_TEXTS = (
    "method", "dataset", "model", "norm", "schedule", "augmentation", "normalization",
    "eval_attack", "data_dir", "device",
)  # fmt: skip

PLACE = ("data_dir", "device", "checkpoint_every")
"""Settings that say where and how a run is computed and kept, but determine no number; they may change on resuming."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What is asked for; None stands for the default of the data set. Plain JSON values throughout.

    Attributes:
        method: objective, then weight perturbation: one of `names.METHODS`.
        dataset: as in `load_examples`; where examples are given to `train`, theirs.
        model: a model of this package or `package.module:factory`.
        epochs: length of the run, at least 1.
        lr: largest learning rate, above 0.
        batch_size: examples in an update, at least 1; the last batch of an epoch may be smaller.
        gamma: relative size ||v_l|| / ||w_l|| of the weight perturbation, above 0; only for methods that have one.
        awp_warmup: epochs at the beginning without weight perturbation, at least 0.
        norm: "linf" or "l2", the threat model's norm.
        epsilon: the threat model's radius, in units of inputs in [0, 1].
        step_size: step of the attack, in the same units.
        attack_steps: gradient steps of the attack in training, at least 1.
        schedule: one of `schedules.SCHEDULES`.
        weight_decay: of all parameters, at least 0.
        augmentation: "crop-flip" or "none"; by default the first for natural images.
        normalization: of the inputs inside the model, as `parse_normalization` reads it; by default the data set's.
        seed: of initial weights, order, augmentation and random starts.
        eval_every: epochs from one evaluation to the next; the last epoch is always evaluated.
        eval_attack: attack of the history, as `parse_attack` reads it.
        eval_examples: fixed training and test examples of the history, at most; at least 1.
        checkpoint_every: epochs from one kept checkpoint to the next.
        data_dir: folder of the data; None for the default place.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        InputError: a value of another type or outside its range; the message names the choices.
    """

    method: str = "at"
    dataset: str = "digits"
    model: str | None = None
    epochs: int | None = None
    lr: float | None = None
    batch_size: int = 128
    gamma: float | None = None
    awp_warmup: int = 0
    norm: str | None = None
    epsilon: float | None = None
    step_size: float | None = None
    attack_steps: int = 10
    schedule: str = "piecewise"
    weight_decay: float = 5e-4
    augmentation: str | None = None
    normalization: str | None = None
    seed: int = 0
    eval_every: int = 1
    eval_attack: str = "pgd-10"
    eval_examples: int = 500
    checkpoint_every: int = 10
    data_dir: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_types(self)
        _check_ranges(self)
        _require_choice("method", self.method, names.METHODS)
        _require_choice("schedule", self.schedule, tuple(SCHEDULES))
        if self.augmentation is not None:
            _require_choice("augmentation", self.augmentation, tuple(AUGMENTATIONS))
        parse_normalization(self.normalization)
        if self.norm is not None:
            _require_choice("norm", self.norm, names.THREAT_NORMS)
        if self.model is not None and ":" not in self.model:
            _require_choice("model", self.model, (*names.MODELS, "package.module:factory"))
        if not self.perturbs and (self.gamma is not None or self.awp_warmup):
            raise InputError(
                f"the method {self.method} has no weight perturbation; leave out gamma and awp_warmup or use at-awp."
            )
        if self.awp_warmup and self.epochs is not None and self.awp_warmup > self.epochs:
            raise InputError(f"awp_warmup is at most the number of epochs, got {self.awp_warmup} of {self.epochs}.")

    @property
    def objective(self) -> str:
        """The method's name without its weight perturbation."""
        return self.method.partition("-")[0]

    @property
    def perturbs(self) -> bool:
        """Whether the method has a weight perturbation."""
        return "-" in self.method

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> TrainConfig:
        """The settings by name, as `config.json` holds them.

        Raises:
            InputError: a name is unknown, or a value is not allowed.
        """
        known = [field.name for field in dataclasses.fields(TrainConfig)]
        if unknown := [name for name in settings if name not in known]:
            raise InputError(f"there is no training setting {unknown[0]!r}; they are {', '.join(known)}.")
        return TrainConfig(**settings)

    def to_dict(self) -> dict[str, Any]:
        """The settings by name."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class Settings(TrainConfig):
    """A `TrainConfig` in which nothing is left open, except a gamma that the method does not have."""

    model: str
    epochs: int
    lr: float
    norm: str
    epsilon: float
    step_size: float
    augmentation: str
    normalization: str

    @property
    def threat(self) -> ThreatModel:
        """The threat model of training and evaluation."""
        return ThreatModel(norm=self.norm, epsilon=self.epsilon)

    def identity(self) -> dict[str, Any]:
        """The settings that determine the numbers of a run."""
        return {name: value for name, value in self.to_dict().items() if name not in PLACE}


def effective(config: TrainConfig, info: DatasetInfo | None = None) -> Settings:
    """Fill in what was left open: threat model of the data set, then the preset of its name.

    Args:
        config: what is asked for.
        info: facts about the data set; None for examples of the user's own.

    Raises:
        InputError: the data set has no threat model of its own and none was asked for, or the attack has no such name.
    """
    chosen = config.to_dict()
    defaults: dict[str, Any] = dataclasses.asdict(PRESETS.get(config.dataset, OTHERWISE))
    defaults |= {"augmentation": "none", "normalization": "none"}
    if not config.perturbs:
        del defaults["gamma"]
    if info is not None:
        defaults |= {"augmentation": "crop-flip" if info.natural_images else "none"}
        defaults |= {"normalization": _written_normalization(info.normalization)}
    # A radius of the data set belongs to its own norm only, and a step size to its own radius.
    if info is not None and config.norm in (None, info.norm):
        defaults |= {"norm": info.norm, "epsilon": info.epsilon}
        if config.epsilon in (None, info.epsilon):
            defaults["step_size"] = info.step_size
    chosen |= {name: value for name, value in defaults.items() if chosen[name] is None}
    if chosen["norm"] is None or chosen["epsilon"] is None:
        raise InputError(
            f"{config.dataset} has no threat model of its own for these settings; give --norm and --epsilon."
        )
    threat = ThreatModel(norm=chosen["norm"], epsilon=chosen["epsilon"])
    if chosen["step_size"] is None:
        chosen["step_size"] = threat.default_step_size
    parse_attack(config.eval_attack, threat, step_size=chosen["step_size"])
    return Settings(**chosen)


def _written_normalization(normalization: Normalization | None) -> str:
    for name, known in NORMALIZATIONS.items():
        if known == normalization:
            return name
    return "/".join(",".join(map(repr, numbers)) for numbers in normalization or ())


def _check_types(config: TrainConfig) -> None:
    for name, value in config.to_dict().items():
        kind: tuple[type, ...] = (str,) if name in _TEXTS else (int,) if name in _WHOLE else (int, float)
        may_be_none = getattr(TrainConfig, name) is None
        if (value is None and may_be_none) or (isinstance(value, kind) and not isinstance(value, bool)):
            continue
        words = {str: "a text", int: "a whole number", float: "a number"}[kind[-1]]
        raise InputError(f"{name} of a training run is {words}, got {value!r}.")


def _check_ranges(config: TrainConfig) -> None:
    for name, minimum in _WHOLE.items():
        value = getattr(config, name)
        if value is not None and value < minimum:
            raise InputError(f"{name} of a training run is at least {minimum}, got {value}.")
    if config.seed >= 2**64:
        raise InputError(f"seed of a training run is below 2**64, got {config.seed}.")
    for name in _NUMBERS:
        value = getattr(config, name)
        above = name in _NUMBERS_ABOVE_ZERO
        if value is not None and not (math.isfinite(value) and (value > 0 if above else value >= 0)):
            raise InputError(
                f"{name} of a training run is a finite number {'above' if above else 'of at least'} 0, got {value}."
            )


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} of a training run is one of {', '.join(choices)}, got {value!r}.")
