"""Robust overfitting on real pictures, small: AT and AT-AWP of a narrow PreActResNet-18 on a part of CIFAR-10.

    python benchmarks/overfitting.py at --out RUNS/cifar10-at
    python benchmarks/overfitting.py at-awp --out RUNS/cifar10-at-awp

Resumable: the same call goes on. Training examples: the first 2,500 of the package's permutation of the training split
(seed 0); test examples: the first 1,000 of that of the test split.
"""

from __future__ import annotations

import argparse

from landscape.datasets.registry import load_examples
from landscape.training.config import TrainConfig
from landscape.training.fit import train
from landscape.training.history import Row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=["at", "at-awp"])
    parser.add_argument("--out", required=True)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--train-examples", type=int, default=2500)
    parser.add_argument("--test-examples", type=int, default=1000)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir", default=None)
    given = parser.parse_args()

    examples = (
        load_examples("cifar10", split="train", num_examples=given.train_examples, data_dir=given.data_dir),
        load_examples("cifar10", split="test", num_examples=given.test_examples, data_dir=given.data_dir),
    )
    config = TrainConfig(
        method=given.method,
        model="preact_resnet18",
        model_arguments={"width": given.width},
        epochs=given.epochs,
        batch_size=given.batch_size,
        lr=given.lr,
        eval_every=5,
        eval_examples=1000,
        checkpoint_every=5,
        seed=given.seed,
    )

    def show(row: Row) -> None:
        print({name: round(value, 4) for name, value in row.items() if value is not None}, flush=True)

    print(train(config, given.out, examples=examples, on_epoch=show))


if __name__ == "__main__":
    main()
