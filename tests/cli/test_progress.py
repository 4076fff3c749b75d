from __future__ import annotations

import sys
import time
from typing import Any

import pytest
from rich.progress import Progress

from landscape.cli.progress import duration, progress_bar


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0.4 s"),
        (12.4, "12 s"),
        (200, "3 min 20 s"),
        (5 * 3600 + 120, "5 h 02 min"),
        (48 * 3600, "48 h 00 min"),
        (49 * 3600, "2 days"),
        (71.2 * 86_400, "71 days"),
        (1e9, "11,574 days"),
    ],
)
def test_durations_are_said_in_units_that_people_use(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_first_point_is_no_part_of_the_estimate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([0.0, 0.0, 40.0, 42.0, 60.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    with progress_bar("a") as show:
        show(3, 103)  # from the cache
        for done in (4, 5, 14):
            show(done, 103)
    assert capsys.readouterr().err.splitlines() == [
        "a: 4 of 103 points",
        "a: 14 of 103 points, about 2 min 58 s left",
    ]


def test_nor_is_it_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    now, bars = [0.0], []

    class Kept(Progress):
        def __init__(self, *columns: Any, **settings: Any) -> None:
            super().__init__(*columns, **settings, get_time=lambda: now[0])
            bars.append(self)

    monkeypatch.setattr("rich.progress.Progress", Kept)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar("a") as show:
        show(3, 103)
        left = []
        for now[0], done in ((40.0, 4), (100.0, 5), (160.0, 6)):
            show(done, 103)
            left.append(bars[0].tasks[0].time_remaining)
    assert left == [None, 60 * 98, 60 * 97]
