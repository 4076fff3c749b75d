from __future__ import annotations

from typing import Any

import pytest
import torch

from landscape.training.schedules import SCHEDULES, constant, piecewise, set_learning_rate, time_of


@pytest.mark.parametrize(
    ("epoch", "batch", "expected"),
    [
        pytest.param(0, 0, 0.1, id="first-batch"),
        pytest.param(49, 389, 0.1, id="last-but-one-of-epoch-50"),
        pytest.param(49, 390, 0.01, id="last-of-epoch-50-runs-at-the-lower-rate"),
        pytest.param(74, 389, 0.01, id="last-but-one-of-epoch-75"),
        pytest.param(74, 390, 0.001, id="last-of-epoch-75"),
        pytest.param(99, 390, 0.001, id="last-batch"),
    ],
)
def test_piecewise_drops_at_half_and_three_quarters(epoch: int, batch: int, expected: float) -> None:
    assert piecewise(time_of(epoch, batch, 391), 100, 0.1) == pytest.approx(expected, rel=1e-12)


def test_constant_stays() -> None:
    assert {constant(t, 10, 0.3) for t in (0.1, 5.0, 10.0)} == {0.3}


def test_every_group_gets_the_rate() -> None:
    a, b = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    groups: list[dict[str, Any]] = [{"params": [a]}, {"params": [b], "lr": 5.0}]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


def test_names() -> None:
    assert list(SCHEDULES) == ["piecewise", "constant"]
