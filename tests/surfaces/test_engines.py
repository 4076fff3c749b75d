from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from landscape.surfaces.engines import InProcess, completed


def test_every_item_is_computed_once_in_order_in_this_process() -> None:
    seen: list[int] = []

    def work(item: int) -> int:
        seen.append(item)
        return item * item

    assert list(completed(InProcess(), work, range(5))) == [(i, i * i) for i in range(5)]
    assert seen == list(range(5))


def test_results_arrive_before_the_next_item_starts() -> None:
    started: list[int] = []
    results = completed(InProcess(), started.append, range(3))
    next(results)
    assert started == [0]


def test_another_executor_gives_the_same_results_in_any_order() -> None:
    with ThreadPoolExecutor(3) as pool:
        assert sorted(completed(pool, lambda item: -item, range(20), in_flight=5)) == [(i, -i) for i in range(20)]


def test_a_failure_reaches_the_caller() -> None:
    def work(item: int) -> int:
        raise ValueError("point 3")

    with pytest.raises(ValueError, match="point 3"):
        list(completed(InProcess(), work, [3]))
