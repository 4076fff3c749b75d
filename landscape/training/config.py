"""The settings of a training run: what a user asks for, and what that means once the data set is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landscape.attacks.suite import parse_attack
from landscape.attacks.threat import ThreatModel
from landscape.errors import InputError
from landscape.models.noisy import INITIAL_ALPHA
from landscape.models.normalize import NORMALIZATIONS, Normalization, parse_normalization
from landscape.training.checks import require_allowed
from landscape.training.defaults import (
    DEFAULTS,
    HAVE_L2_THREAT,
    L2_THREAT,
    ONE_DROP,
    OTHERWISE,
    SMALLER_GAMMA,
    WEIGHT_DECAY,
    default_warmup,
)

if TYPE_CHECKING:
    from landscape.datasets.source import DatasetInfo

PLACE = ("data_dir", "device", "checkpoint_every")
"""Settings that say where and how a run is computed and kept, but determine no number; they may change on resuming."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What is asked for; None stands for the default of the data set. Plain JSON values throughout.

    Attributes:
        method: objective, then weight perturbation: one of `names.METHODS`.
        dataset: as in `load_examples`; where examples are given to `train`, theirs.
        model: a model of this package or `package.module:factory`.
        model_arguments: arguments of the model by name, such as {"width": 16}, beside those that follow from the data.
        validation: training examples that are kept apart to choose the best epoch, by the rule of `validation_split`.
        train_examples: training examples that are used, equally many of each class, by the rule of `balanced_subset`.
        epochs: length of the run, at least 1.
        lr: largest learning rate, above 0.
        batch_size: examples in an update, at least 1; the last batch of an epoch may be smaller.
        gamma: relative size ||v_l|| / ||w_l|| of the weight perturbation, above 0; only for methods that have one.
        awp_warmup: epochs at the beginning without weight perturbation, at least 0; by default that of
            `default_warmup`.
        awp_steps: K2, steps of AWP in each alternation, at least 1.
        awp_alternations: A, how often AWP makes examples anew at the weights that it has reached, at least 1.
        awp_norm: whether AWP's size holds for each "layer" or is "global".
        awp_size: "l2" or "l1", how ||v|| and ||w|| are measured, by any weight perturbation.
        lsc_range: AWP only sees examples whose cross-entropy on x' lies in this range, as 0:1.5; None for all.
        c_min: RWP only sees examples whose loss is below, in nats, above 0; by default 4 on CIFAR-100, else 1.7.
        rwp_steps: K2 of RWP, at least 1.
        rwp_accumulation: "reference" sums raw gradients, "paper" adds them to the scaled v.
        rwp_mask: "strict" (below c_min) or "closed" (at most c_min).
        rwp_mask_loss: which loss c_min is for, "ce" on x' or the "objective"'s.
        beta_trades: weight of the divergence in TRADES, at least 0.
        mart_lambda: weight of the divergence in MART, at least 0.
        attack_mode: the model's mode while examples are made, "train" or "eval"; by default train for at (eval for
            at-pni), else eval.
        noise_alpha: initial scale of the noise that at-pni has on the weights of every layer, at least 0.
        noise_draws: draws of that noise which evaluations are averaged over, from 1 to 254.
        drop_below: examples whose cross-entropy on x' is below do not count, in nats; None for all count.
        rst_base: the objective of rst, "trades" or "mart".
        labelled: rst hides the labels of all training examples but this many.
        unlabelled: file (.npz) with examples without labels, for rst.
        unlabelled_weight: how much an example with a pseudo-label counts in rst, at least 0.
        start_from: checkpoint whose weights the run begins with; the last layer is new if its classes differ.
        norm: "linf" or "l2", the threat model's norm.
        epsilon: the threat model's radius, in units of inputs in [0, 1].
        step_size: step of the attack, in the same units.
        attack_steps: gradient steps of the attack in training, at least 1.
        epsilon_ramp: epochs over which epsilon and step_size grow linearly from 0 to their values; 0 for none.
        schedule: one of `names.SCHEDULES`; what each does stands in `schedules.py`.
        lr_drop_epoch: when the schedule onedrop falls; 100 by default.
        lr_one_drop: the rate that it falls to; 0.01 by default.
        weight_decay: of all parameters, at least 0; 5e-4 by default, and 0 with l2.
        l1: coefficient of the sum of absolute values of weights with more than one dimension, added to the loss at
            w + v and not to the loss that v raises; None for none.
        l2: decay of weights with more than one dimension, and of no others; takes the place of weight_decay.
        nesterov: Nesterov's momentum.
        augmentation: one of `names.AUGMENTATIONS`; crop-flip (reflected borders) by default for natural images.
        cutout: side of a black square inside each training image, in pixels; None for none.
        mixup: parameter of the Beta distribution of mixup's weight; None for none.
        normalization: of the inputs inside the model, as `parse_normalization` reads it; by default the data set's.
        precision: fp32 (TF32 off), tf32, or bf16 (autocast; weights, their updates and perturbations stay in fp32).
        compile: whether torch.compile compiles the model.
        accumulate: equal parts in which a batch passes through the model, for large models; at least 1. BatchNorm sees
            each part alone: its statistics are those of the parts, and move that many times as often.
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
    model_arguments: dict[str, Any] | None = None
    validation: int | None = None
    train_examples: int | None = None
    epochs: int | None = None
    lr: float | None = None
    batch_size: int = 128
    gamma: float | None = None
    awp_warmup: int | None = None
    awp_steps: int = 1
    awp_alternations: int = 1
    awp_norm: str = "layer"
    awp_size: str = "l2"
    lsc_range: str | None = None
    c_min: float | None = None
    rwp_steps: int = 10
    rwp_accumulation: str = "reference"
    rwp_mask: str = "strict"
    rwp_mask_loss: str = "ce"
    beta_trades: float = 6.0
    mart_lambda: float = 5.0
    attack_mode: str | None = None
    noise_alpha: float = INITIAL_ALPHA
    noise_draws: int = 1
    drop_below: float | None = None
    rst_base: str = "trades"
    labelled: int | None = None
    unlabelled: str | None = None
    unlabelled_weight: float = 1.0
    start_from: str | None = None
    norm: str | None = None
    epsilon: float | None = None
    step_size: float | None = None
    attack_steps: int = 10
    epsilon_ramp: int = 0
    schedule: str = "piecewise"
    lr_drop_epoch: int | None = None
    lr_one_drop: float | None = None
    weight_decay: float | None = None
    l1: float | None = None
    l2: float | None = None
    nesterov: bool = False
    augmentation: str | None = None
    cutout: int | None = None
    mixup: float | None = None
    normalization: str | None = None
    precision: str = "fp32"
    compile: bool = False
    accumulate: int = 1
    seed: int = 0
    eval_every: int = 1
    eval_attack: str = "pgd-10"
    eval_examples: int = 500
    checkpoint_every: int = 10
    data_dir: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        require_allowed(self)
        parse_normalization(self.normalization)

    @property
    def objective(self) -> str:
        """The method's name without its weight perturbation."""
        return self.method.partition("-")[0]

    @property
    def perturbation(self) -> str:
        """The second part of the method's name, or "none"."""
        return self.method.partition("-")[2] or "none"

    @property
    def perturbs(self) -> bool:
        """Whether the method has a weight perturbation."""
        return self.perturbation not in ("none", "pni")

    @property
    def injects_noise(self) -> bool:
        """Whether the network has parametric noise."""
        return self.perturbation == "pni"

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
    awp_warmup: int
    norm: str
    epsilon: float
    step_size: float
    weight_decay: float
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
    defaults: dict[str, Any] = {
        "augmentation": "crop-flip" if info is not None and info.natural_images else "none",
        "normalization": "none" if info is None else _written_normalization(info.normalization),
        "weight_decay": WEIGHT_DECAY if config.l2 is None else 0.0,
        **DEFAULTS.get(config.dataset, OTHERWISE).others(),
    }
    if config.schedule == "onedrop":
        defaults |= ONE_DROP
    defaults["gamma"] *= SMALLER_GAMMA.get(config.objective, 1.0)
    if not config.perturbs:
        defaults |= {"gamma": None}
    if config.perturbation != "rwp":
        del defaults["c_min"]
    defaults |= _threat(config, info)
    chosen |= {name: value for name, value in defaults.items() if chosen[name] is None}
    if config.awp_warmup is None:
        usual = default_warmup(config.dataset, config.objective, config.perturbation, chosen["norm"])
        # A default must not be longer than the run.
        chosen["awp_warmup"] = min(usual, chosen["epochs"]) if config.perturbs else 0
    if chosen["norm"] is None or chosen["epsilon"] is None:
        raise InputError(
            f"{config.dataset} has no threat model of its own for these settings; give --norm and --epsilon."
        )
    threat = ThreatModel(norm=chosen["norm"], epsilon=chosen["epsilon"])
    if chosen["step_size"] is None:
        chosen["step_size"] = threat.default_step_size
    parse_attack(config.eval_attack, threat, step_size=chosen["step_size"])
    return Settings(**chosen)


def _threat(config: TrainConfig, info: DatasetInfo | None) -> dict[str, Any]:
    """The threat model of the data set, as far as it belongs to what is asked for."""
    threat: dict[str, Any] = {}
    if info is not None and config.norm in (None, info.norm):
        threat = {"norm": info.norm, "epsilon": info.epsilon, "step_size": info.step_size}
    elif config.norm == L2_THREAT["norm"] and config.dataset in HAVE_L2_THREAT:
        threat = dict(L2_THREAT)
    # A step size belongs to its own radius.
    if threat and config.epsilon not in (None, threat["epsilon"]):
        del threat["step_size"]
    return threat


def _written_normalization(normalization: Normalization | None) -> str:
    for name, known in NORMALIZATIONS.items():
        if known == normalization:
            return name
    return "/".join(",".join(map(repr, numbers)) for numbers in normalization or ())
