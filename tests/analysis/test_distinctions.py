from __future__ import annotations

from typing import Any

import pytest

from landscape.analysis.distinctions import distinctions

ATTACK = {"name": "pgd", "norm": "linf", "epsilon": 0.15, "step_size": 0.0375, "num_steps": 10, "num_restarts": 1}

PLAIN = "PGD-10, L∞, ε = 0.15, step 0.0375"

RANDOM = {"kind": "random", "seed": 0, "norm": "filter", "one_dim": "zero", "layers": None}

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "the usual one": ({"batchnorm": "frozen", "loss": "cross-entropy", "precision": "fp32"}, PLAIN),
    "on fixed examples": ({"objective": "fixed"}, f"fixed {PLAIN}"),
    "clean": ({"objective": "clean"}, "no attack"),
    "restarts": ({"attack": {**ATTACK, "num_restarts": 3}}, f"{PLAIN}, worst of 3 random starts"),
    "another loss": ({"loss": "margin"}, f"{PLAIN}; margin"),
    "a training objective": ({"loss": {"name": "trades", "beta": 6.0}}, f"{PLAIN}; trades 6"),
    "statistics estimated again": (
        {"batchnorm": {"name": "reestimate", "source": "clean", "batch_size": 128, "seed": 0}},
        f"{PLAIN}; BatchNorm reestimate from clean",
    ),
    "statistics of small batches": (
        {"batchnorm": {"name": "batch", "batch_size": 64, "seed": 0}},
        f"{PLAIN}; BatchNorm batch of 64",
    ),
    "random directions": (
        {"directions": {**RANDOM, "seed": 4, "norm": "layer", "one_dim": "copy", "layers": "conv"}},
        f"{PLAIN}; norm layer; one-dim copy; layers conv; seed 4",
    ),
    "orthogonal": ({"directions": {**RANDOM, "orthogonal": "filter"}}, f"{PLAIN}; orthogonal"),
    "worst case": (
        {"directions": {"kind": "worst-case", "gamma": 0.02, "num_steps": 3}},
        f"{PLAIN}; worst-case γ 0.02 3 steps",
    ),
    "an evaluation": ({"directions": {"kind": "none"}, "grid": {"alpha": [0.0]}}, f"{PLAIN}; evaluation"),
    "a clean evaluation": ({"attack": {"name": "none"}, "directions": {"kind": "none"}}, "no attack; evaluation"),
    "hessian": ({"directions": {"kind": "hessian", "layers": None}}, f"{PLAIN}; hessian"),
    "towards": (
        {"directions": {"kind": "interpolation", "towards": ["abcdefgh", "12345678"]}},
        f"{PLAIN}; towards abcdef, 123456",
    ),
    "path": (
        {"directions": {"kind": "principal-components", "path": ["abcdefgh", "x"]}},
        f"{PLAIN}; principal-components abcdef (2)",
    ),
    "saved": ({"directions": {"kind": "saved", "directions": ["abcdefgh"]}}, f"{PLAIN}; saved abcdef (1)"),
    "another range": ({"grid": {"alpha": [0.0, 0.5], "beta": [-1.0, 0.0, 1.0]}}, f"{PLAIN}; α 0 to 0.5"),
    "refined": ({"grid": {"alpha": [-1.0, 1.0], "beta": [-1.0, 1.0], "refine": 0.25}}, f"{PLAIN}; refined 0.25"),
    "examples until": ({"data": {"until_se": 0.02, "at_most": 500}}, f"{PLAIN}; examples until SE 0.02"),
    "warm starts": (
        {"attack": {**ATTACK, "warm_steps": 3, "warm_along": "abcdef"}},
        f"{PLAIN}, beside the centre 3 steps from the neighbour's examples on",
    ),
    "precision and noise": (
        {"precision": "bf16", "noise": {"draws": 5, "seed": 2}},
        f"{PLAIN}; seed 2; bf16; 5 draws of noise",
    ),
}


@pytest.mark.parametrize(("more", "words"), CASES.values(), ids=CASES.keys())
def test_what_is_not_as_usual_is_said(more: dict[str, Any], words: str) -> None:
    spec = {"attack": {**ATTACK, "seed": 0}, "objective": "adversarial", "directions": RANDOM}
    assert distinctions({**spec, **more}) == words


def test_a_file_may_hold_anything() -> None:
    assert distinctions({"attack": 3, "directions": [], "loss": None, "noise": "x", "batchnorm": 1}) != ""
