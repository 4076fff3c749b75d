"""The names a user can write: methods, models, data sets, norms, options. This module imports nothing."""

from __future__ import annotations

METHODS = (
    "natural", "natural-awp", "natural-random",
    "at", "at-awp", "at-rwp", "at-random", "at-pni",
    "trades", "trades-awp", "trades-rwp", "trades-random",
    "mart", "mart-awp", "mart-rwp", "mart-random",
    "rst", "rst-awp", "rst-rwp", "rst-random",
)  # fmt: skip

RST_BASES = ("trades", "mart")

ATTACK_MODES = ("train", "eval")

PERTURBATION_NORMS = ("layer", "global")

PERTURBATION_SIZES = ("l2", "l1")

RWP_ACCUMULATIONS = ("reference", "paper")

RWP_MASKS = ("strict", "closed")

RWP_MASK_LOSSES = ("ce", "objective")

MODELS = (
    "small_cnn",
    "preact_resnet18",
    "resnet18",
    "wide_resnet",
    "wide_resnet34_10",
    "wide_resnet28_10",
    "vgg19_bn",
    "mnist_cnn4",
    "mnist_cnn7",
)

DATASETS = ("digits", "cifar10", "cifar100", "svhn", "mnist", "arrays")

SPLITS = ("train", "test")

THREAT_NORMS = ("linf", "l2")

LINE_ATTACKS = (
    "pgd-K", "cw-K", "fgsm", "fgsm-rs", "spsa", "autoattack", "apgd-ce", "apgd-t", "fab-t", "square", "none",
)  # fmt: skip
"""Attacks that every command that measures takes."""

ATTACKS = (*LINE_ATTACKS[:-1], "feature", "transfer:CKPT", LINE_ATTACKS[-1])
"""All attacks: of these `landscape evaluate` alone gives some what they need beside a model."""

DIRECTION_NORMS = ("filter", "layer", "model", "none")

ONE_DIM_RULES = ("zero", "copy", "element")

OBJECTIVES = ("adversarial", "fixed", "clean")

LOSSES = ("ce", "margin", "ce-normalised", "training")

BATCHNORM_POLICIES = ("frozen", "reestimate", "batch")

BATCHNORM_SOURCES = ("clean", "adversarial")

PRECISIONS = ("fp32", "tf32", "bf16")

SCHEDULES = (
    "piecewise",
    "piecewise-epoch",
    "piecewise-late",
    "cosine",
    "cosine-epoch",
    "cyclic",
    "superconverge",
    "linear",
    "onedrop",
    "multipledecay",
    "constant",
)

AUGMENTATIONS = ("none", "crop-flip", "crop-flip-zero", "crop-flip-rotate")

QUANTITIES = ("loss", "robust-error", "natural-loss", "natural-error")

FLATNESS_MEASURES = ("rise", "curvature", "worst-case", "eigenvalue", "trace", "pac-bayes")

SIGMAS = ("layer", "literal")

GROUPINGS = ("loss", "class", "correct")
LEVELS = ("auto", "paper", "log")

FINAL_ATTACK = "pgd-20"
"""With which the last and the best checkpoint of a training are measured on all examples."""

BUNDLED = (
    "digits-at",
    "digits-at-awp",
    "digits-at-early",
    "digits-at-awp-early",
    "digits-at-epoch005",
    "digits-at-epoch050",
)
