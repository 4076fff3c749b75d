from __future__ import annotations

from typing import Any

import pytest

from landscape.analysis.captions import alpha_label, curves_caption, series_caption, value_label
from tests.analysis.synthetic import make_surface


@pytest.mark.parametrize(
    ("quantity", "centred", "text"),
    [
        ("loss", False, "adversarial loss g(α) (cross-entropy, nats)"),
        ("loss", True, "adversarial loss g(α) − g(0) (nats)"),
        ("natural-loss", False, "natural loss g(α) (cross-entropy, nats)"),
        ("robust-error", False, "robust error g(α) (%)"),
        ("natural-error", True, "natural error g(α) − g(0) (percentage points)"),
    ],
)
def test_value_labels(quantity: str, centred: bool, text: str) -> None:
    assert value_label(quantity, [make_surface(num_directions=1, num_examples=3)], centred=centred) == text


CLEAN: dict[str, Any] = {"objective": "clean", "attack": {"name": "none"}}


def test_axes_of_mixed_objectives_name_no_attack() -> None:
    mixed = [make_surface(num_directions=1, num_examples=3, **changes) for changes in ({}, CLEAN)]
    assert value_label("loss", mixed) == "loss g(α) (cross-entropy, nats)"
    assert value_label("loss", mixed[1:]) == "natural loss g(α) (cross-entropy, nats)"


def test_alpha_label_names_the_normalization() -> None:
    by_filter = make_surface(num_directions=1, num_examples=3)
    by_layer = make_surface(num_directions=1, num_examples=3, directions={"norm": "layer"})
    assert alpha_label([by_filter]) == "α (multiples of the filter-normalized direction)"
    assert alpha_label([by_filter, by_layer]) == "α (multiples of the normalized direction)"


def test_caption_says_common_settings_once_and_others_by_name() -> None:
    a = make_surface(num_directions=3, num_examples=5)
    b = make_surface(num_directions=3, num_examples=5, attack={"num_steps": 20})
    caption = curves_caption([a, b], ["at", "awp"])
    assert "band: 95 % t-interval" in caption
    assert caption.count("Examples: 5 of digits train.") == 1
    assert "anew at every α [at]; PGD-20" in caption
    assert "anew at every α [awp]." in caption
    assert "Masked" not in caption


def test_caption_says_which_network_has_noise() -> None:
    noise = {"kind": "pni-w", "seed": 0, "draws": 2}
    a, b = make_surface(num_directions=3, num_examples=5), make_surface(num_directions=3, num_examples=5, noise=noise)
    assert "Noise: none [at]; parametric, on weights, mean of 2 draws, seed 0 [pni]." in curves_caption(
        [a, b], ["at", "pni"]
    )
    assert "Noise" not in curves_caption([a], ["at"])


def test_caption_counts_masked_points_and_few_directions() -> None:
    surface = make_surface(
        num_directions=2, num_examples=5, missing=((0, 0),), not_finite=((1, 1), (1, 2)), centre_finite=False
    )
    caption = curves_caption([surface], ["at"])
    assert "Masked in at: of 42 points 2 not finite and 1 not computed yet." in caption
    assert "The centre of at is missing or not finite." in caption
    assert "(none with fewer than 3 directions: at)" in caption


def test_caption_of_a_clean_surface_has_no_attack_seed() -> None:
    caption = curves_caption([make_surface(num_directions=3, num_examples=5, **CLEAN)], ["at"])
    assert "Attack: no attack; clean examples only." in caption
    assert "Seeds: directions 0." in caption


def test_caption_of_mixed_objectives_says_each_once() -> None:
    changes: list[dict[str, Any]] = [{}, {"objective": "fixed"}, CLEAN]
    surfaces = [make_surface(num_directions=3, num_examples=5, **change) for change in changes for _ in range(2)]
    caption = curves_caption(surfaces, list("abcdef"))
    assert "; attacked anew at every α [on the fly]; PGD-10" in caption
    assert "at α = 0 [fixed]; no attack; clean examples only [natural]." in caption
    assert "Seeds: directions 0, attack 0." in caption


def test_more_than_three_curves_are_means_alone() -> None:
    surfaces = [make_surface(num_directions=3, num_examples=5, weights=str(index)) for index in range(4)]
    assert curves_caption(surfaces, list("abcd")).startswith(
        "Lines: means over directions, for these examples. Single directions and 95 % bands are not drawn for more "
        "than 3 curves."
    )
    assert curves_caption(surfaces[:3], list("abc")).startswith("Thin lines: one direction each")


def test_a_single_direction_is_no_mean() -> None:
    surface = make_surface(num_directions=1, num_examples=5)
    assert curves_caption([surface], ["a"]).startswith(
        "Line: along one direction, so without a band, for these examples."
    )
    assert curves_caption([surface] * 4, list("abcd")).startswith("Lines: along one direction each, so without a band")
    assert series_caption([surface], ["epoch 1"]).startswith("Lines: means over examples, along one direction, one for")
    assert "thick: their mean" in curves_caption([surface, make_surface(num_directions=3, num_examples=5)], ["a", "b"])


def test_caption_says_where_a_band_is_cut_off() -> None:
    surface = make_surface(num_directions=3, num_examples=20)
    assert "cut off where no value can lie" in curves_caption([surface], ["at"], "robust-error")
    assert "cut off" not in curves_caption([make_surface(num_examples=20)], ["at"])


def test_series_of_both_splits_names_its_epochs_once() -> None:
    test = {"split": "test", "digest": "data-1"}
    surfaces = [make_surface(num_directions=1, num_examples=5, data=data) for data in ({}, test) for _ in range(2)]
    caption = series_caption(surfaces, ["epoch 1", "epoch 3"] * 2)
    assert "one for each epoch; solid: train, dashed: test." in caption
    assert "Examples: 5 of digits train; 5 of digits test." in caption
    assert "epoch 1" not in caption


@pytest.mark.parametrize("change", ["weights", "data"])
def test_paler_lines_are_only_spoken_of_where_two_curves_have_one_colour(change: str) -> None:
    other: Any = {"weights": "weights-1"} if change == "weights" else {"data": {"split": "test"}}
    hessian: dict[str, Any] = {"num_directions": 3, "num_examples": 3, "directions": {"kind": "hessian"}}
    surfaces = [make_surface(**hessian), make_surface(**hessian, **other)]
    text = curves_caption(surfaces, ["one", "other"])
    assert "dashes: which direction" in text and ("paler" in text) == (change == "data")
