"""How fast points of PreActResNet-18 are on the device: whole ones, against the baseline, and variants."""

from __future__ import annotations

import contextlib
import copy
import statistics
from collections.abc import Iterator

import torch
from cuda_bench import Bench
from naive import NaiveLoop
from operations import forward_operations, sweep_passes
from subjects import SEED

from landscape.datasets.examples import Examples
from landscape.devices import arithmetic, default_batch_size
from landscape.names import PRECISIONS
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.surface import Grid
from landscape.surfaces.sweep import Sweep, SweepSettings
from landscape.weights import parameters_of

ALPHA = 0.5
POINT = (0, 0)
RATIO_BAR = 5.0
LINE_POINTS, LINE_BAR = 51, 300.0
LONG = 15.0
"""Seconds of a first point from which there is no second one: what it did once does not weigh."""


def ceilings(bench: Bench) -> None:
    """The largest rates that this device reaches: a matrix product in each precision on random data, and a copy."""
    size = bench.sizes.product
    for precision in PRECISIONS:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        left, right = (torch.randn(size, size, device=bench.device, dtype=dtype) for _ in range(2))
        product = torch.empty(size, size, device=bench.device, dtype=dtype)
        with arithmetic("tf32" if precision == "tf32" else "fp32", bench.device):
            torch.mm(left, right, out=product)
            times = [bench.timed(lambda: torch.mm(left, right, out=product)).seconds for _ in range(7)]  # noqa: B023 (called at once)
        bench.ceilings[precision] = 2 * size**3 / statistics.median(times)
        bench.say("ceilings", f"matrix product, {size} cubed", precision, bench.ceilings[precision] / 1e12, "TFLOP/s")
    source = torch.randn(size * size * 4, device=bench.device)
    target = torch.empty_like(source)
    times = [bench.timed(lambda: target.copy_(source)).seconds for _ in range(7)]
    moved = 2 * source.numel() * source.element_size()
    bench.say("ceilings", "copy, bytes read and written", "fp32", moved / statistics.median(times) / 1e12, "TB/s")


def against_baseline(bench: Bench) -> None:
    """Interleaved with the naive loop in the same precision, on the same examples, starts and direction."""
    examples = bench.some(bench.sizes.contest_examples)
    naive = naive_loop(bench, examples)
    for precision in PRECISIONS:
        with bench.trying("against baseline", precision):
            _contest(bench, naive, examples, precision)


def _contest(bench: Bench, naive: NaiveLoop, examples: Examples, precision: str) -> None:
    with arithmetic(precision, bench.device):
        size = _best_batch(bench, naive, precision)
    sweep = sweep_of(bench, examples, precision)
    sweep(POINT)
    ours, theirs, ratios = [], [], []
    for _ in range(bench.sizes.repeats):
        mine = bench.timed(lambda: sweep(POINT))
        with arithmetic(precision, bench.device):
            plain = bench.timed(lambda: naive.sweep([ALPHA], size))
        ours.append(mine.seconds)
        theirs.append(plain.seconds)
        ratios.append(plain.seconds / mine.seconds)
    basis = f"{len(examples)} examples, {bench.sizes.repeats} rounds, batch of the baseline {size}"
    bench.say("against baseline", "ours, seconds of a point", precision, statistics.median(ours), "s", basis)
    bench.say("against baseline", "baseline, seconds of a point", precision, statistics.median(theirs), "s", basis)
    bench.say(
        "against baseline",
        f"times faster, median of pairs (target {RATIO_BAR:g})",
        precision,
        statistics.median(ratios),
        "times",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
    )
    off = abs(float(mine.result.adversarial_loss.mean(dtype="float64")) - plain.result[0][0]) / plain.result[0][0]
    bench.say("against baseline", "mean adversarial losses differ by", precision, off, "relative")
    if precision == "fp32":
        bench.require(off <= 1e-3, f"mean losses of sweep and baseline differ by {off:.1e}.")


def whole_points(bench: Bench) -> None:
    """Seconds of a PGD point on as many examples as CIFAR-10 has, in each precision; nothing is scaled."""
    for precision in reversed(PRECISIONS):  # bf16 first: the one that a target is about
        with bench.trying("whole points", precision):
            whole_point(bench, precision)


def compiled_point(bench: Bench) -> None:
    """The same with torch.compile, bf16."""
    torch.compiler.reset()  # all cases share one limit of graphs
    whole_point(bench, "bf16", compiled=True)


def whole_point(bench: Bench, precision: str, *, compiled: bool = False) -> None:
    examples = bench.some(bench.sizes.points_examples)
    variant = f"{precision}, compiled" if compiled else precision
    bench.forget_memory()
    made = bench.timed(lambda: sweep_of(bench, examples, precision, compiled=compiled))
    sweep: Sweep = made.result
    bench.say("whole points", "copying data and drawing starts, once", variant, made.seconds, "s")
    sweep.move_to(POINT)  # draws the direction
    point = bench.timed(lambda: sweep(POINT))
    loss, first = float(point.result.adversarial_loss.mean(dtype="float64")), point.seconds
    times = [first]
    if compiled or (first < LONG and bench.left > 3 * first + 10):
        times = [bench.timed(lambda: sweep(POINT)).seconds]  # the first one compiled, allocated and chose kernels
        bench.say("whole points", "first point", variant, first, "s")
    seconds = min(times)
    count = len(examples)
    work = forward_operations(bench.subject()[0], examples.inputs[:1]) * sweep_passes(bench.sizes.num_steps) * count
    basis = f"{count} examples, PGD-{bench.sizes.num_steps}"
    bench.say("whole points", "seconds of a point", variant, seconds, "s", basis)
    bench.say("whole points", "useful operations", variant, work / seconds / 1e12, "TFLOP/s", "convolutions and linear")
    if precision in bench.ceilings:
        share = work / seconds / bench.ceilings[precision]
        bench.say("whole points", f"share of the {precision} matrix product", variant, 100 * share, "%")
    bench.say(
        "whole points",
        f"a line of {LINE_POINTS} points and the centre (target {LINE_BAR:g})",
        variant,
        seconds * (LINE_POINTS + 1),
        "s",
        f"scaled from one measured point of {count} examples",
    )
    bench.say("whole points", "mean adversarial loss", variant, loss, "nats", basis)
    bench.say("whole points", "largest memory in use", variant, bench.peak_memory, "GiB")


def variants(bench: Bench) -> None:
    """Batch sizes, and cudnn's search for kernels, in bf16."""
    examples = bench.some(bench.sizes.contest_examples)
    largest = min(4096, len(examples))
    for size in (largest, largest // 2, largest // 4, largest // 8):
        for searching in (False, True):
            if bench.left < 20:
                bench.say("variants", "seconds of a point", f"batch {size}", "not run", "", "budget")
                return
            with bench.trying("variants", f"batch {size}"), _kernel_search(searching):
                sweep = sweep_of(bench, examples, "bf16", batch_size=size)
                sweep(POINT)
                times = [bench.timed(lambda: sweep(POINT)).seconds for _ in range(2)]  # noqa: B023 (called at once)
                variant = f"bf16, batch {size}" + (", cudnn.benchmark" if searching else "")
                bench.say("variants", "seconds of a point", variant, min(times), "s", f"{len(examples)} examples")


def sweep_of(
    bench: Bench, examples: Examples, precision: str, *, compiled: bool = False, batch_size: int | None = None
) -> Sweep:
    model, _ = bench.subject()
    size = batch_size or default_batch_size(model, examples.inputs[:1], bench.device, num_examples=len(examples))
    settings = SweepSettings(
        attack=bench.attack(),
        objective="adversarial",
        directions=RandomDirections(seed=SEED),
        grid=Grid(alpha=(ALPHA,)),
        seed=SEED,
        batch_size=size,
        precision=precision,
        compiled=compiled,
    )
    return Sweep(model, examples, settings, bench.device)


def naive_loop(bench: Bench, examples: Examples) -> NaiveLoop:
    """The baseline with its network, data and starts on the device; the state dict is moved on the CPU and loaded."""
    model, _ = bench.subject()
    attack = bench.attack()
    starts = attack.starts(examples.ids, examples.image_shape, seed=SEED)
    if starts is None:
        raise ValueError("the comparison needs an attack with a random start")
    return NaiveLoop(
        model=copy.deepcopy(model).to(bench.device).eval(),
        state={name: value.clone() for name, value in model.state_dict().items()},
        direction=RandomDirections(seed=SEED).direction(parameters_of(model), 0),
        inputs=examples.inputs.to(bench.device),
        labels=examples.labels.to(bench.device),
        starts=starts[0].to(bench.device),
        epsilon=attack.threat.epsilon,
        step_size=attack.step_size,
        num_steps=attack.num_steps,
    )


def _best_batch(bench: Bench, naive: NaiveLoop, precision: str) -> int:
    some = slice(0, min(len(naive.inputs), 2048))
    few = NaiveLoop(**{**vars(naive), **{name: getattr(naive, name)[some] for name in ("inputs", "labels", "starts")}})
    seconds = {}
    for size in bench.sizes.naive_batches:
        few.sweep([ALPHA], size)
        seconds[size] = bench.timed(lambda: few.sweep([ALPHA], size)).seconds  # noqa: B023 (called at once)
        bench.say("against baseline", "baseline, choice of its batch", f"{precision}, {size}", seconds[size], "s")
    return min(seconds, key=lambda size: seconds[size])


@contextlib.contextmanager
def _kernel_search(wanted: bool) -> Iterator[None]:
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = wanted
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
