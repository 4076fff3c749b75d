"""What the benchmarks share: interleaved timing, facts about the machine, tables and CSV files."""

from __future__ import annotations

import csv
import gc
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results"

Row = dict[str, Any]


@dataclass(frozen=True)
class Timed:
    """One timed call: its seconds and what it gave back."""

    seconds: float
    result: Any


def timed(task: Callable[[], Any]) -> Timed:
    """Call `task` with the garbage of everything before it already collected."""
    gc.collect()
    before = time.perf_counter()
    result = task()
    return Timed(time.perf_counter() - before, result)


def interleaved(tasks: Mapping[str, Callable[[], Any]], repeats: int) -> Iterator[dict[str, Timed]]:
    """Time the tasks in turn, A B A B ..., so that a drift of the machine hits all of them; yields every round.

    A task that gives back how long it took, as a side in another process does, is believed.
    """
    for repeat in range(1, repeats + 1):
        round_ = {name: _own_or(timed(task)) for name, task in tasks.items()}
        told = ", ".join(f"{name} {one.seconds:.3f} s" for name, one in round_.items())
        note(f"  repeat {repeat} of {repeats}: {told}")
        yield round_


def _own_or(found: Timed) -> Timed:
    return found.result if isinstance(found.result, Timed) else found


def column(rounds: Sequence[Mapping[str, Timed]], name: str) -> list[float]:
    """The seconds of one task over all rounds."""
    return [round_[name].seconds for round_ in rounds]


def paired_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Ratios within each round: both numbers of a ratio saw the same machine."""
    return [top / bottom for top, bottom in zip(numerators, denominators, strict=True)]


def spread(values: Sequence[float], digits: int = 3) -> str:
    """`minimum / median` as a table shows it."""
    return f"{min(values):.{digits}f} / {statistics.median(values):.{digits}f}"


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def facts(*, threads: int | None = None) -> Row:
    """Where and with what a result was measured; part of every CSV row."""
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": _commit(),
        "landscape": _version("robust-landscape"),
        "torch": _version("torch"),
        "numpy": _version("numpy"),
        "h5py": _version("h5py"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": threads if threads is not None else os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else "",
    }


def warn_if_busy() -> None:
    """Say so when other work is going on: times taken beside it are worth nothing."""
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5:
        note(f"Note: the load of this machine was {os.getloadavg()[0]:.2f} over the last minute; run this alone.")


def append_rows(path: Path, rows: Sequence[Row]) -> None:
    """Append rows to a CSV file; a file with other columns is not touched."""
    if not rows:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(rows[0])
    new = not path.exists()
    if not new:
        with open(path, newline="") as stream:
            found = next(csv.reader(stream), [])
        if found != names:
            raise SystemExit(f"{path} has other columns than this benchmark writes; move it away and run again.")
    with open(path, "a", newline="") as stream:
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def print_table(rows: Sequence[Sequence[Any]]) -> None:
    """Aligned columns; the first row is the header."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    cells.insert(1, ["-" * width for width in widths])
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def note(text: str) -> None:
    """Progress, apart from the table: to stderr, at once."""
    print(text, file=sys.stderr, flush=True)


def file_system(folder: Path) -> str:
    """Type of the file system of a folder (a sync on `tmpfs` costs nothing, so the type belongs to a result)."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    place = folder.resolve()
    fitting = [(len(point), kind) for point, kind in mounts if place.is_relative_to(point)]
    return max(fitting)[1] if fitting else "unknown"


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"  # the package runs from the clone too


def _commit() -> str:
    """The commit of the clone, with a plus if files differ from it."""
    try:
        git = ["git", "-C", str(REPOSITORY)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        # Results that this very run appends to are no change of what is measured.
        listed = [*git, "status", "--porcelain", "--", ".", ":(exclude)benchmarks/results"]
        changed = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
