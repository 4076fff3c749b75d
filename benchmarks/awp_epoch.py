"""An epoch of AT-AWP: the package's trainer against the way of the paper's code, PreActResNet-18 of width 16.

    python benchmarks/awp_epoch.py [--repeats 5] [--examples 256] [--width 16] [--out benchmarks/results]

Both sides run in turn, each in a process of its own, on the same batches, without augmentation. First it is asserted,
in double precision, that an update of either side gives the same weights and the same statistics of BatchNorm. The
bar: 1.3 times faster.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import torch
from harness import (
    RESULTS,
    append_rows,
    column,
    facts,
    interleaved,
    note,
    paired_ratios,
    print_table,
    spread,
    verdict,
    warn_if_busy,
)
from naive_training import NaiveTraining, Start
from sides import Prepared, Side
from subjects import SEED, cifar_shaped
from torch import Tensor, nn

from landscape.datasets.examples import Examples
from landscape.datasets.registry import dataset_info
from landscape.memory import keep_freed_memory
from landscape.models.registry import build_model
from landscape.training.config import Settings, TrainConfig, effective
from landscape.training.objectives import Batch
from landscape.training.recipes import recipe_of
from landscape.training.step import make_optimizer, update
from landscape.training.trainer import Trainer

EPOCH_BAR, WEIGHT_BAR = 1.3, 1e-8
BATCH_SIZE = 128
CHECKED = 8


def settings_of() -> Settings:
    config = TrainConfig(method="at-awp", dataset="cifar10", batch_size=BATCH_SIZE, augmentation="none", seed=SEED)
    return effective(config, dataset_info("cifar10"))


def network(width: int) -> nn.Module:
    torch.manual_seed(SEED)
    return build_model("preact_resnet18", width=width)


def naive_training(model: nn.Module, settings: Settings, start: Start) -> NaiveTraining:
    if settings.gamma is None:
        raise ValueError("at-awp has a gamma")
    return NaiveTraining(
        model=model,
        lr=settings.lr,
        gamma=settings.gamma,
        weight_decay=settings.weight_decay,
        epsilon=settings.epsilon,
        step_size=settings.step_size,
        num_steps=settings.attack_steps,
        start=start,
    )


def difference_after_update(width: int, examples: Examples) -> float:
    """Largest difference of weights and buffers after one update of either side in double precision, relative."""
    settings = settings_of()
    inputs, labels = examples.inputs[:CHECKED].double(), examples.labels[:CHECKED]
    recipe = recipe_of(settings)
    starts = recipe.crafting.starts(examples.ids[:CHECKED], examples.image_shape, seed=SEED, epoch=1)
    if starts is None:
        raise ValueError("the comparison needs an attack with a random start")
    ours, plain = network(width).double().train(), network(width).double()
    batch = Batch(inputs=inputs, labels=labels, starts=starts.double())
    update(ours, make_optimizer(ours, settings.lr), batch, recipe, epoch=0)
    theirs = naive_training(plain, settings, lambda _: starts[0].double())
    theirs.epoch([(inputs, labels)])
    expected = plain.state_dict()
    return max(_apart(value, expected[name]) for name, value in ours.state_dict().items())


def our_side(wanted: argparse.Namespace) -> Prepared:
    """An epoch of the package's trainer, warmed up, in a process that keeps freed memory as the command's does."""
    keep_freed_memory()
    examples, _ = cifar_shaped(wanted.examples, wanted.data_dir, split="train")
    trainer = Trainer(network(wanted.width), examples, settings_of(), torch.device("cpu"))

    def epoch() -> None:
        trainer.progress.batch = 0
        trainer.run_epoch(should_stop=lambda: False, on_batch=lambda *_: None)

    epoch()
    return Prepared(task=epoch)


def their_side(wanted: argparse.Namespace) -> Prepared:
    """An epoch in the way of the paper's code, warmed up."""
    settings = settings_of()
    examples, _ = cifar_shaped(wanted.examples, wanted.data_dir, split="train")

    def start(inputs: Tensor) -> Tensor:
        return torch.empty_like(inputs).uniform_(-settings.epsilon, settings.epsilon)

    training = naive_training(network(wanted.width), settings, start)
    order = torch.randperm(len(examples))
    batches = [(examples.inputs[rows], examples.labels[rows]) for rows in torch.split(order, BATCH_SIZE)]
    training.epoch(batches)
    return Prepared(task=lambda: training.epoch(batches))


def main() -> int:
    wanted = _parsed()
    warn_if_busy()
    examples, inputs = cifar_shaped(wanted.examples, wanted.data_dir, split="train")
    off = difference_after_update(wanted.width, examples)
    if not off <= WEIGHT_BAR:
        note(f"WRONG: after one update weights or statistics differ by {off:.1e}, bar {WEIGHT_BAR:g}.")
        return 1
    sides = {"ours": Side(our_side, wanted), "naive": Side(their_side, wanted)}
    rounds = list(interleaved(sides, wanted.repeats))
    ours, theirs = (column(rounds, name) for name in sides)
    ratios = paired_ratios(theirs, ours)
    about = f"preact_resnet18 of width {wanted.width}, {len(examples)} of {inputs}"
    machine = facts(threads=torch.get_num_threads())
    rows = [
        {
            "repeat": repeat + 1,
            "about": about,
            "ours_s": ours[repeat],
            "naive_s": theirs[repeat],
            "ratio": ratio,
            "weights_differ": off,
            **machine,
        }
        for repeat, ratio in enumerate(ratios)
    ]
    append_rows(wanted.out / "awp-epoch.csv", rows)
    met = statistics.median(ratios) >= EPOCH_BAR
    table = [
        ["", "AT-AWP epoch"],
        ["model, examples", about],
        ["ours, min / median, s", spread(ours)],
        ["as in the paper's code, min / median, s", spread(theirs)],
        ["times faster, paired min / median", spread(ratios, 2)],
        ["bar", f">= {EPOCH_BAR:g}: {verdict(met)}"],
        ["after one update weights differ by", f"{off:.1e}, float64 (bar {WEIGHT_BAR:g})"],
    ]
    print_table(table)
    return 0 if met else 1


def _apart(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max().clamp_min(1e-30))


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--data-dir", help="folder of CIFAR-10; $LANDSCAPE_DATA without, noise where there is none")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
