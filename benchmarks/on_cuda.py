"""Everything that a CUDA machine has to answer, in one run that ends within its budget.

    python benchmarks/on_cuda.py --out FOLDER [--data-dir FOLDER] [--checkpoint FILE] [--budget 530]
    python benchmarks/on_cuda.py --out FOLDER --device cpu --tiny        # the dry run: all code paths, no meaning

Cases run in the order of the table below, what matters most first. A case that the rest of the budget does not hold
is dropped, one that the budget ends is stopped, and the table says so; whatever was measured until then is kept. Writes
`cuda.csv` and `cuda.txt`. Exit 1 if a result is wrong, not if the device is slow. (A script called `cuda.py` would hide
the package of that name from torch.)
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the package of this clone, installed or not

import cuda_correctness
import cuda_profile
import cuda_sweeps
import cuda_training
import torch
from cuda_bench import CUDA_DIGITS, Bench, OutOfTime, make_bench
from harness import RESULTS, append_rows, note, print_table, warn_if_busy

from landscape.devices import find_device

RESERVE = 10.0
"""Seconds of the budget kept for the table."""

CASES: dict[str, tuple[Callable[[Bench], None], float]] = {
    "ceilings": (cuda_sweeps.ceilings, 5),
    "gradients": (cuda_correctness.gradients, 20),
    "mean losses": (cuda_correctness.mean_losses, 30),
    "digits surface": (cuda_correctness.digits_surface, 30),
    "whole points": (cuda_sweeps.whole_points, 70),
    "against baseline": (cuda_sweeps.against_baseline, 100),
    "epochs": (cuda_training.epochs, 30),
    "compiled epoch": (cuda_training.compiled_epoch, 60),
    "compiled points": (cuda_sweeps.compiled_point, 60),
    "profile of points": (cuda_profile.points, 15),
    "profile of updates": (cuda_profile.updates, 15),
    "variants": (cuda_sweeps.variants, 20),
    "graphed epoch": (cuda_training.graphed_epoch, 60),
}
"""What runs, and the seconds that have to be left for it to begin."""


def main() -> int:
    wanted = _parsed()
    warn_if_busy()
    wanted.out.mkdir(parents=True, exist_ok=True)
    bench = make_bench(
        find_device(wanted.device),
        tiny=wanted.tiny,
        budget=wanted.budget - RESERVE,
        data_dir=wanted.data_dir,
        checkpoint=wanted.checkpoint,
        commit=wanted.commit,
    )
    _start_threads()
    _tell_warnings(bench)
    note(f"{bench.about['device']}, driver {bench.about['driver']}, torch {torch.__version__}; {bench.inputs}")
    began = time.monotonic()
    try:
        for name in CASES if wanted.cases is None else wanted.cases.split(","):
            _run(bench, name, wanted.out, needs_time=not wanted.tiny)
    finally:  # the table stands whatever ends the run
        text = _as_text(bench, time.monotonic() - began)
        print(text, end="", flush=True)
        (wanted.out / "cuda.txt").write_text(text)
    return 1 if bench.wrong else 0


def _run(bench: Bench, name: str, out: Path, *, needs_time: bool) -> None:
    """One case, whose rows are on the disk when this returns, however it ended."""
    task, seconds = CASES[name]
    first, began = len(bench.rows), time.monotonic()
    note(f"{name} ({bench.left:.0f} s left)")
    if bench.left < (seconds if needs_time else 0):
        bench.say(
            name, "the whole case", "all", "not run", "", f"budget: {max(bench.left, 0):.0f} s left, {seconds:g} needed"
        )
    else:
        try:
            with _ending(bench.left), bench.trying(name):
                task(bench)
            bench.say(name, "the case took", "all", time.monotonic() - began, "s")
        except OutOfTime:
            bench.say(name, "the rest of the case", "all", "stopped", "", "budget")
    append_rows(out / "cuda.csv", bench.rows[first:])
    with contextlib.suppress(RuntimeError):  # a device that one case has broken answers to nothing any more
        bench.forget_memory()


@contextlib.contextmanager
def _ending(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in this thread after so many seconds, and again every second where it was swallowed."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _as_text(bench: Bench, seconds: float) -> str:
    facts = bench.about
    shown = ("device", "driver", "cuda", "cudnn", "torch", "python", "commit", "cpu", "cores", "date")
    head = [["case", "quantity", "variant", "value", "unit", "basis"]]
    for row in bench.rows:
        value = f"{row['value']:.{CUDA_DIGITS}g}" if isinstance(row["value"], float) else row["value"]
        head.append([row["case"], row["quantity"], row["variant"], value, row["unit"], row["basis"]])
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        print(", ".join(f"{name} {facts[name]}" for name in shown))
        print(f"inputs: {bench.inputs}; {seconds:.0f} s in all" + ("; TINY: times mean nothing" * facts["tiny"]))
        print_table(head)
        print("all results as they should be" if not bench.wrong else "WRONG: " + " ".join(bench.wrong))
    return stream.getvalue()


def _tell_warnings(bench: Bench) -> None:
    """Into the table: a model that could not be compiled, say, has run uncompiled."""
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: bench.say("warnings", record.getMessage(), "all", "see there", "")  # type: ignore[method-assign]
    logging.getLogger("landscape").addHandler(handler)


def _start_threads() -> None:
    torch.mm(torch.ones(512, 512), torch.ones(512, 512))


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu for the dry run")
    parser.add_argument("--tiny", action="store_true", help="sizes that say nothing, for the dry run")
    parser.add_argument("--budget", type=float, default=530.0, help="seconds until the table stands (default 530)")
    parser.add_argument("--data-dir", help="folder of CIFAR-10; noise of its shape where there is none")
    parser.add_argument("--checkpoint", help="of a network for CIFAR-10; PreActResNet-18 trained for a moment without")
    parser.add_argument("--commit", help="of this tree, where git does not say it")
    parser.add_argument("--cases", help="some of the cases, with commas between: " + ", ".join(CASES))
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of cuda.csv and cuda.txt")
    given = parser.parse_args()
    if given.cases is not None and (unknown := set(given.cases.split(",")) - set(CASES)):
        parser.error(f"no case is called {', '.join(sorted(unknown))}")
    return given


if __name__ == "__main__":
    sys.exit(main())
