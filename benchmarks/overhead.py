"""What journal, cache and progress cost: the whole digits sweep with them against the same without any."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import torch
from harness import (
    Row,
    Timed,
    column,
    facts,
    file_system,
    interleaved,
    note,
    paired_ratios,
    spread,
    verdict,
)
from subjects import SEED, Disagreement, digits_model

from landscape.cli.progress import progress_bar
from landscape.datasets.registry import load_examples
from landscape.surfaces.compute import run_plan
from landscape.surfaces.plan import SurfacePlan, plan_surface
from landscape.surfaces.surface import Grid, Surface

OVERHEAD_BAR = 2.0

Progress = Callable[[int, int], None]


class Relay:
    """Runs sweeps in turns of a few points, so that a drift of the machine hits all of them alike.

    Each sweep has a thread of its own, but only the one that holds the baton runs, and only its own clock goes. The
    baton is passed in the progress callback.
    """

    def __init__(self, points_per_turn: int) -> None:
        self._points_per_turn = points_per_turn
        self._condition = threading.Condition()
        self._runners: list[str] = []

    def run(self, sweeps: Mapping[str, Callable[[Progress], Surface]]) -> dict[str, Timed]:
        """Run the sweeps, each of which takes a progress callback; gives back each one's own seconds and surface."""
        self._runners = list(sweeps)
        results: dict[str, Timed] = {}
        failed: list[BaseException] = []
        threads = [threading.Thread(target=self._one, args=(*item, results, failed)) for item in sweeps.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return results

    def _one(
        self, name: str, sweep: Callable[[Progress], Surface], results: dict[str, Timed], failed: list[BaseException]
    ) -> None:
        self._await(name)
        seconds, since = 0.0, time.perf_counter()

        def progress(done: int, total: int) -> None:
            nonlocal seconds, since
            if done and done % self._points_per_turn == 0:
                seconds += time.perf_counter() - since
                self._pass_on(name, stay=True)
                self._await(name)
                since = time.perf_counter()

        try:
            surface = sweep(progress)
            results[name] = Timed(seconds + time.perf_counter() - since, surface)
        except BaseException as error:
            failed.append(error)
        finally:
            self._pass_on(name, stay=False)

    def _await(self, name: str) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._runners[0] == name)

    def _pass_on(self, name: str, *, stay: bool) -> None:
        with self._condition:
            self._runners.remove(name)
            if stay:
                self._runners.append(name)
            self._condition.notify_all()


def run_overhead(out: Path, directions: int, points: int, repeats: int) -> tuple[list[Row], dict[str, str], bool]:
    """CSV rows, a column of the table, and whether the bar was met."""
    model, _, attack, weights = digits_model()
    examples = load_examples("digits", num_examples=500, seed=SEED)
    plan = plan_surface(
        model, examples, attack=attack, directions=directions, grid=Grid.line(-1, 1, points), seed=SEED, device="cpu"
    )
    note(f"overhead: {weights}; {directions} x {points} points, in turns of {points}")
    out.mkdir(parents=True, exist_ok=True)
    surface = run_plan(plan)  # warm-up, and the measurements that cost nothing to make again below
    rounds = []
    # Beside the results rather than in /tmp, which may be memory, where a sync is free.
    with tempfile.TemporaryDirectory(dir=out, prefix=".cache-") as folder:
        for repeat in range(repeats):
            sweeps: dict[str, Callable[[Progress], Surface]] = {
                "cached": lambda turn: _cached(plan, Path(folder), None, turn),
                "memory": lambda turn: run_plan(plan, progress=turn),
            }
            order = list(sweeps) if repeat % 2 == 0 else list(reversed(sweeps))
            round_ = Relay(points).run({name: sweeps[name] for name in order})
            free = {
                "cached_free": lambda: _cached(plan, Path(folder), Replayed(surface)),
                "memory_free": lambda: run_plan(plan, executor=Replayed(surface)),
            }
            rounds.append({**round_, **next(interleaved(free, 1))})
            note(f"  repeat {repeat + 1} of {repeats}: " + _seconds(round_))
        kind = file_system(Path(folder))
    _require_equal_surfaces(surface, rounds)
    about = {
        "file_system": kind,
        "model": weights,
        "num_examples": len(examples),
        "num_points": len(plan.points()),
        "batch_size": plan.ready().batch_size,
        **facts(threads=torch.get_num_threads()),
    }
    rows = [_row(repeat, round_) | about for repeat, round_ in enumerate(rounds, start=1)]
    return rows, *_column(rows, rounds)


def _row(repeat: int, round_: Mapping[str, Timed]) -> Row:
    seconds = {name: one.seconds for name, one in round_.items()}
    alone = seconds["cached_free"] - seconds["memory_free"]
    return {
        "repeat": repeat,
        "cached_s": seconds["cached"],
        "memory_s": seconds["memory"],
        "overhead_percent": 100 * (seconds["cached"] / seconds["memory"] - 1),
        "bookkeeping_s": alone,
        "bookkeeping_percent": 100 * alone / seconds["memory"],
    }


def _seconds(round_: Mapping[str, Timed]) -> str:
    return ", ".join(f"{name} {round_[name].seconds:.3f} s" for name in sorted(round_))


def _column(rows: list[Row], rounds: list[dict[str, Timed]]) -> tuple[dict[str, str], bool]:
    cached, memory = column(rounds, "cached"), column(rounds, "memory")
    paired = [row["overhead_percent"] for row in rows]
    alone = [row["bookkeeping_percent"] for row in rows]
    met = statistics.median(alone) < OVERHEAD_BAR and statistics.median(paired) < OVERHEAD_BAR
    seconds = statistics.median(row["bookkeeping_s"] for row in rows)
    first = rows[0]
    table = {
        "A against B": f"cache on {first['file_system']} against cache_dir=None",
        "weights": first["model"],
        "inputs": "digits, train split",
        "examples x points": f"{first['num_examples']} x {first['num_points']}, PGD-10",
        "batch size A, B": f"{first['batch_size']}, {first['batch_size']}",
        "A min / median, s": spread(cached),
        "B min / median, s": spread(memory),
        "B/A of minima": f"{min(memory) / min(cached):.3f}",
        "B/A paired min / median": spread(paired_ratios(memory, cached), 3),
        "bar": f"cost < {OVERHEAD_BAR:g} %: {verdict(met)}",
        "cost, paired min / median": f"{spread(paired, 2)} %",
        "cost, points free of charge": f"{spread(alone, 2)} % ({seconds:.3f} s)",
        "mean losses differ by": "0 (every loss, bit for bit)",
    }
    return table, met


class Replayed(Executor):
    """Gives back measurements that are already there: what remains of a sweep's time is everything but the points."""

    def __init__(self, surface: Surface) -> None:
        self._measurements = {point: surface.measurement(point) for point in surface.done_points()}

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(self._measurements[args[0]])
        return future


def _cached(plan: SurfacePlan, folder: Path, executor: Executor | None, turn: Progress | None = None) -> Surface:
    with (
        tempfile.TemporaryDirectory(dir=folder) as cache,
        progress_bar("overhead") as shown,
    ):

        def progress(done: int, total: int) -> None:
            shown(done, total)
            if turn is not None:
                turn(done, total)

        surface = run_plan(plan, cache_dir=cache, progress=progress, executor=executor)
        _ = surface.adversarial_loss  # read lazily; afterwards the file is gone
        return surface


def _require_equal_surfaces(surface: Surface, rounds: list[dict[str, Timed]]) -> None:
    expected = surface.adversarial_loss.tobytes()
    for round_ in rounds:
        for name, one in round_.items():
            if not one.result.complete or one.result.adversarial_loss.tobytes() != expected:
                raise Disagreement(f"overhead: the surface of {name!r} is another one.")
