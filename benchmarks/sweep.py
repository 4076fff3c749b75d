"""The sweep against a plainly written naive loop, and what journal and cache cost.

    python benchmarks/sweep.py [--case digits|preact|torchattacks|overhead|all] [--repeats 5] [--out benchmarks/results]

Run it alone on the machine. Correctness is asserted in the same run; exit 1 if results differ or a bar is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import fields
from pathlib import Path

import torch
from agreement import GRADIENT_BAR, LOSS_BAR, compare_gradients, compare_losses
from contests import CONTESTS, Contest, Wanted, our_side, their_side, useful_operations
from harness import (
    RESULTS,
    Row,
    append_rows,
    facts,
    interleaved,
    note,
    print_table,
    spread,
    verdict,
    warn_if_busy,
)
from overhead import run_overhead
from sides import Side
from subjects import Disagreement

Column = dict[str, str]

SIDES = {"ours": "A", "compiled": "A compiled", "naive": "B"}
"""As the table calls them."""


def run_contest(case: str, wanted: Wanted, repeats: int) -> tuple[list[Row], Column, bool]:
    """Time both sides in turn; gives CSV rows, a column of the table, and whether the bars were met."""
    contest = CONTESTS[case](wanted)
    note(f"{case}: {contest.weights}; {contest.inputs}; {len(contest.examples)} examples")
    gradients = compare_gradients(contest, contest.directions()[0])
    with ExitStack() as stack:
        sides = {name: stack.enter_context(closing(side)) for name, side in _sides(contest, wanted).items()}
        rounds = list(interleaved({**sides, "sgemm": matrix_product_speed}, repeats))
        peaks = {f"{name}_peak_mb": round(side.peak_memory()) for name, side in sides.items()}
    ours = [round_[name].result for round_ in rounds for name in ("ours", "compiled") if name in round_]
    loss_difference = compare_losses(contest, ours, rounds[0]["naive"].result)
    about = {
        "useful_gflop": useful_operations(contest) / 1e9,
        "gradient_difference_double": gradients.double,
        "gradient_difference_median": gradients.single,
        "gradient_kinks": gradients.kinks,
        "loss_difference": loss_difference,
        **{f"{name}_first_point_s": side.about["first_point_s"] for name, side in sides.items() if name != "naive"},
        **peaks,
        "model": contest.weights,
        "inputs": contest.inputs,
        "num_examples": len(contest.examples),
        "num_points": len(contest.points),
        "num_steps": contest.attack.num_steps,
        "batch_ours": contest.batch_size,
        "batch_naive": sides["naive"].about["batch_size"],
        **facts(threads=torch.get_num_threads()),
    }
    rows = [
        {
            "repeat": repeat,
            **{f"{name}_s": round_[name].seconds for name in sides},
            **_ratios({name: round_[name].seconds for name in sides}),
            "sgemm_gflop_per_s": round_["sgemm"].result / 1e9,
            **about,
        }
        for repeat, round_ in enumerate(rounds, start=1)
    ]
    return rows, *_contest_column(contest, rows)


def _sides(contest: Contest, wanted: Wanted) -> dict[str, Side]:
    """Each in a process of its own, one after the other made ready."""
    sides = {"ours": Side(our_side, contest.case, wanted)}
    if contest.compiled_bar is not None:
        sides["compiled"] = Side(our_side, contest.case, wanted, True)
    return {**sides, "naive": Side(their_side, contest.case, wanted)}


def _ratios(seconds: Mapping[str, float]) -> Row:
    names = {"ours": "ratio", "compiled": "compiled_ratio"}
    return {names[name]: seconds["naive"] / taken for name, taken in seconds.items() if name in names}


def _contest_column(contest: Contest, rows: list[Row]) -> tuple[Column, bool]:
    first = rows[0]
    bars = {"ratio": contest.bar, **({} if contest.compiled_bar is None else {"compiled_ratio": contest.compiled_bar})}
    verdicts = {name: statistics.median(row[name] for row in rows) >= bar for name, bar in bars.items()}
    ceiling, work = max(row["sgemm_gflop_per_s"] for row in rows), first["useful_gflop"]
    sides = {side: name for side, name in SIDES.items() if f"{side}_s" in first}
    names = ", ".join(sides.values())
    shares = [work / min(row[f"{side}_s"] for row in rows) / ceiling for side in sides]
    kinks = first["gradient_kinks"]
    table = {
        "A against B": f"sweep against {contest.other}",
        "weights": first["model"],
        "inputs": first["inputs"],
        "examples x points": f"{first['num_examples']} x {first['num_points']}, PGD-{first['num_steps']}",
        "batch size A, B": f"{first['batch_ours']}, {first['batch_naive']}",
        "A min / median, s": spread([row["ours_s"] for row in rows]),
        "B min / median, s": spread([row["naive_s"] for row in rows]),
        "B/A of minima": f"{min(row['naive_s'] for row in rows) / min(row['ours_s'] for row in rows):.2f}",
        "B/A paired min / median": spread([row["ratio"] for row in rows], 2),
        **_compiled_lines(rows),
        "bars of B/A": ", ".join(
            f"{'compiled ' * (name != 'ratio')}{bar:g}: {verdict(verdicts[name])}" for name, bar in bars.items()
        ),
        "sgemm ceiling, GFLOP/s": f"{ceiling:.1f}",
        "useful GFLOP": f"{work:.1f}",
        f"of ceiling {names}": ", ".join(f"{share:.0%}" for share in shares),
        "gradients differ by, double": f"{first['gradient_difference_double']:.1e} (bar {GRADIENT_BAR:g})",
        "gradients differ by, single": f"{first['gradient_difference_median']:.1e} (median; {kinks} beyond the bar)",
        "mean losses differ by": f"{first['loss_difference']:.1e} (bar {LOSS_BAR:g})",
        "first point of A, s": f"{first['ours_first_point_s']:.3f}",
        f"peak memory {names}, MB": ", ".join(str(first[f"{side}_peak_mb"]) for side in sides),
    }
    return table, all(verdicts.values())


def _compiled_lines(rows: list[Row]) -> Column:
    if "compiled_s" not in rows[0]:
        return {}
    return {
        "A compiled min / median, s": spread([row["compiled_s"] for row in rows]),
        "B/A compiled, paired min / median": spread([row["compiled_ratio"] for row in rows], 2),
        "compiling and first point, s": f"{rows[0]['compiled_first_point_s']:.0f}",
    }


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
    given = _parsed()
    warn_if_busy()
    matrix_product_speed()  # starts the threads and the clock of the processor
    wanted = Wanted(**{field.name: getattr(given, field.name) for field in fields(Wanted)})
    columns: dict[str, Column] = {}
    all_met = True
    for case in (*CONTESTS, "overhead") if given.case == "all" else (given.case,):
        try:
            if case == "overhead":
                rows, columns[case], met = run_overhead(given.out, wanted.directions, wanted.points, given.repeats)
            else:
                rows, columns[case], met = run_contest(case, wanted, given.repeats)
        except ImportError as absent:
            note(f"{case} is left out: {absent} (install it beside, with --no-deps)")
            all_met &= given.case == "all"
            continue
        except Disagreement as wrong:
            note(f"WRONG {wrong}")
            return 1
        append_rows(given.out / f"sweep-{case}.csv", rows)
        all_met &= met
    labels = list(dict.fromkeys(label for table in columns.values() for label in table))
    print(f"threads {torch.get_num_threads()}, torch {torch.__version__}, {given.repeats} repeats, A B A B")
    print_table([["", *columns], *[[label, *(table.get(label, "") for table in columns.values())] for label in labels]])
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
