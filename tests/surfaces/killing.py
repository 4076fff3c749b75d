"""Processes that compute a surface and are killed -9 again and again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from landscape.surfaces.compute import run_plan
from landscape.surfaces.plan import SurfacePlan


def killed_at(work: Callable[[Path], None], log: Path, count: int) -> None:
    """Fork, let the child work, and kill it -9 as soon as it has acknowledged `count` points."""
    child = os.fork()
    if child == 0:
        try:
            work(log)
        finally:
            os._exit(0)
    while not log.exists() or len(log.read_text().splitlines()) < count:
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            raise AssertionError("the child ended by itself")
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def die_often(plan: SurfacePlan, cache: Path, counts: Iterable[int]) -> int:
    """Begin a surface in one process after the other, each killed once it has acknowledged so many points.

    No point is lost and none computed again, or an assertion fails. Gives back the points that were acknowledged.
    """

    def work(log: Path) -> None:
        with open(log, "a") as stream:

            def note(done: int, total: int) -> None:
                stream.write(f"{done}\n")
                stream.flush()

            run_plan(plan, cache_dir=cache, progress=note)

    acknowledged = 0
    for life, count in enumerate(counts):
        log = cache / f"life-{life}"
        killed_at(work, log, int(count))
        found = [int(line) for line in log.read_text().splitlines()]
        # The first count says how many points were found: all that were acknowledged, and at most the one that was
        # finished when the process died. Each count after it is one point more: nothing is computed again.
        assert acknowledged <= found[0] <= acknowledged + 1
        assert found == list(range(found[0], found[0] + len(found)))
        acknowledged = found[-1]
    return acknowledged
