"""Ctrl-C as a request: the first one asks the work to stop where nothing is lost, the second one ends it at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import click

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_requests(message: str) -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether a stop was asked for; `message`, unless it is empty, is shown when it is.

    Handlers stand for the block only; outside the main thread, where Python allows none, nothing is ever asked for.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        if message:
            click.echo(message, err=True)

    before: dict[signal.Signals, Any] = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
