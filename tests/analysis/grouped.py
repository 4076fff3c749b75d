"""Surfaces with chosen losses at the centre, as material for groups."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from landscape.surfaces.surface import Surface
from tests.analysis.synthetic import make_surface, measurement


def surface_at(losses: list[float], **changes: Any) -> Surface:
    """A synthetic surface whose centre has these losses; wrong where they are 1.5 or more."""
    surface = make_surface(**{"num_examples": len(losses), "grid": "-1:1:5", "num_directions": 4, **changes})
    centre = np.asarray(losses)
    status = 1 if np.isfinite(centre).all() else 2
    return replace(
        surface,
        centre=measurement(centre, np.where(np.isfinite(centre), centre, 0.0) / 4),
        centre_status=status,
        labels=np.arange(len(losses)) % 3,
    )


def split_surfaces(num_train: int = 120, num_test: int = 90, **changes: Any) -> tuple[Surface, Surface]:
    """One checkpoint on training and on other test examples, along the same directions; losses from 0 to above 3."""
    generator = np.random.default_rng(7)
    train, test = (
        surface_at(
            generator.gamma(1.0, 1.2, count).tolist(),
            seed=seed,
            data={"dataset": "digits", "split": split, "digest": split},
            **changes,
        )
        for count, seed, split in ((num_train, 1, "train"), (num_test, 2, "test"))
    )
    return train, test
