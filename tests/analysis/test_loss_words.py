from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from landscape.analysis.captions import curves_caption, value_label
from landscape.analysis.comparison import compare
from landscape.analysis.loss_words import loss_words, losses_of
from landscape.analysis.settings import describe_settings
from landscape.analysis.style import style_curves
from landscape.analysis.tables import numbers, rise_table
from tests.analysis.synthetic import make_surface

TRADES = {"name": "trades", "beta": 6.0}


def small(**changes: Any) -> Any:
    return make_surface(**{"num_directions": 4, "num_examples": 6, **changes})


def with_loss(loss: Any, **changes: Any) -> Any:
    surface = small(**changes)
    return dataclasses.replace(surface, spec={**surface.spec, "loss": loss})


@pytest.mark.parametrize(
    ("loss", "label", "differences"),
    [
        pytest.param("cross-entropy", "cross-entropy, nats", "nats", id="cross-entropy"),
        pytest.param("margin", "margin, logits", "logits", id="margin"),
        pytest.param("ce-normalised", "cross-entropy of normalised logits, nats", "nats", id="normalised"),
        pytest.param(TRADES, "TRADES objective with β = 6, nats", "nats", id="trades"),
        pytest.param({"name": "mart", "lambda": 5}, "MART objective with λ = 5, nats", "nats", id="mart"),
        pytest.param({"name": "joint"}, "mean of clean and adversarial cross-entropy, nats", "nats", id="joint"),
        pytest.param({"name": "hinge", "width": 2}, "hinge width 2, unit not recorded", "unit not recorded", id="own"),
        pytest.param(["strange"], "['strange'], unit not recorded", "unit not recorded", id="a strange file"),
    ],
)
def test_axes_name_the_loss_and_its_unit(loss: Any, label: str, differences: str) -> None:
    surface = with_loss(loss)
    assert value_label("loss", [surface]) == f"adversarial loss g(α) ({label})"
    assert value_label("loss", [surface], centred=True) == f"adversarial loss g(α) − g(0) ({differences})"
    assert label in rise_table(style_curves([surface]))


def test_captions_say_the_sign_of_a_margin_and_what_the_attack_ascended() -> None:
    assert describe_settings(small())["Loss"] == "cross-entropy"
    assert describe_settings(with_loss("margin"))["Loss"] == (
        "margin (the largest other logit minus the label's, positive where wrong); the attack ascends the cross-entropy"
    )
    clean = with_loss("margin", objective="clean", attack={"name": "none"})
    assert describe_settings(clean)["Loss"].endswith("positive where wrong)")


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        ({"name": "pgd", "loss": {"name": "margin", "kappa": 0.0}}, "; the attack ascends the margin"),
        ({"name": "autoattack", "parts": ["square"]}, "; the attack ascends losses of its own and stops where"),
        ({"name": "spsa"}, "; the attack ascends a loss of its own"),
    ],
    ids=["cw", "autoattack", "spsa"],
)
def test_captions_say_what_attacks_ascend_that_ascend_no_cross_entropy(attack: dict[str, Any], words: str) -> None:
    assert describe_settings(with_loss("cross-entropy", attack=attack))["Loss"].startswith(f"cross-entropy{words}")


def test_captions_say_by_what_logits_were_divided() -> None:
    surface = with_loss("ce-normalised")
    measured = dataclasses.replace(surface, provenance=({"logit_norm": 12.3456}, {"logit_norm": 12.3457}))
    assert "divided by their mean norm at the centre, 12.35); the attack" in describe_settings(measured)["Loss"]
    assert "at the centre); the attack" in describe_settings(surface)["Loss"]
    assert loss_words(measured).title == loss_words(surface).title


def test_losses_know_their_range() -> None:
    found = {loss_words(with_loss(loss)).lowest for loss in ("cross-entropy", "ce-normalised")}
    assert found == {0.0}
    assert loss_words(with_loss("margin")).lowest == -math.inf
    assert len(losses_of([small(), small(), with_loss("margin")])) == 2


def test_two_losses_in_one_figure_are_named_and_never_compared() -> None:
    surfaces = [small(label="at"), with_loss("margin", label="awp", weights="w")]
    curves = style_curves(surfaces)
    a, b = curves
    assert [curve.label for curve in curves] == ["at (cross-entropy)", "awp (margin)"]
    assert value_label("loss", surfaces).endswith("(cross-entropy, nats or margin, logits)")
    assert value_label("loss", surfaces, centred=True).endswith("(nats or logits)")
    assert "Loss: cross-entropy [at (cross-entropy)]; margin (" in curves_caption(
        surfaces, [curve.label for curve in curves]
    )
    assert compare(a, b) == (
        "at (cross-entropy) and awp (margin) are not compared: their losses are different ones "
        "(cross-entropy, nats / margin, logits)."
    )
    assert numbers(curves)["differences"] == []
    assert numbers(curves, "robust-error")["differences"]
    assert "not compared" not in compare(a, b, quantity="robust-error")
    assert "loss (" not in compare(a, b, quantity="robust-error")


def test_a_verdict_on_another_loss_names_it() -> None:
    shapes = {"at": {"sharpness": 9.0}, "awp": {"sharpness": 1.0}}
    a, b = style_curves(
        [
            with_loss("margin", label=name, weights=name, num_directions=8, num_examples=100, **shape)
            for name, shape in shapes.items()
        ]
    )
    assert "awp is flatter than at in adversarial loss (margin, logits) at r = 0.5 by" in compare(a, b)
