from __future__ import annotations

import pytest

from landscape.analysis.captions import alpha_label, curves_caption, quantity_words, value_label
from landscape.errors import InputError
from tests.analysis.synthetic import make_surface


@pytest.mark.parametrize(
    ("quantity", "centred", "text"),
    [
        ("loss", False, "adversarial loss g(α) (cross-entropy, nats)"),
        ("loss", True, "adversarial loss g(α) − g(0) (nats)"),
        ("natural-loss", False, "natural loss g(α) (cross-entropy, nats)"),
        ("robust-error", False, "robust error g(α) (%)"),
        ("natural-error", True, "natural error g(α) − g(0) (% points)"),
    ],
)
def test_value_labels(quantity: str, centred: bool, text: str) -> None:
    assert value_label(quantity, [make_surface(num_directions=1, num_examples=3)], centred=centred) == text


def test_loss_without_attack_is_natural() -> None:
    clean = make_surface(num_directions=1, num_examples=3, objective="clean", attack={"name": "none"})
    assert quantity_words("loss", [clean]).title == "natural loss"
    with pytest.raises(InputError, match="a quantity is one of loss, robust-error"):
        quantity_words("accuracy", [clean])


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


def test_caption_counts_masked_points_and_few_directions() -> None:
    surface = make_surface(
        num_directions=2, num_examples=5, missing=((0, 0),), not_finite=((1, 1), (1, 2)), centre_finite=False
    )
    caption = curves_caption([surface], ["at"])
    assert "Masked in at: of 42 points 2 not finite and 1 not computed yet." in caption
    assert "The centre of at is missing or not finite." in caption
    assert "(none with fewer than 3 directions: at)" in caption
