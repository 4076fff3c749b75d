"""How the cost of a digits sweep grows with points, examples and attack steps: is it linear?

    python benchmarks/growth.py [--repeats 5] [--out benchmarks/results]

Also the time to the first point. Every quantity is doubled twice, all sizes run in turn, and the table shows what a
doubling costs: 2 is linear, less says that something does not grow, more that something is wrong. No bar.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from harness import RESULTS, Row, append_rows, column, facts, interleaved, note, print_table, spread, warn_if_busy
from subjects import SEED, digits_model

from landscape.datasets.registry import load_examples
from landscape.surfaces.compute import compute_surface
from landscape.surfaces.surface import Grid


@dataclass(frozen=True, kw_only=True)
class Work:
    """A sweep along one direction."""

    points: int = 12
    examples: int = 250
    steps: int = 10

    @property
    def name(self) -> str:
        return f"{self.points} points, {self.examples} examples, PGD-{self.steps}"


BASE = Work()
GROWING = {
    "points": [replace(BASE, points=number) for number in (6, 12, 24)],
    "examples": [replace(BASE, examples=number) for number in (125, 250, 500)],
    "steps": [replace(BASE, steps=number) for number in (5, 10, 20)],
}


def sweep_of(work: Work) -> Callable[[], Any]:
    given, _, attack, _ = digits_model()
    examples = load_examples("digits", num_examples=work.examples, seed=SEED)
    grid = Grid.line(-1, 1, work.points)
    attack = replace(attack, num_steps=work.steps)
    # One batch size for all: by memory alone, larger sets would run in other batches.
    return lambda: compute_surface(
        given, examples, attack=attack, directions=1, grid=grid, batch_size=125, device="cpu"
    )


def first_point() -> None:
    """What stands between a call and its first point: the centre and one node."""
    given, _, attack, _ = digits_model()
    examples = load_examples("digits", num_examples=BASE.examples, seed=SEED)
    compute_surface(given, examples, attack=attack, directions=1, grid=Grid(alpha=(0.5,)), batch_size=125, device="cpu")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    warn_if_busy()
    works = {work.name: work for series in GROWING.values() for work in series}
    tasks = {name: sweep_of(work) for name, work in works.items()} | {"first point": first_point}
    for task in tasks.values():
        task()
    note("warmed up")
    rounds = list(interleaved(tasks, given.repeats))
    machine = facts(threads=torch.get_num_threads())
    rows: list[Row] = []
    table = [["growing", "sizes", "min / median, s", "a doubling costs, medians"]]
    for what, series in GROWING.items():
        times = [column(rounds, work.name) for work in series]
        medians = [statistics.median(part) for part in times]
        factors = ["", *(f"{b / a:.2f}" for a, b in zip(medians, medians[1:], strict=False))]
        for work, part, factor in zip(series, times, factors, strict=True):
            table.append([what, work.name, spread(part), factor])
            rows += [
                {"growing": what, **vars(work), "repeat": repeat, "seconds": seconds, **machine}
                for repeat, seconds in enumerate(part, start=1)
            ]
    first = column(rounds, "first point")
    table.append(["", "centre and one node, examples and directions drawn", spread(first), ""])
    rows += [
        {"growing": "first point", **vars(replace(BASE, points=1)), "repeat": repeat, "seconds": seconds, **machine}
        for repeat, seconds in enumerate(first, start=1)
    ]
    append_rows(given.out / "growth.csv", rows)
    print_table(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
