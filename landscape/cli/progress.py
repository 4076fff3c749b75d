"""Progress of long work: a bar on a terminal, a plain line now and then in a pipe."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator

import click

SECONDS_BETWEEN_LINES = 10.0

DAY = 86_400


@contextlib.contextmanager
def progress_bar(title: str, *, quiet: bool = False, unit: str = "points") -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that shows how far `title` is and how long it still takes; on stderr."""
    if quiet:
        yield lambda done, total: None
    elif sys.stderr.isatty():
        yield from _bar(title, unit)
    else:
        yield _lines(title, unit)


def duration(seconds: float) -> str:
    """Seconds as people say them: `12 s`, `3 min 20 s`, `5 h 02 min`, `71 days`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole <= 2 * DAY:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{round(seconds / DAY):,} days"


def _bar(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    # Points may take longer than the half a minute that rich looks back by itself.
    with Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=math.inf) as bar:
        task = bar.add_task(title, total=None)
        begun = False

        def show(done: int, total: int) -> None:
            nonlocal begun
            if begun:
                bar.update(task, completed=done, total=total)
            else:  # a bar that is reset to where a call begins takes its speed from the end of the first point on
                bar.reset(task, completed=done, total=total)
            begun = True

        yield show


def _lines(title: str, unit: str) -> Callable[[int, int], None]:
    latest = time.monotonic()
    begun: int | None = None
    first: tuple[int, float] | None = None
    """How many were done when the first of this call was, which may have paid for compiling, and when that was."""

    def show(done: int, total: int) -> None:
        nonlocal latest, begun, first
        now = time.monotonic()
        begun = done if begun is None else begun
        if done == begun:
            return
        first = (done, now) if first is None else first
        if now - latest < SECONDS_BETWEEN_LINES:
            return
        latest = now
        since = done - first[0]
        left = f", about {duration((now - first[1]) / since * (total - done))} left" if since else ""
        click.echo(f"{title}: {done} of {total} {unit}{left}", err=True)

    return show
