"""The picture of `results/methods.csv`: robust accuracy, robust gap and height of the landscape of every method.

python benchmarks/methods_figure.py [--csv benchmarks/results/methods.csv] [--out figures/methods.png]
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

COLOURS = {"none": "#000000", "awp": "#0072b2", "rwp": "#d55e00", "random": "#009e73"}
"""By weight perturbation, of Okabe and Ito."""

WORDS = {"none": "no weight perturbation", "awp": "adversarial", "rwp": "robust (RWP)", "random": "random"}

Row = dict[str, str]


def read(path: Path) -> dict[str, list[Row]]:
    """The rows of each run, in the order of the file."""
    runs: dict[str, list[Row]] = {}
    with open(path, newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            runs.setdefault(row["method"], []).append(row)
    return runs


def perturbation_of(run: str) -> str:
    return next((name for name in ("awp", "rwp", "random") if f"-{name}" in run), "none")


def draw(axes: Axes, runs: dict[str, list[Row]], values: Callable[[Row], tuple[float, float]]) -> None:
    """One line of marks for each run: open for the first value, filled for the second; seeds beside each other."""
    for place, (run, rows) in enumerate(runs.items()):
        colour = COLOURS[perturbation_of(run)]
        for number, row in enumerate(rows):
            height = place + 0.22 * (number - (len(rows) - 1) / 2)
            first, second = values(row)
            axes.plot([first, second], [height, height], color=colour, linewidth=0.8, zorder=1)
            axes.plot(first, height, "o", markersize=5, markerfacecolor="white", color=colour, zorder=2)
            axes.plot(second, height, "o", markersize=5, color=colour, zorder=3)
    axes.grid(axis="x", linewidth=0.4, alpha=0.6)
    axes.set_axisbelow(True)


def figure_of(runs: dict[str, list[Row]]) -> Figure:
    figure = Figure(figsize=(10.5, 0.36 * len(runs) + 2.3), layout="constrained")
    left, middle, right = figure.subplots(1, 3, sharey=True)
    draw(left, runs, lambda row: (float(row["best_test_robust"]), float(row["last_test_robust"])))
    draw(middle, runs, lambda row: (float(row["best_gap"]), float(row["last_gap"])))
    draw(right, runs, lambda row: (float(row["loss_at_minus_1"]), float(row["loss_at_1"])))
    left.set_xlabel("robust test accuracy, PGD-20 (%)\nopen: best epoch, filled: last")
    middle.set_xlabel("robust generalization gap (points)\nopen: best epoch, filled: last")
    right.set_xlabel("mean adversarial loss, last epoch (nats)\nopen: α = −1, filled: α = 1")
    left.set_yticks(range(len(runs)), list(runs))
    left.invert_yaxis()
    marks = [Line2D([], [], marker="o", linestyle="", color=COLOURS[name], label=WORDS[name]) for name in COLOURS]
    figure.legend(handles=marks, loc="outside upper center", ncols=4, frameon=False, title="weight perturbation")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, default=Path("benchmarks/results/methods.csv"))
    parser.add_argument("--out", type=Path, default=Path("figures/methods.png"))
    given = parser.parse_args()
    figure_of(read(given.csv)).savefig(given.out, dpi=150)
    print(given.out)


if __name__ == "__main__":
    main()
