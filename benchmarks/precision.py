"""How far each precision moves the mean loss, beside its standard error: the evidence for the default.

    python benchmarks/precision.py [--device cpu] [--examples 500] [--out benchmarks/results]

The bundled digits checkpoints along two directions; every precision attacks for itself, as a sweep does, and is
compared with the same sweep in double precision.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from harness import RESULTS, Row, append_rows, facts, print_table
from subjects import SEED
from torch import Tensor, nn

from landscape.attacks.measure import measure
from landscape.attacks.pgd import PGD
from landscape.checkpoints import load_checkpoint
from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.devices import arithmetic, find_device
from landscape.names import PRECISIONS
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.surface import Grid
from landscape.weights import Weights, bind, displaced, parameters_of

CHECKPOINTS, NUM_DIRECTIONS = ("digits-at", "digits-at-awp"), 2


def losses(model: nn.Module, weights: Weights, examples: Examples, attack: PGD, precision: str) -> Tensor:
    """Adversarial losses (n,) of a model with numbers of the weights' type, as double-precision numbers."""
    device, dtype = examples.inputs.device, next(iter(weights.values())).dtype
    starts = attack.starts(examples.ids.cpu(), examples.image_shape, seed=SEED)
    with arithmetic(precision, device):
        found = measure(
            bind(model, weights),
            examples.inputs.to(dtype),
            examples.labels,
            attack,
            starts=None if starts is None else starts.to(device, dtype),
            batch_size=256,
        )
    return torch.from_numpy(found.adversarial_loss).double()


def deviations(name: str, count: int, device: torch.device) -> Iterator[Row]:
    """For each node and precision, the mean loss, its standard error, and how far it is from double precision."""
    checkpoint = load_checkpoint(name)
    if checkpoint.threat is None or checkpoint.step_size is None:
        raise SystemExit(f"{name} does not say its threat model.")
    attack = PGD(threat=checkpoint.threat, step_size=checkpoint.step_size, num_steps=10)
    examples = load_examples("digits", num_examples=count, seed=SEED).to(device)
    model, double = checkpoint.model.to(device), copy.deepcopy(checkpoint.model).double().to(device)
    center = {name: weight.cpu() for name, weight in parameters_of(model).items()}
    for line in range(NUM_DIRECTIONS):
        direction = RandomDirections(seed=SEED).direction(center, line)
        for alpha in Grid.line(-1, 1, 11).alpha:
            weights = {name: weight.to(device) for name, weight in displaced(center, (alpha, direction)).items()}
            twice = {name: weight.double() for name, weight in weights.items()}
            expected = losses(double, twice, examples, attack, "fp32")
            error = float(expected.std()) / math.sqrt(count)
            for precision in PRECISIONS:
                off = float((losses(model, weights, examples, attack, precision) - expected).mean())
                yield {
                    "checkpoint": name,
                    "direction": line,
                    "alpha": alpha,
                    "precision": precision,
                    "mean_loss": float(expected.mean()),
                    "standard_error": error,
                    "deviation": off,
                }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    device = find_device(given.device)
    rows = [row for name in CHECKPOINTS for row in deviations(name, given.examples, device)]
    machine = {"num_examples": given.examples, "device": str(device), **facts(threads=torch.get_num_threads())}
    append_rows(given.out / "precision.csv", [{**row, **machine} for row in rows])
    table = [["checkpoint", "precision", "largest deviation", "of the mean loss", "in standard errors", "mean, in SE"]]
    for name in CHECKPOINTS:
        for precision in PRECISIONS:
            some = [row for row in rows if (row["checkpoint"], row["precision"]) == (name, precision)]
            shares = [row["deviation"] / row["standard_error"] for row in some]
            table.append(
                [
                    name,
                    precision,
                    f"{max(abs(row['deviation']) for row in some):.1e} nats",
                    f"{max(abs(row['deviation'] / row['mean_loss']) for row in some):.1e}",
                    f"{max(map(abs, shares)):.1e}",
                    f"{sum(shares) / len(shares):+.1e}",
                ]
            )
    print_table(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
