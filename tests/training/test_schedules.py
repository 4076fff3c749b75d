from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from landscape import names
from landscape.training.schedules import SCHEDULES, ramp, schedule_of, set_learning_rate, time_of

FIRST = 1 / 391
"""t of the first batch of an epoch of CIFAR-10, less the epoch."""


@pytest.mark.parametrize(
    ("name", "num_epochs", "t", "expected"),
    [
        ("piecewise", 200, FIRST, 0.1),
        ("piecewise", 200, 100 - FIRST, 0.1),
        ("piecewise", 200, 100.0, 0.01),
        ("piecewise", 200, 150 - FIRST, 0.01),
        ("piecewise", 200, 150.0, 0.001),
        ("piecewise", 200, 200.0, 0.001),
        # Epoch 99, counted from 1, is the last at 0.1; its last batch has t = 99.
        ("piecewise-epoch", 200, 99.0, 0.1),
        ("piecewise-epoch", 200, 99 + FIRST, 0.01),
        ("piecewise-epoch", 200, 149.0, 0.01),
        ("piecewise-epoch", 200, 149 + FIRST, 0.001),
        ("piecewise-late", 100, 75 - FIRST, 0.1),
        ("piecewise-late", 100, 75.0, 0.01),
        ("piecewise-late", 100, 90 - FIRST, 0.01),
        ("piecewise-late", 100, 90.0, 0.001),
        ("cosine", 200, 100.0, 0.05),
        ("cosine", 200, 50.0, 0.05 * (1 + math.sqrt(0.5))),
        ("cosine", 200, 200.0, 0.0),
        # 0.05 (1 + cos(pi (e - 1) / 200)) in epoch e, counted from 1.
        ("cosine-epoch", 200, FIRST, 0.1),
        ("cosine-epoch", 200, 1.0, 0.1),
        ("cosine-epoch", 200, 100 + FIRST, 0.05),
        ("cosine-epoch", 200, 200.0, 0.05 * (1 + math.cos(math.pi * 199 / 200))),
        ("cyclic", 200, 40.0, 0.05),
        ("cyclic", 200, 80.0, 0.1),
        ("cyclic", 200, 140.0, 0.05),
        ("cyclic", 200, 200.0, 0.0),
        ("cyclic", 7, 2.8, 0.1),
        ("cyclic", 7, 2.0, 0.1 / 1.4),
        ("superconverge", 200, 40.0, 0.05),
        ("superconverge", 200, 80.0, 0.1),
        ("superconverge", 200, 200.0, 0.0),
        ("superconverge", 7, 2.0, 0.1),
        ("superconverge", 7, 4.5, 0.05),
        ("superconverge", 2, 0.5, 0.075),
        ("linear", 200, 66.0, 0.1),
        ("linear", 200, 99.5, 0.055),
        ("linear", 200, 133.0, 0.01),
        ("linear", 200, 166.5, 0.0055),
        ("linear", 200, 200.0, 0.001),
        ("linear", 1, 0.5, 0.0055),
        ("onedrop", 200, 100 - FIRST, 0.1),
        ("onedrop", 200, 100.0, 0.01),
        ("onedrop", 200, 200.0, 0.01),
        ("multipledecay", 200, 20 - FIRST, 0.1),
        ("multipledecay", 200, 20.0, 0.09),
        ("multipledecay", 200, 199.9, 0.01),
        ("multipledecay", 200, 200.0, 0.0),
        ("multipledecay", 19, 19.0, 0.0),
        ("constant", 200, 200.0, 0.1),
    ],
)
def test_the_table_of_the_reference_at_its_boundaries(name: str, num_epochs: int, t: float, expected: float) -> None:
    assert SCHEDULES[name](t, num_epochs, 0.1) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("num_epochs", [5, 10, 200])
def test_cyclic_and_superconverge_are_one_where_five_divides_the_epochs(num_epochs: int) -> None:
    ts = np.linspace(0, num_epochs, 97)[1:]
    cyclic, superconverge = ([SCHEDULES[name](t, num_epochs, 0.1) for t in ts] for name in ("cyclic", "superconverge"))
    np.testing.assert_allclose(cyclic, superconverge, rtol=0, atol=1e-15)
    assert max(abs(SCHEDULES["cyclic"](t, 7, 0.1) - SCHEDULES["superconverge"](t, 7, 0.1)) for t in (2.0, 2.5)) > 0.01


LOGS: dict[str, tuple[dict[str, Any], list[tuple[int, float]]]] = {
    # (epoch counted from 0, rate of its last batch with the four digits of the log)
    "piecewise": ({"lr": 0.1}, [(0, 0.1), (98, 0.1), (99, 0.01), (148, 0.01), (149, 0.001), (199, 0.001)]),
    "svhn": ({"lr": 0.01}, [(0, 0.01), (98, 0.01), (99, 0.001), (149, 0.0001), (199, 0.0001)]),
    "cosine": ({"lr": 0.1, "schedule": "cosine"}, [(0, 0.1), (49, 0.0854), (99, 0.05), (138, 0.0212), (199, 0.0)]),
    "cyclic": ({"lr": 0.2, "schedule": "cyclic"}, [(0, 0.0025), (39, 0.1), (79, 0.2), (139, 0.1), (174, 0.0417)]),
}
"""Rates in published logs of 200 epochs: the AWP repository's, and the Rice repository's cosine and cyclic runs."""


@pytest.mark.parametrize("name", LOGS)
def test_the_rates_of_published_logs(name: str) -> None:
    given, rows = LOGS[name]
    settings: Any = SimpleNamespace(
        **{"schedule": "piecewise", "epochs": 200, "lr_drop_epoch": None, "lr_one_drop": None, **given}
    )
    rate = schedule_of(settings)
    num_batches = 573 if name == "svhn" else 391
    for epoch, logged in rows:
        assert round(rate(time_of(epoch, num_batches - 1, num_batches)), 4) == logged


def test_one_drop_takes_its_own_numbers() -> None:
    settings: Any = SimpleNamespace(schedule="onedrop", epochs=10, lr=0.1, lr_drop_epoch=4, lr_one_drop=0.02)
    rate = schedule_of(settings)
    assert [rate(t) for t in (1.0, 3.9, 4.0, 10.0)] == [0.1, 0.1, 0.02, 0.02]


def test_every_group_gets_the_rate() -> None:
    a, b = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    groups: list[dict[str, Any]] = [{"params": [a]}, {"params": [b], "lr": 5.0}]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


def test_a_ramp_grows_to_one_and_stays() -> None:
    assert [ramp(t, 4) for t in (0.5, 2.0, 4.0, 9.0)] == [0.125, 0.5, 1.0, 1.0]
    assert ramp(0.001, 0) == 1.0


def test_names() -> None:
    assert tuple(SCHEDULES) == names.SCHEDULES
