"""Draw and measure the weight loss landscape of adversarially trained networks.

The public names, in the order of the flow; each is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "load_checkpoint": "checkpoints",
    "save_checkpoint": "checkpoints",
    "Checkpoint": "checkpoints",
    "build_model": "models.registry",
    "load_examples": "datasets.registry",
    "Examples": "datasets.examples",
    "ThreatModel": "attacks.threat",
    "PGD": "attacks.pgd",
    "FGSM": "attacks.pgd",
    "NoAttack": "attacks.pgd",
    "parse_attack": "attacks.suite",
    "RandomDirections": "surfaces.directions",
    "Orthogonal": "surfaces.planes",
    "random_direction": "surfaces.directions",
    "filter_normalized": "surfaces.directions",
    "Interpolation": "surfaces.recipes.interpolation",
    "PrincipalComponents": "surfaces.recipes.principal_components",
    "WorstCaseDirection": "surfaces.recipes.worst_case",
    "HessianDirections": "surfaces.recipes.hessian",
    "HessianTraceProbes": "surfaces.recipes.hessian_trace",
    "GaussianWeights": "surfaces.recipes.gaussian",
    "save_directions": "surfaces.recipes.saved",
    "load_directions": "surfaces.recipes.saved",
    "ReestimatedStatistics": "surfaces.batchnorm",
    "BatchStatistics": "surfaces.batchnorm",
    "Grid": "surfaces.surface",
    "Surface": "surfaces.surface",
    "compute_surface": "surfaces.compute",
    "evaluate": "surfaces.evaluation",
    "load_surface": "surfaces.store",
    "rise": "analysis.statistics",
    "paired_difference": "analysis.statistics",
    "curvature": "analysis.flatness_measures",
    "worst_case_rise": "analysis.flatness_measures",
    "top_eigenvalue": "analysis.flatness_measures",
    "hessian_trace": "analysis.flatness_measures",
    "pac_bayes_terms": "analysis.flatness_measures",
    "loss_groups": "analysis.groups",
    "group_examples": "analysis.groups",
    "plot_curves": "analysis.plots",
    "style_curves": "analysis.style",
    "curve_figure": "analysis.figures",
    "save_figure": "analysis.figures",
    "plot_contour": "analysis.contours",
    "planes_of": "analysis.planes",
    "plane_figure": "analysis.plane_figure",
    "TrainConfig": "training.config",
    "train": "training.fit",
    "LandscapeError": "errors",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'landscape' has no attribute {name!r}")
    return getattr(importlib.import_module(f"landscape.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
