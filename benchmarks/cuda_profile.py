"""Where the device's time goes, by families of kernels: in the points of a sweep and in updates of a training."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from cuda_bench import Bench
from cuda_sweeps import POINT, sweep_of
from cuda_training import make_trainer, run_batches
from torch.profiler import ProfilerActivity, profile

FAMILIES = (
    ("copies and layouts", "nchwtonhwc|nhwctonchw|transpose|copy|memcpy|memset|fill|zero|cat_|catarray|clone"),
    ("normalization", "batch_norm|batchnorm|bn_fw|bn_bw"),
    ("convolutions and products", "conv|gemm|cutlass|xmma|wgmma|winograd|fprop|dgrad|wgrad|nvjet|addmm|aten::mm"),
    ("losses", "softmax|nll"),
    ("reductions and pooling", "reduce|sum|mean|norm|pool|argmax"),
    ("elementwise", "elementwise|vectorized|triton|threshold|relu|clamp|sign|where|add|mul|sub|foreach|multi_tensor"),
)
"""Names and patterns, the first that fits counts; everything else is `other`, with the names of the largest."""

NUM_OTHERS = 3


def points(bench: Bench) -> None:
    """Points of a sweep, in bf16 and fp32."""
    for precision in ("bf16", "fp32"):
        sweep = sweep_of(bench, bench.some(bench.sizes.contest_examples), precision)
        sweep(POINT)
        _profiled(bench, f"sweep, {precision}", lambda: sweep(POINT))  # noqa: B023 (called at once)


def updates(bench: Bench) -> None:
    """Ten updates of AT and of AT-AWP in bf16."""
    for method in ("at", "at-awp"):
        trainer = make_trainer(bench, method, "bf16")
        run_batches(bench, trainer, "bf16", until=2)
        _profiled(bench, f"{method}, bf16", lambda: run_batches(bench, trainer, "bf16", until=12))  # noqa: B023 (called at once)


def family_of(kernel: str) -> str:
    """The first family whose pattern is part of a kernel's name."""
    return next((name for name, pattern in FAMILIES if re.search(pattern, kernel.lower())), "other")


def _profiled(bench: Bench, variant: str, task: Callable[[], Any]) -> None:
    on_cuda = bench.device.type == "cuda"
    plain = bench.timed(task).seconds if "sweep" in variant else None
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])]
    with profile(activities=activities) as profiler:
        watched = bench.timed(task).seconds
    seconds: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for row in profiler.key_averages():
        if on_cuda and (row.device_type != torch.autograd.DeviceType.CUDA or row.is_user_annotation):
            continue  # the call of a kernel, or the region that it lies in, would count it twice
        time = (row.self_device_time_total if on_cuda else row.self_cpu_time_total) / 1e6
        family = family_of(row.key)
        seconds[family] += time
        if family == "other":
            others[row.key[:60]] += time
    busy = sum(seconds.values())
    for family, spent in seconds.most_common():
        basis = "; ".join(name for name, _ in others.most_common(NUM_OTHERS)) if family == "other" else "profiled"
        bench.say("profile", f"share of kernel time: {family}", variant, 100 * spent / max(busy, 1e-9), "%", basis)
    wall = watched if plain is None else plain
    basis = "profiled; the profiler itself slows the calls" if plain is None else "kernels profiled, clock without"
    bench.say("profile", "kernels busy, of the clock", variant, 100 * busy / wall, "%", basis)
