"""The names a user can write: methods, models, data sets, norms, options. This module imports nothing."""

from __future__ import annotations

METHODS = ("natural", "at", "at-awp")

MODELS = ("small_cnn", "preact_resnet18")

DATASETS = ("digits", "cifar10", "mnist", "arrays")

SPLITS = ("train", "test")

THREAT_NORMS = ("linf", "l2")

DIRECTION_NORMS = ("filter", "layer", "model", "none")

ONE_DIM_RULES = ("zero", "copy", "element")

OBJECTIVES = ("adversarial", "fixed", "clean")

BATCHNORM_POLICIES = ("frozen",)

PRECISIONS = ("fp32", "tf32", "bf16")

QUANTITIES = ("loss", "robust-error", "natural-loss", "natural-error")

BUNDLED = (
    "digits-at",
    "digits-at-awp",
    "digits-at-early",
    "digits-at-awp-early",
    "digits-at-epoch005",
    "digits-at-epoch050",
)
