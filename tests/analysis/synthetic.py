"""Surfaces made of formulas, with the statistics of real ones: crossed effects of directions and examples."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from landscape.protocols import Measurement
from landscape.surfaces.surface import CENTRE, Draft, Grid, Surface

SPEC: dict[str, Any] = {
    "numerics": 1,
    "model": {"name": "small_cnn", "arguments": {}, "normalization": None, "own_code": False},
    "weights": "weights-0",
    "parameter_shapes": "shapes-0",
    "data": {"dataset": "digits", "split": "train", "num_examples": 0, "digest": "data-0", "ids": "ids-0"},
    "attack": {
        "name": "pgd",
        "norm": "linf",
        "epsilon": 0.15,
        "step_size": 0.0375,
        "num_steps": 10,
        "num_restarts": 1,
        "random_start": True,
        "seed": 0,
    },
    "objective": "adversarial",
    "loss": "cross-entropy",
    "directions": {"kind": "random", "seed": 0, "norm": "filter", "one_dim": "zero", "layers": None},
    "batchnorm": "frozen",
    "precision": "fp32",
}


def make_surface(
    *,
    sharpness: float = 8.0,
    level: float = 1.2,
    grid: str = "-1:1:21",
    num_directions: int = 10,
    num_examples: int = 200,
    label: str = "digits-at",
    seed: int = 0,
    missing: tuple[tuple[int, int], ...] = (),
    not_finite: tuple[tuple[int, int], ...] = (),
    centre_finite: bool = True,
    **changes: Any,
) -> Surface:
    """g_i(alpha) = level_i + sharpness (1 + direction and example effects) |alpha|^1.8; `changes` go into the spec."""
    spec = copy.deepcopy(SPEC)
    for name, value in changes.items():
        spec[name] = {**spec.get(name, {}), **value} if isinstance(value, dict) else value
    nodes = Grid.parse(grid)
    spec |= {"grid": nodes.to_spec(), "num_directions": num_directions}
    spec["data"]["num_examples"] = num_examples
    generator = np.random.default_rng(seed)
    levels = level * generator.gamma(1.5, 1 / 1.5, num_examples)
    steepness = 1 + 0.5 * generator.standard_normal(num_examples)
    draft = Draft(
        key="0123456789abcdef" * 4, spec=spec, example_ids=np.arange(num_examples), labels=np.zeros(num_examples, int)
    )
    entry = draft.add_provenance({"label": label, "device": "cpu"})
    draft.put(CENTRE, measurement(levels if centre_finite else levels * np.nan, levels / 4), entry)
    for direction in range(num_directions):
        effect = 1 + 0.15 * generator.standard_normal()
        for index, (alpha, *_) in enumerate(nodes.node(index) for index in nodes.indices()):
            noise = 0.3 * generator.standard_normal(num_examples)
            slope = sharpness * (effect * steepness + noise) * (1 + 0.1 * np.sign(alpha))
            losses = levels + slope * abs(alpha) ** 1.8
            if (direction, index) in not_finite:
                losses[0] = np.nan
            if (direction, index) not in missing:
                draft.put((direction, index), measurement(losses, levels / 4), entry)
    return draft.surface()


def make_plane(
    formula: Callable[[float, float], float] = lambda alpha, beta: 0.3 + 5 * alpha**2 + 3 * beta**2,
    *,
    alpha: str = "-1:1:9",
    beta: str = "-1:1:7",
    planes: int = 1,
    num_examples: int = 4,
    label: str = "digits-at",
    missing: tuple[tuple[int, int, int], ...] = (),
    not_finite: tuple[tuple[int, int, int], ...] = (),
    centre_finite: bool = True,
    cosines: list[float] | None = None,
    refine: float | None = None,
    **changes: Any,
) -> Surface:
    """Means formula(alpha, beta) of examples that deviate from it, clean ones a quarter; `changes` go into the spec.

    With `refine` there are only the nodes that a grid of this tolerance asks for.
    """
    spec = copy.deepcopy(SPEC)
    for name, value in changes.items():
        spec[name] = {**spec[name], **value} if isinstance(value, dict) else value
    nodes = Grid.parse(alpha, beta) if refine is None else Grid.parse(alpha, beta).refined(refine)
    spec |= {"grid": nodes.to_spec(), "num_directions": planes}
    draft = Draft(
        key="0123456789abcdef" * 4, spec=spec, example_ids=np.arange(num_examples), labels=np.zeros(num_examples, int)
    )
    entry = draft.add_provenance({"label": label, "cosines": [0.0123] * planes if cosines is None else cosines})
    deviations = np.linspace(-1, 1, num_examples) / 16
    centre = formula(0.0, 0.0) + deviations
    draft.put(CENTRE, measurement(centre if centre_finite else centre * np.nan, centre / 4), entry)
    done = {CENTRE}
    while asked := [point for point in draft.surface().asked_points() if point not in done]:
        for point in asked:
            losses = formula(*nodes.node(point[1:])) + deviations
            if point in not_finite:
                losses[0] = np.nan
            if point not in missing:
                draft.put(point, measurement(losses, losses / 4), entry)
            done.add(point)
    return draft.surface()


def measurement(adversarial: np.ndarray, clean: np.ndarray) -> Measurement:
    return Measurement(
        adversarial_loss=adversarial.astype(np.float32),
        clean_loss=clean.astype(np.float32),
        adversarial_correct=(adversarial < 1.5).astype(np.uint8),
        clean_correct=(clean < 1.5).astype(np.uint8),
    )
