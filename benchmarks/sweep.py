"""The sweep against a plainly written naive loop, and what journal and cache cost.

    python benchmarks/sweep.py [--case digits|preact|torchattacks|overhead|all] [--repeats 5] [--out benchmarks/results]

Run it alone on the machine. Correctness is asserted in the same run; exit 1 if results differ or a bar is missed.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from harness import (
    RESULTS,
    Row,
    Timed,
    append_rows,
    column,
    facts,
    interleaved,
    note,
    paired_ratios,
    print_table,
    spread,
    timed,
    verdict,
    warn_if_busy,
)
from naive import NaiveLoop
from operations import forward_operations, sweep_passes
from overhead import run_overhead
from subjects import SEED, Disagreement, cifar_shaped, digits_model
from torch import nn

from landscape.attacks.pgd import PGD, input_gradient
from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import load_checkpoint
from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.devices import default_batch_size
from landscape.models.registry import build_model
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.surface import Grid
from landscape.surfaces.sweep import Sweep, SweepSettings
from landscape.weights import Weights, bind, displaced, parameters_of

CPU = torch.device("cpu")
NAIVE_BATCH_SIZES = (32, 64, 128, 250, 500)
GRADIENT_BAR, LOSS_BAR = 1e-5, 1e-3
DIGITS_BAR, PREACT_BAR, COMPILED_BAR, TORCHATTACKS_BAR = 1.8, 1.8, 2.0, 1.2

Column = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class GradientDifference:
    """How far the two sides' input gradients are apart.

    Attributes:
        double: in double precision, the largest over examples and points.
        single: in single precision, the median over them.
        kinks: in single precision, how many are beyond the bar.
    """

    double: float
    single: float
    kinks: int


@dataclass(frozen=True, kw_only=True)
class Contest:
    """What both sides compute.

    Attributes:
        case: its name.
        model: the model, in eval mode.
        weights: where its weights come from.
        examples: what is measured.
        inputs: where the examples come from.
        attack: PGD in L-inf, one restart.
        num_directions: how many lines.
        alphas: nodes along each of them.
        batch_size: of the package's side.
        naive_batch_sizes: the naive loop takes the fastest of these.
        bar: how many times faster the package must be.
        compiled_bar: the same with torch.compile; None where that is not timed.
        loop: the other side.
        other: what it is called.
    """

    case: str
    model: nn.Module
    weights: str
    examples: Examples
    inputs: str
    attack: PGD
    alphas: tuple[float, ...]
    batch_size: int
    naive_batch_sizes: tuple[int, ...]
    bar: float
    compiled_bar: float | None = None
    num_directions: int = 1
    loop: type[NaiveLoop] = NaiveLoop
    other: str = "naive loop"


def digits_contest(points: int, directions: int) -> Contest:
    _, model, attack, weights = digits_model()
    examples = load_examples("digits", num_examples=500, seed=SEED)
    return Contest(
        case="digits",
        model=model,
        weights=weights,
        examples=examples,
        inputs="digits, train split",
        attack=attack,
        alphas=Grid.line(-1, 1, points).alpha,
        batch_size=default_batch_size(model, examples.inputs[:1], CPU),
        naive_batch_sizes=NAIVE_BATCH_SIZES,
        bar=DIGITS_BAR,
        num_directions=directions,
    )


def preact_contest(checkpoint: str | None, data_dir: str | None, num_examples: int) -> Contest:
    examples, inputs = cifar_shaped(num_examples, data_dir)
    threat = ThreatModel(norm="linf", epsilon=8 / 255)
    if checkpoint is not None:
        loaded = load_checkpoint(checkpoint)
        model, weights = loaded.model, f"{loaded.model_name}, {loaded.name}"
    else:
        torch.manual_seed(SEED)
        model, weights = build_model("preact_resnet18").eval(), "preact_resnet18, random weights"
    return Contest(
        case="preact",
        model=model,
        weights=weights,
        examples=examples,
        inputs=inputs,
        attack=PGD(threat=threat, step_size=2 / 255, num_steps=10),
        alphas=Grid.line("-0.1", "0.1", 3).alpha,
        batch_size=32,
        naive_batch_sizes=(32,),
        bar=PREACT_BAR,
        compiled_bar=COMPILED_BAR,
    )


def torchattacks_contest(checkpoint: str | None, data_dir: str | None, num_examples: int) -> Contest:
    """As `preact`, against torchattacks' PGD; from the examples themselves, because its random starts are its own.

    Raises:
        ImportError: there is no torchattacks.
    """
    from torchattacks_loop import TorchattacksLoop

    contest = preact_contest(checkpoint, data_dir, num_examples)
    return replace(
        contest,
        case="torchattacks",
        attack=replace(contest.attack, random_start=False),
        bar=TORCHATTACKS_BAR,
        compiled_bar=None,
        loop=TorchattacksLoop,
        other="torchattacks",
    )


def run_contest(contest: Contest, repeats: int) -> tuple[list[Row], Column, bool]:
    """Time both sides in turn; gives CSV rows, a column of the table, and whether the bar was met."""
    note(f"{contest.case}: {contest.weights}; {contest.inputs}; {len(contest.examples)} examples")
    center, recipe = parameters_of(contest.model), RandomDirections(seed=SEED)
    directions = [recipe.direction(center, line) for line in range(contest.num_directions)]
    loops = [_naive_loop(contest, direction) for direction in directions]
    gradients = _compare_gradients(contest, directions[0])
    sweep = _our_sweep(contest, directions)
    points = [(line, index) for line in range(len(directions)) for index in range(len(contest.alphas))]
    set_up = timed(lambda: sweep(points[0])).seconds  # warm-up
    size = _best_batch_size(loops[0], contest)
    tasks: dict[str, Callable[[], Any]] = {"ours": lambda: [sweep(point) for point in points]}
    if contest.compiled_bar is not None:
        fused = _our_sweep(contest, directions, compiled=True)
        compiling = timed(lambda: fused(points[0])).seconds
        tasks["compiled"] = lambda: [fused(point) for point in points]
    tasks |= {
        "naive": lambda: [found for loop in loops for found in loop.sweep(contest.alphas, size)],
        "sgemm": matrix_product_speed,
    }
    rounds = list(interleaved(tasks, repeats))
    loss_difference = max(_compare_losses(contest, round_) for round_ in rounds)
    work = useful_operations(contest)
    about = {
        "model": contest.weights,
        "inputs": contest.inputs,
        "num_examples": len(contest.examples),
        "num_points": len(points),
        "num_steps": contest.attack.num_steps,
        "batch_ours": contest.batch_size,
        "batch_naive": size,
    }
    rows = [
        {
            "repeat": repeat,
            "ours_s": round_["ours"].seconds,
            "naive_s": round_["naive"].seconds,
            "ratio": round_["naive"].seconds / round_["ours"].seconds,
            "useful_gflop": work / 1e9,
            "sgemm_gflop_per_s": round_["sgemm"].result / 1e9,
            "gradient_difference_double": gradients.double,
            "gradient_difference_median": gradients.single,
            "gradient_kinks": gradients.kinks,
            "loss_difference": loss_difference,
            "first_point_s": set_up,
            **({} if contest.compiled_bar is None else _compiled_facts(round_, compiling)),
            **about,
            **facts(threads=torch.get_num_threads()),
        }
        for repeat, round_ in enumerate(rounds, start=1)
    ]
    return rows, *_contest_column(contest, rows, rounds)


def _contest_column(contest: Contest, rows: list[Row], rounds: list[dict[str, Timed]]) -> tuple[Column, bool]:
    ours, theirs = column(rounds, "ours"), column(rounds, "naive")
    ratios = paired_ratios(theirs, ours)
    first = rows[0]
    kinks = first["gradient_kinks"]
    ceiling = max(row["sgemm_gflop_per_s"] for row in rows)
    bars = {"ratio": contest.bar, **({} if contest.compiled_bar is None else {"compiled_ratio": contest.compiled_bar})}
    verdicts = {name: statistics.median(row[name] for row in rows) >= bar for name, bar in bars.items()}
    table = {
        "A against B": f"sweep against {contest.other}",
        "weights": first["model"],
        "inputs": first["inputs"],
        "examples x points": f"{first['num_examples']} x {first['num_points']}, PGD-{first['num_steps']}",
        "batch size A, B": f"{first['batch_ours']}, {first['batch_naive']}",
        "A min / median, s": spread(ours),
        "B min / median, s": spread(theirs),
        "B/A of minima": f"{min(theirs) / min(ours):.2f}",
        "B/A paired min / median": spread(ratios, 2),
        **_compiled_lines(rows, rounds),
        "bars of B/A": ", ".join(
            f"{'compiled ' * (name != 'ratio')}{bar:g}: {verdict(verdicts[name])}" for name, bar in bars.items()
        ),
        "sgemm ceiling, GFLOP/s": f"{ceiling:.1f}",
        "useful GFLOP": f"{first['useful_gflop']:.1f}",
        "of ceiling A, B": ", ".join(f"{first['useful_gflop'] / min(s) / ceiling:.0%}" for s in (ours, theirs)),
        "gradients differ by, double": f"{first['gradient_difference_double']:.1e} (bar {GRADIENT_BAR:g})",
        "gradients differ by, single": f"{first['gradient_difference_median']:.1e} (median; {kinks} beyond the bar)",
        "mean losses differ by": f"{first['loss_difference']:.1e} (bar {LOSS_BAR:g})",
        "first point of A, s": f"{first['first_point_s']:.3f}",
    }
    return table, all(verdicts.values())


def matrix_product_speed(size: int = 2048, attempts: int = 3) -> float:
    """FLOP/s of a large single-precision matrix product, the machine's ceiling; the best of a few."""
    left, right = torch.ones(size, size), torch.ones(size, size)
    product = torch.empty(size, size)
    best = 0.0
    for _ in range(attempts):
        before = time.perf_counter()
        torch.mm(left, right, out=product)
        best = max(best, 2 * size**3 / (time.perf_counter() - before))
    return best


def _compiled_lines(rows: list[Row], rounds: list[dict[str, Timed]]) -> Column:
    if "compiled_s" not in rows[0]:
        return {}
    return {
        "A compiled min / median, s": spread(column(rounds, "compiled")),
        "B/A compiled, paired min / median": spread([row["compiled_ratio"] for row in rows], 2),
        "compiling and first point, s": f"{rows[0]['compiling_s']:.0f}",
    }


def useful_operations(contest: Contest) -> float:
    """Floating-point operations that the task needs, over all points and examples."""
    forward = forward_operations(contest.model, contest.examples.inputs[:1])
    passes = sweep_passes(contest.attack.num_steps)
    return float(forward * passes * len(contest.examples) * len(contest.alphas) * contest.num_directions)


def _compiled_facts(round_: dict[str, Timed], compiling: float) -> Row:
    seconds = round_["compiled"].seconds
    return {"compiled_s": seconds, "compiled_ratio": round_["naive"].seconds / seconds, "compiling_s": compiling}


@dataclass(frozen=True)
class Drawn:
    """Directions that are there already, so that nobody draws them while a clock runs."""

    drawn: list[Weights]

    def settings(self) -> dict[str, Any]:
        return {"kind": "drawn"}

    def moving(self, weights: Weights) -> list[str]:
        return list(weights)

    def direction(self, weights: Weights, index: int) -> Weights:
        return self.drawn[index]


def _our_sweep(contest: Contest, directions: list[Weights], *, compiled: bool = False) -> Sweep:
    settings = SweepSettings(
        attack=contest.attack,
        objective="adversarial",
        directions=Drawn(directions),
        grid=Grid(alpha=contest.alphas),
        seed=SEED,
        batch_size=contest.batch_size,
        precision="fp32",
        compiled=compiled,
    )
    return Sweep(contest.model, contest.examples, settings, CPU)


def _naive_loop(contest: Contest, direction: Weights) -> NaiveLoop:
    examples = contest.examples
    starts = contest.attack.starts(examples.ids, examples.image_shape, seed=SEED)
    model = copy.deepcopy(contest.model)
    return contest.loop(
        model=model,
        state={name: value.clone() for name, value in model.state_dict().items()},
        direction=direction,
        inputs=examples.inputs,
        labels=examples.labels,
        starts=torch.zeros_like(examples.inputs) if starts is None else starts[0],
        epsilon=contest.attack.threat.epsilon,
        step_size=contest.attack.step_size,
        num_steps=contest.attack.num_steps,
    )


def _best_batch_size(naive: NaiveLoop, contest: Contest) -> int:
    """The batch size at which the naive loop is fastest, so that it does not lose by a bad choice."""
    sizes = contest.naive_batch_sizes
    if len(sizes) == 1:
        naive.sweep(contest.alphas[:1], sizes[0])
        return sizes[0]
    some = contest.alphas[:2]
    seconds = {size: min(timed(lambda size=size: naive.sweep(some, size)).seconds for _ in range(3)) for size in sizes}  # type: ignore[misc]
    note("  naive batch sizes: " + ", ".join(f"{size}: {1000 * s / 2:.1f} ms a point" for size, s in seconds.items()))
    return min(seconds, key=lambda size: seconds[size])


def _compare_gradients(contest: Contest, direction: Weights) -> GradientDifference:
    """Compare the two sides' input gradients at some points; each example is taken relative to its largest entry.

    In double precision every example must agree. In single precision the median must: an activation whose sign is
    decided by rounding moves a whole piece of one example's gradient, on either side, and no bar can hold there.
    """
    double = _differences(replace(contest, model=copy.deepcopy(contest.model).double()), direction, torch.float64)
    single = _differences(contest, direction, torch.float32)
    found = GradientDifference(
        double=float(double.max()), single=float(single.median()), kinks=int((single > GRADIENT_BAR).sum())
    )
    if not max(found.double, found.single) <= GRADIENT_BAR:
        raise Disagreement(f"{contest.case}: input gradients differ, bar {GRADIENT_BAR:g}: {found}.")
    return found


def _differences(contest: Contest, direction: Weights, dtype: torch.dtype) -> torch.Tensor:
    """Largest difference of the two sides' input gradients of each example, relative to its largest entry."""
    direction = {name: part.to(dtype) for name, part in direction.items()}
    naive = _naive_loop(contest, direction)
    rows = slice(0, contest.naive_batch_sizes[0])
    inputs = (contest.examples.inputs[rows] + naive.starts[rows]).clamp(0, 1).to(dtype)
    labels = contest.examples.labels[rows]
    center = parameters_of(contest.model)
    differences = []
    for alpha in contest.alphas[:: max(1, len(contest.alphas) // 3)]:
        naive.move(alpha)
        theirs = naive.input_gradient(inputs, labels) * len(labels)  # of the sum over the batch, as ours
        ours = input_gradient(bind(contest.model, displaced(center, (alpha, direction))), inputs, labels)
        largest = theirs.abs().flatten(1).amax(dim=1).clamp_min(1e-30)
        differences.append((ours - theirs).abs().flatten(1).amax(dim=1) / largest)
    return torch.cat(differences)


def _compare_losses(contest: Contest, round_: dict[str, Timed]) -> float:
    """Largest relative difference of the two sides' mean losses, adversarial and clean, over all points."""
    worst = 0.0
    sides = [round_[name].result for name in ("ours", "compiled") if name in round_]
    nodes = contest.alphas * contest.num_directions
    pairs = [pair for side in sides for pair in zip(nodes, side, round_["naive"].result, strict=True)]
    for alpha, ours, theirs in pairs:
        means = ours.adversarial_loss.mean(dtype="float64"), ours.clean_loss.mean(dtype="float64")
        for name, mine, plain in zip(("adversarial", "clean"), means, theirs, strict=True):
            difference = abs(mine - plain) / abs(plain)
            if not difference <= LOSS_BAR:
                text = f"{contest.case}: mean {name} losses at {alpha:g} differ by {difference:.2e}: {mine}, {plain}."
                raise Disagreement(text)
            worst = max(worst, float(difference))
    return worst


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=("digits", "preact", "torchattacks", "overhead", "all"), default="all")
    parser.add_argument("--repeats", type=int, default=5, help="of every timing (default 5)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the CSV files")
    parser.add_argument("--points", type=int, default=21, help="points of a line of the digits sweeps (default 21)")
    parser.add_argument("--directions", type=int, default=10, help="lines of the digits sweeps (default 10)")
    parser.add_argument("--examples", type=int, default=32, help="of the preact cases (default 32)")
    parser.add_argument("--checkpoint", help="weights of the case preact; random without")
    parser.add_argument("--data-dir", help="folder of CIFAR-10; $LANDSCAPE_DATA without, noise where there is none")
    return parser.parse_args()


def main() -> int:
    wanted = _parsed()
    warn_if_busy()
    matrix_product_speed()  # starts the threads and the clock of the processor
    preact = wanted.checkpoint, wanted.data_dir, wanted.examples
    cases = {
        "digits": lambda: run_contest(digits_contest(wanted.points, wanted.directions), wanted.repeats),
        "preact": lambda: run_contest(preact_contest(*preact), wanted.repeats),
        "torchattacks": lambda: run_contest(torchattacks_contest(*preact), wanted.repeats),
        "overhead": lambda: run_overhead(wanted.out, wanted.directions, wanted.points, wanted.repeats),
    }
    columns: dict[str, Column] = {}
    all_met = True
    for case in cases if wanted.case == "all" else (wanted.case,):
        try:
            rows, columns[case], met = cases[case]()
        except ImportError as absent:
            note(f"{case} is left out: {absent} (install it beside, with --no-deps)")
            all_met &= wanted.case == "all"
            continue
        except Disagreement as wrong:
            note(f"WRONG {wrong}")
            return 1
        append_rows(wanted.out / f"sweep-{case}.csv", rows)
        all_met &= met
    labels = list(dict.fromkeys(label for table in columns.values() for label in table))
    print(f"threads {torch.get_num_threads()}, torch {torch.__version__}, {wanted.repeats} repeats, A B A B")
    print_table([["", *columns], *[[label, *(table.get(label, "") for table in columns.values())] for label in labels]])
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
