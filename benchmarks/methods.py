"""Every method, fully trained on digits: best and last robust accuracy, robust gap, and the loss at alpha = +-1.

    OMP_NUM_THREADS=1 python benchmarks/methods.py --runs RUNS [--out benchmarks/results/methods.csv] [NAME ...]

`at-500` and `trades-500` see the 500 labelled examples of `rst` only; AT and TRADES on all 1,000 are its ceiling.
Run folders go to RUNS/<name>-seed<seed>; a stopped script goes on where it was, and rows of other runs in the CSV file
stay. One row for each finished run:
PGD-20 on all examples from the checkpoints' own metrics, and the mean adversarial loss at alpha = -1 and 1 over 10
filter-normalized directions (500 training examples, PGD-10).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import landscape
from landscape.attacks.suite import parse_attack
from landscape.checkpoints import load_checkpoint
from landscape.files import written_atomically
from landscape.training.config import TrainConfig
from landscape.training.fit import train

SEEDS = {"at": (0, 1, 2), "at-awp": (0, 1, 2)}
"""Seeds of a run; all others have seed 0."""

RUNS: dict[str, dict[str, Any]] = {
    "at": {},
    "at-awp": {},
    "at-rwp": {},
    "at-random": {},
    "trades": {},
    "trades-awp": {},
    "mart": {},
    "mart-awp": {},
    "rst": {"labelled": 500},
    "rst-awp": {"labelled": 500},
    "at-500": {"method": "at", "train_examples": 500},
    "trades-500": {"method": "trades", "train_examples": 500},
}
"""Settings of a run by its name, which is its method where none is named."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/methods.csv"))
    given = parser.parse_args()

    for name in given.names or RUNS:
        for seed in SEEDS.get(name, (0,)):
            folder = given.runs / f"{name}-seed{seed}"
            settings = {"method": name, "seed": seed, "device": "cpu", **RUNS[name]}
            train(TrainConfig(**settings), folder)
            row = {"method": name, "seed": seed, **figures_of(folder, given.runs / "surfaces")}
            print(row, flush=True)
            write(row, given.out)


def figures_of(folder: Path, cache: Path) -> dict[str, Any]:
    """The numbers of one finished run."""
    row: dict[str, Any] = {}
    for name in ("best", "last"):
        checkpoint = load_checkpoint(folder / f"{name}.pt")
        metrics = checkpoint.training["metrics"]
        row[f"{name}_epoch"] = checkpoint.training["epoch"]
        for split, kind in (("test", "natural"), ("test", "robust"), ("train", "robust")):
            row[f"{name}_{split}_{kind}"] = round(100 * metrics[f"{split}_{kind}_accuracy"], 2)
        row[f"{name}_gap"] = round(100 * metrics["robust_gap"], 2)
    checkpoint = load_checkpoint(folder / "last.pt")
    attack = parse_attack("pgd-10", checkpoint.threat, step_size=checkpoint.step_size)
    examples = landscape.load_examples("digits", num_examples=500)
    surface = landscape.compute_surface(
        checkpoint, examples, attack=attack, grid="-1:1:5", device="cpu", cache_dir=cache
    )
    means = surface.mean().mean(axis=0)
    rise = landscape.rise(surface, 0.5)
    row |= {"loss_at_minus_1": round(float(means[0]), 3), "loss_at_1": round(float(means[-1]), 3)}
    row |= {"rise_at_half": None if rise is None else round(rise.value, 3)}
    return row


def write(row: dict[str, Any], path: Path) -> None:
    """Put a row in its place among those of the file, which it may replace."""
    rows = {(row["method"], str(row["seed"])): row}
    if path.exists():
        with open(path, newline="", encoding="utf-8") as stream:
            rows = {(old["method"], old["seed"]): old for old in csv.DictReader(stream)} | rows
    with written_atomically(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, fieldnames=list(row), lineterminator="\n")
        table.writeheader()
        order = list(RUNS)
        table.writerows(sorted(rows.values(), key=lambda one: (order.index(one["method"]), int(one["seed"]))))


if __name__ == "__main__":
    main()
