from __future__ import annotations

import logging

import pytest

from landscape.cli.less_work import _warn_of_bias
from landscape.surfaces.warm_bias import Bias


def bias(warm: float, alpha: float = 1.0) -> Bias:
    return Bias(direction=2, alpha=alpha, warm=warm, full=1.0)


@pytest.mark.parametrize(
    ("warm", "said"),
    [
        ([0.839, 1.02], "a: with --warm-start the loss is 16.1 % too low at -0.5 along direction 2, and may be"),
        ([1.06, 0.99], "a: with --warm-start the loss is 6.0 % too high at -0.5 along direction 2, and may be"),
        ([0.96, 1.04], ""),
        ([float("nan"), float("inf")], ""),
    ],
    ids=["low", "high", "small", "undefined"],
)
def test_a_large_bias_is_warned_of(warm: list[float], said: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="landscape")
    _warn_of_bias("a", [bias(warm[0], -0.5), bias(warm[1])])
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == bool(said) and all(message.startswith(said) for message in messages)
    assert all(message.endswith("give more steps or nodes, or leave --warm-start out.") for message in messages)
