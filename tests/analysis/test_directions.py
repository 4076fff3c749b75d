from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from landscape.analysis.captions import alpha_label, curves_caption, value_label
from landscape.analysis.comparison import compare, compared_pairs
from landscape.analysis.directions import is_sample, marks_of
from landscape.analysis.settings import describe_settings
from landscape.analysis.statistics import paired_difference, rise, summarize_curve
from landscape.analysis.style import style_curves
from landscape.analysis.tables import rise_table
from landscape.surfaces.surface import Surface
from tests.analysis.synthetic import make_surface

OTHER = {"name": "awp", "position": [1.0], "loss": 3.0, "robust-error": 0.5, "natural-loss": 0.3, "natural-error": 0.1}


def surface_of(kind: str, found: dict[str, Any] | None = None, **changes: Any) -> Surface:
    recipe = changes.pop("directions", {})
    surface = make_surface(**{"num_directions": 1, "num_examples": 5, **changes}, directions={"kind": kind, **recipe})
    entry = {"label": "at", **({} if found is None else {"directions": found})}
    return dataclasses.replace(surface, provenance=(entry,))


KINDS: dict[str, tuple[Surface, str, str]] = {
    "interpolation": (
        surface_of("interpolation", {"landmarks": [OTHER], "distances": [3.25]}),
        "t (0: at, 1: awp)",
        "from the checkpoint (0) towards awp (1). Distance: 3.25",
    ),
    "principal components": (
        surface_of(
            "principal-components",
            {"explained_variance": [0.6123], "random_walk_variance": [0.5], "landmarks": []},
            directions={"path": ["x", "y"]},
        ),
        "α (distance along the principal component)",
        "principal components of a path of 3 checkpoints, all parameters, the last at the origin. "
        "Explained variance: 61.2 % (of a random walk of as many points: 50.0 %)",
    ),
    "worst case": (
        surface_of("worst-case", directions={"num_steps": 10, "gamma": 0.01, "attack": {"name": "pgd"}}),
        "α (multiples of the layer-normalized worst-case direction)",
        "worst case (ascent on the adversarial cross-entropy with frozen running statistics, 10 steps, γ = 0.01), "
        "layer-normalized, one-dimensional parameters not moved",
    ),
    "worst case without an attack, over draws of noise": (
        surface_of(
            "worst-case", directions={"num_steps": 1, "gamma": 0.1, "attack": {"name": "none"}, "noise": {"draws": 3}}
        ),
        "α (multiples of the layer-normalized worst-case direction)",
        "worst case (ascent on the natural cross-entropy with frozen running statistics, mean of 3 draws of noise, "
        "1 steps, γ = 0.1), layer-normalized, one-dimensional parameters not moved",
    ),
    "hessian": (
        surface_of("hessian", {"eigenvalues": [12.3456, 4.0]}, num_directions=2),
        "α (distance along the Hessian eigenvector)",
        "top 2 eigenvectors of the Hessian of the adversarial cross-entropy with frozen running statistics, examples "
        "fixed at the centre, length 1, all parameters. Eigenvalues: 12.35, 4",
    ),
    "hessian of some layers": (
        surface_of("hessian", directions={"layers": "conv"}),
        "α (distance along the Hessian eigenvector)",
        "top eigenvector of the Hessian of the adversarial cross-entropy with frozen running statistics, examples "
        "fixed at the centre, length 1, all parameters of these layers",
    ),
    "saved": (
        surface_of("saved", directions={"origin": "hessian"}),
        "α (multiples of the saved direction)",
        "1 from a file (kind: hessian), as they are",
    ),
    "one's own": (surface_of("spiral"), "α (multiples of the spiral direction)", "1 spiral"),
}


@pytest.mark.parametrize(("surface", "axis", "words"), KINDS.values(), ids=KINDS.keys())
def test_every_kind_is_named_on_the_axis_and_in_the_caption(surface: Surface, axis: str, words: str) -> None:
    assert alpha_label([surface]) == axis
    directions, _, findings = words.partition(". ")
    assert describe_settings(surface)["Directions"] == directions
    caption = curves_caption([surface], ["at"])
    assert f"Directions: {directions}." in caption and findings in caption and "t-interval" not in caption
    assert "Seeds: attack 0." in caption


def test_interpolation_is_a_function_of_t_and_moves_running_statistics() -> None:
    surface = KINDS["interpolation"][0]
    assert value_label("loss", [surface]) == "adversarial loss g(t) (cross-entropy, nats)"
    assert value_label("loss", [surface, make_surface(num_examples=5)]).startswith("adversarial loss g(α)")
    assert describe_settings(surface)["BatchNorm"] == "running statistics interpolated with the weights"
    assert "diamonds: other checkpoints, each with the value measured at its own weights" in curves_caption(
        [surface], ["at"]
    )


def test_lines_towards_different_checkpoints_have_a_common_axis() -> None:
    first = KINDS["interpolation"][0]
    second = surface_of("interpolation", {"landmarks": [{**OTHER, "name": "trades"}]})
    assert alpha_label([first, second]) == "t (0: the checkpoint, 1: the other one)"
    assert alpha_label([first, KINDS["hessian"][0]]) == "α (multiples of each curve's direction)"


def test_only_random_directions_have_intervals() -> None:
    eigenvectors = surface_of("hessian", num_directions=5)
    assert np.isnan(summarize_curve(eigenvectors).low).all()
    found = paired_difference(eigenvectors, eigenvectors, 0.5)
    assert found is not None and found.low is None and not found.sampled
    alone = rise(eigenvectors, 0.5)
    assert alone is not None and np.isnan([alone.standard_error_directions, alone.variation_directions]).all()
    (curve,) = style_curves([eigenvectors], ["a"])
    assert "a: the directions are no random sample; means and SD directions are over" in rise_table([curve])
    assert "the mean over these very directions, which are no random sample" in curves_caption([eigenvectors], ["a"])
    other = surface_of("hessian", num_directions=5, seed=1, weights="weights-1")
    first, second = style_curves([eigenvectors, other], ["a", "b"])
    assert "but directions that are no random sample have no interval." in compare(first, second)
    shared = surface_of("saved", num_directions=5, directions={"origin": "random"})
    assert is_sample(shared) and not is_sample(eigenvectors)
    assert np.isfinite(summarize_curve(shared).low).all()


@pytest.mark.parametrize("kind", ["interpolation", "principal-components"])
def test_signs_that_mean_different_things_make_no_rise(kind: str) -> None:
    surface = surface_of(kind, grid="-1:1:21")
    curves = style_curves([surface, surface_of(kind, weights="weights-1")], ["a", "b"])
    assert rise(surface, 0.5) is None and compared_pairs(curves) == []
    assert rise(make_surface(grid="-1:1:21", num_examples=5), 0.5) is not None


def test_the_fullest_record_counts_and_nonsense_is_left_out() -> None:
    surface = KINDS["interpolation"][0]
    entries = ({"label": "at"}, *surface.provenance, {"directions": "?"}, {"directions": {"landmarks": None}})
    assert [mark.name for mark in marks_of(dataclasses.replace(surface, provenance=entries))] == ["awp"]
    wrong = [{"position": "x"}, {"position": []}, {"position": [True]}, 7, {**OTHER, "loss": None, "name": "\ud800"}]
    (mark,) = marks_of(surface_of("interpolation", {"landmarks": wrong}))
    assert "loss" not in mark.values and mark.values["natural-loss"] == 0.3
    mark.name.encode()
