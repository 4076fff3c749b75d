"""The sides of a contest, each in a process of its own: what one of them sets for its process is no help to another."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from harness import Row, Timed, timed


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A task that is ready to be timed, and what is to be known about it."""

    task: Callable[[], Any]
    about: Row = field(default_factory=dict)


class Side:
    """A task in another process, which sleeps while other sides work; called, it runs once, on its own clock.

    Attributes:
        about: what `prepare` said.
    """

    def __init__(self, prepare: Callable[..., Prepared], *arguments: Any) -> None:
        """Start the process and wait until its task is ready; `prepare` and `arguments` are sent to it."""
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        self._process = context.Process(target=_serve, args=(end, prepare, arguments), daemon=True)
        self._process.start()
        end.close()
        self.about: Row = self._answer()

    def __call__(self) -> Timed:
        found: Timed = self._asked("run")
        return found

    def peak_memory(self) -> float:
        """The most memory that the process has had, in MB, interpreter and torch included."""
        return float(self._asked("memory"))

    def close(self) -> None:
        self._pipe.close()
        self._process.join()

    def _asked(self, question: str) -> Any:
        self._pipe.send(question)
        return self._answer()

    def _answer(self) -> Any:
        try:
            return self._pipe.recv()
        except EOFError:
            raise SystemExit("one side ended; what it said stands above.") from None


def _serve(pipe: Connection, prepare: Callable[..., Prepared], arguments: tuple[Any, ...]) -> None:
    prepared = prepare(*arguments)
    pipe.send(prepared.about)
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        pipe.send(timed(prepared.task) if question == "run" else _peak_memory())


def _peak_memory() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        # There ru_maxrss begins with what the parent held when it started this process.
        (kilobytes,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(kilobytes) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss, in MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
