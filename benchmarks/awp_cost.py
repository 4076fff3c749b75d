"""What adversarial weight perturbation costs: epochs of AT-AWP against epochs of AT, and against one training pass.

    python benchmarks/awp_cost.py [--case digits|preact|all] [--repeats 5] [--out benchmarks/results]

By passes through the model AT costs 10 forward and 10 input-gradient passes for the attack and one more forward, then
a forward and a weight-gradient pass; AWP adds one forward and one weight-gradient pass: 12 % if a weight gradient costs
twice a forward. The bar is 15 %, and at most 1.2 times the seconds of the pass that was added. Run it alone.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from harness import (
    RESULTS,
    Row,
    append_rows,
    column,
    facts,
    interleaved,
    note,
    print_table,
    spread,
    verdict,
    warn_if_busy,
)
from subjects import SEED, cifar_shaped
from torch import nn

from landscape.datasets.examples import Examples
from landscape.datasets.registry import dataset_info, load_examples
from landscape.models.registry import build_model
from landscape.training.config import TrainConfig, effective
from landscape.training.trainer import Trainer

OVERHEAD_BAR, PASSES_BAR = 15.0, 1.2
BATCH_SIZE = 128


def digits() -> tuple[nn.Module, Examples, str]:
    return build_model("small_cnn"), load_examples("digits"), "small_cnn, 1,000 digits"


def preact() -> tuple[nn.Module, Examples, str]:
    examples, inputs = cifar_shaped(256, None)
    return build_model("preact_resnet18", width=16), examples, f"preact_resnet18 of width 16, 256 of {inputs}"


CASES: dict[str, Callable[[], tuple[nn.Module, Examples, str]]] = {"digits": digits, "preact": preact}


def epochs_of(method: str, model: nn.Module, examples: Examples, dataset: str) -> Callable[[], Any]:
    """One epoch at each call, augmentation off."""
    config = TrainConfig(method=method, dataset=dataset, batch_size=BATCH_SIZE, augmentation="none", seed=SEED)
    trainer = Trainer(model, examples, effective(config, dataset_info(dataset)), torch.device("cpu"))

    def epoch() -> None:
        trainer.progress.batch = 0
        trainer.run_epoch(should_stop=lambda: False, on_batch=lambda *_: None)

    return epoch


def passes_of(model: nn.Module, examples: Examples) -> Callable[[], Any]:
    """One forward and one weight-gradient pass over the examples, what AWP adds."""
    model = model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    inputs = examples.inputs.contiguous(memory_format=torch.channels_last)

    def run() -> None:
        for first in range(0, len(inputs), BATCH_SIZE):
            rows = slice(first, first + BATCH_SIZE)
            loss = F.cross_entropy(model(inputs[rows]), examples.labels[rows])
            torch.autograd.grad(loss, list(model.parameters()))

    return run


def run_case(case: str, repeats: int) -> tuple[list[Row], dict[str, str], bool]:
    """CSV rows, a column of the table, and whether the bar was met."""
    torch.manual_seed(SEED)
    dataset = "digits" if case == "digits" else "cifar10"
    tasks = {}
    for method in ("at", "at-awp"):
        model, examples, about = CASES[case]()
        tasks[method] = epochs_of(method, model, examples, dataset)
    tasks["pass"] = passes_of(CASES[case]()[0], examples)
    note(f"{case}: {about}")
    for task in tasks.values():
        task()
    rounds = list(interleaved(tasks, repeats))
    plain, perturbed, one = (column(rounds, name) for name in tasks)
    cost = [100 * (b / a - 1) for a, b in zip(plain, perturbed, strict=True)]
    passes = [(b - a) / c for a, b, c in zip(plain, perturbed, one, strict=True)]
    met = statistics.median(cost) <= OVERHEAD_BAR and statistics.median(passes) <= PASSES_BAR
    machine = facts(threads=torch.get_num_threads())
    rows = [
        {
            "repeat": repeat,
            "about": about,
            "at_s": plain[repeat - 1],
            "at_awp_s": perturbed[repeat - 1],
            "pass_s": one[repeat - 1],
            "overhead_percent": cost[repeat - 1],
            "extra_passes": passes[repeat - 1],
            **machine,
        }
        for repeat in range(1, repeats + 1)
    ]
    table = {
        "model, examples": about,
        "AT, min / median, s": spread(plain),
        "AT-AWP, min / median, s": spread(perturbed),
        "one training pass, min / median, s": spread(one),
        "AWP costs, paired min / median": f"{spread(cost, 1)} % (bar {OVERHEAD_BAR:g} %)",
        "in training passes": f"{spread(passes, 2)} (bar {PASSES_BAR:g})",
        "bar": verdict(met),
    }
    return rows, table, met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=(*CASES, "all"), default="all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    warn_if_busy()
    columns, all_met = {}, True
    for case in CASES if given.case == "all" else (given.case,):
        rows, columns[case], met = run_case(case, given.repeats)
        append_rows(given.out / f"awp-cost-{case}.csv", rows)
        all_met &= met
    labels = list(next(iter(columns.values())))
    print_table([["", *columns], *[[label, *(table[label] for table in columns.values())] for label in labels]])
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
