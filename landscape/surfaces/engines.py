"""Where points run: anything that is a `concurrent.futures.Executor`; by default this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class InProcess(Executor):
    """Runs each call at once, in the calling thread; an interrupt reaches the caller."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The finished future of the call."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # handed to whoever asks for the result, as every executor does
            future.set_exception(error)
        return future


def completed(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item], *, in_flight: int = 1
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, function(item)) as they finish, with at most `in_flight` calls submitted at a time.

    Results are taken and forgotten one by one, so that a sweep of any length needs the memory of a few points.
    """
    waiting = iter(items)
    running = {executor.submit(function, item): item for item in islice(waiting, in_flight)}
    while running:
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            yield running.pop(future), future.result()
        for item in islice(waiting, in_flight - len(running)):
            running[executor.submit(function, item)] = item
