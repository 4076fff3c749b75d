"""Seconds of AT and AT-AWP epochs on the device, batch 128, the trainer as `landscape train` runs it."""

from __future__ import annotations

import time

import torch
from cuda_bench import Bench
from subjects import SEED

from landscape.datasets.registry import dataset_info
from landscape.devices import arithmetic
from landscape.training.config import TrainConfig, effective
from landscape.training.trainer import Trainer

BATCH_SIZE = 128
EPOCH_BAR = 10.0
EPOCHS = tuple((method, precision) for precision in ("bf16", "tf32", "fp32") for method in ("at", "at-awp"))
"""What matters most comes first."""

SHARE_OF_OTHERS = 0.3
"""Of the time for an epoch, what those in other precisions than bf16 get."""


def epochs(bench: Bench) -> None:
    """One epoch each, or as much of it as its share of time allows: then the rest is scaled, and said to be."""
    for method, precision in EPOCHS:
        variant = f"{method}, {precision}"
        seconds = bench.sizes.epoch_seconds * (1 if precision == "bf16" else SHARE_OF_OTHERS)
        if bench.left < seconds + 5:
            bench.say("epochs", "seconds of an epoch", variant, "not run", "", "budget")
            continue
        with bench.trying("epochs", variant):
            _epoch(bench, variant, make_trainer(bench, method, precision), precision, seconds=seconds)


def compiled_epoch(bench: Bench) -> None:
    """AT in bf16 with torch.compile; its first updates compile."""
    torch.compiler.reset()  # all cases share one limit of graphs
    trainer = make_trainer(bench, "at", "bf16", compiled=True)
    _epoch(bench, "at, bf16, compiled", trainer, "bf16", seconds=bench.sizes.epoch_seconds)


def graphed_epoch(bench: Bench) -> None:
    """The same with CUDA graphs, which the package does not use: whether they would be worth it."""
    torch.compiler.reset()
    trainer = make_trainer(bench, "at", "bf16")
    trainer.model.compile(mode="reduce-overhead")
    _epoch(bench, "at, bf16, graphs", trainer, "bf16", seconds=bench.sizes.epoch_seconds)


def make_trainer(bench: Bench, method: str, precision: str, *, compiled: bool = False) -> Trainer:
    """A trainer at its beginning, with the augmentation of CIFAR-10 on."""
    size = min(BATCH_SIZE, max(2, len(bench.examples) // 4))
    config = TrainConfig(
        method=method, dataset="cifar10", batch_size=size, seed=SEED, precision=precision, compile=compiled
    )
    return Trainer(bench.fresh(), bench.examples, effective(config, dataset_info("cifar10")), bench.device)


def run_batches(bench: Bench, trainer: Trainer, precision: str, *, until: int, seconds: float = 1e9) -> int:
    """Train on until a batch of the running epoch, or a time, is reached; how many batches that were."""
    before, began = trainer.progress.batch, time.monotonic()

    def should_stop() -> bool:
        late = time.monotonic() - began > seconds
        if late or trainer.progress.batch % 8 == 0:
            bench.synchronize()  # else the clock of a device that works behind the calls would say nothing
            late = time.monotonic() - began > seconds
        return late or trainer.progress.batch >= until

    with arithmetic(precision, bench.device):
        trainer.run_epoch(should_stop=should_stop, on_batch=lambda *_: None)
    return trainer.progress.batch - before


def _epoch(bench: Bench, variant: str, trainer: Trainer, precision: str, *, seconds: float) -> None:
    bench.forget_memory()
    warm = bench.timed(lambda: run_batches(bench, trainer, precision, until=2))
    bench.say("epochs", "first two updates", variant, warm.seconds, "s")
    trainer.progress.batch = 0
    # Without the last batch, which is smaller; an epoch has one update more.
    full = max(1, trainer.num_batches - 1)
    one = bench.timed(lambda: run_batches(bench, trainer, precision, until=full, seconds=seconds))
    whole = one.seconds * trainer.num_batches / one.result
    basis = f"{one.result} of {trainer.num_batches} updates" + ("" if one.result == full else ", the rest scaled")
    target = f" (target {EPOCH_BAR:g})" if variant.startswith("at, ") else ""
    bench.say("epochs", f"seconds of an epoch{target}", variant, whole, "s", basis)
    bench.say("epochs", "largest memory in use", variant, bench.peak_memory, "GiB")
