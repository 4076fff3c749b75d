"""Evaluated models as tables, JSON and CSV."""

from __future__ import annotations

import json
from pathlib import Path

from landscape.analysis import robustness_table as tables
from landscape.analysis.settings import describe_attack
from tests.analysis.evaluated import PGD, evaluation, model

TRAIN = model({"pgd-20": evaluation([1, 1, 1, 0])}, split="train", method="at", seed=0)
TEST = model({"pgd-20": evaluation([1, 0, 0, 0])}, method="at", seed=0)


def test_splits_are_tables_and_their_gap_is_one() -> None:
    assert tables.accuracy_tables([TRAIN, TEST]).splitlines() == [
        "train, 4 examples: accuracy, %",
        "           natural       pgd-20",
        "model  100.0 ± 0.0  75.0 ± 25.0",
        "",
        "test, 4 examples: accuracy, %",
        "           natural       pgd-20",
        "model  100.0 ± 0.0  25.0 ± 25.0",
        "",
        "gap: train minus test accuracy, percentage points",
        "         natural       pgd-20",
        "model  0.0 ± 0.0  50.0 ± 35.4",
    ]


def test_wide_tables_go_on_below() -> None:
    many = model({f"pgd-{k}:restarts=5": evaluation([1, 0], num_steps=k) for k in range(2, 12)}, label="a long name")
    head, *lines = tables.accuracy_tables([many]).splitlines()
    assert head == "test, 2 examples: accuracy, %" and max(map(len, lines)) <= tables.WIDTH
    assert [line.split("  ")[0] for line in lines] == ["", "a long name"] * 2
    assert lines[0].split()[0] == "natural"
    assert lines[2].rstrip().endswith("worst case")


def test_best_and_last_say_how_the_best_was_chosen_and_what_is_lost() -> None:
    best, last = (
        model({"pgd-20": evaluation(correct)}, label=f"r/{name}", run="r", epoch=epoch, selection=selection)
        for correct, name, epoch, selection in (
            ([1, 1, 1, 0], "best", 10, "test-selected"),
            ([1, 1, 0, 0], "last", 100, "last"),
        )
    )
    assert tables.best_and_last_table([best, last]).splitlines() == [
        "best and last, %                                  natural  pgd-20",
        "r (test)          best (test-selected, epoch 10)    100.0    75.0",
        "                  last (epoch 100)                  100.0    50.0",
        "                  best minus last                    +0.0   +25.0",
    ]
    assert tables.best_and_last_table([TEST]) == ""


def test_json_and_csv_hold_the_same_numbers(tmp_path: Path) -> None:
    found = json.loads(json.dumps(tables.numbers([TRAIN, TEST]), allow_nan=False))
    assert found["models"][1]["accuracy"]["pgd-20"]["value"] == 0.25
    assert found["gaps"][0]["pgd-20"]["value"] == 0.5
    rows = [dict(zip(tables.CSV_HEADER, row, strict=True)) for row in tables.csv_rows([TRAIN, TEST])]
    assert [(row["split"], row["attack"], row["accuracy"]) for row in rows] == [
        ("train", "natural", 1.0),
        ("train", "pgd-20", 0.75),
        ("test", "natural", 1.0),
        ("test", "pgd-20", 0.25),
    ]
    assert rows[1]["epsilon"] == 0.1 and rows[0]["epsilon"] is None
    assert rows[1]["surface"] == TRAIN.surfaces["pgd-20"].key


def test_attacks_are_said_in_words() -> None:
    assert tables.attack_lines([TRAIN, TEST]) == "pgd-20: PGD-20, L∞, ε = 0.1, step 0.02, 1 random start"
    cases = {
        "CW-20, L∞, ε = 0.1, step 0.02, 1 random start, κ = 5": {**PGD, "loss": {"name": "margin", "kappa": 5}},
        "SPSA-100, ε = 0.1, step 0.01, 1 random start, 256 samples, δ = 0.001": {
            "name": "spsa",
            "epsilon": 0.1,
            "step_size": 0.01,
            "num_steps": 100,
            "num_restarts": 1,
            "num_samples": 256,
            "delta": 0.001,
        },
        "AutoAttack (APGD-CE, SQUARE), ε = 0.1": {
            "name": "autoattack",
            "parts": ["apgd-ce", "square"],
            "epsilon": 0.1,
        },
        "transfer of PGD-20, L∞, ε = 0.1, step 0.02, 1 random start, made on another model (abc)": {
            "name": "transfer",
            "surrogate": "abc",
            "attack": PGD,
        },
    }
    for words, settings in cases.items():
        assert describe_attack({"attack": settings}) == words
