"""Evaluations made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from landscape.analysis.robustness import Evaluated
from landscape.protocols import Measurement
from landscape.surfaces.relatives import key_of
from landscape.surfaces.surface import CENTRE, Draft, Grid, Surface

PGD: Mapping[str, Any] = {
    "name": "pgd",
    "norm": "linf",
    "epsilon": 0.1,
    "step_size": 0.02,
    "num_steps": 20,
    "num_restarts": 1,
    "random_start": True,
    "seed": 0,
}


def evaluation(
    correct: Sequence[int],
    *,
    natural: Sequence[int] | None = None,
    labels: Sequence[int] | None = None,
    loss: float = 1.0,
    weights: str = "w",
    draws: int = 1,
    **attack: Any,
) -> Surface:
    """One attack on examples of which the model is right on those that are 1."""
    n = len(correct)
    spec = {
        "weights": weights,
        "attack": {**PGD, **attack},
        "grid": Grid(alpha=(0.0,)).to_spec(),
        "num_directions": 0,
        "directions": {"kind": "none"},
        **({"noise": {"draws": draws}} if draws > 1 else {}),
    }
    draft = Draft(
        key=key_of(spec),
        spec=spec,
        example_ids=np.arange(n),
        labels=np.arange(n) % 3 if labels is None else np.array(labels),
    )
    measured = Measurement(
        adversarial_loss=np.full(n, loss, np.float32),
        clean_loss=np.zeros(n, np.float32),
        adversarial_correct=np.array(correct, np.uint8),
        clean_correct=np.array([draws] * n if natural is None else natural, np.uint8),
    )
    draft.put(CENTRE, measured, draft.add_provenance({"label": "model"}))
    return draft.surface()


def model(surfaces: Mapping[str, Surface], *, label: str = "model", split: str = "test", **about: Any) -> Evaluated:
    """A model under these attacks."""
    return Evaluated(label=label, split=split, surfaces=surfaces, **about)
