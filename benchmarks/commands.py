"""What a whole command costs, process start included, against the bars that the project set itself.

    python benchmarks/commands.py [--repeats 5] [--out benchmarks/results] [--checkpoint checkpoints/digits-at.pt]

Run it alone on the machine. Every command runs in a folder and a cache of its own; exit 1 if a bar is missed or two
runs of the same command did not give the same numbers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import (
    REPOSITORY,
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
    timed,
    verdict,
    warn_if_busy,
)

LANDSCAPE = Path(sys.executable).parent / "landscape"
IMPORTS = [sys.executable, "-c", "import torch, h5py, matplotlib.pyplot"]
HELP_BAR, CACHED_BAR, REDRAW_BAR, FIRST_BAR = 0.3, 1.5, 2.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A folder to run in, its cache, and the checkpoint that is drawn."""

    folder: Path
    checkpoint: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def run(self, command: list[str], *, cache: Path | None = None) -> str:
        """Run a command to its end and give back what it printed."""
        environment = {**os.environ, "LANDSCAPE_CACHE": str(cache or self.cache)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled once, not at each start
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} exited {done.returncode}:\n{done.stderr.strip()}")
        return done.stdout

    def plot_1d(self, cache: Path | None = None) -> str:
        """The main job, bare."""
        return self.run([str(LANDSCAPE), "plot-1d", str(self.checkpoint), "--directions", "10"], cache=cache)

    def surface(self) -> Path:
        """The file that the main job left in the cache."""
        files = sorted(self.cache.glob("*.h5"))
        if len(files) != 1:
            raise SystemExit(f"plot-1d left {len(files)} surface files in its cache, expected 1.")
        return files[0]


def short_commands(scene: Scene, repeats: int) -> list[dict[str, Timed]]:
    """All commands that take a second or two, interleaved; the first round only warms the disk cache."""
    redraw = [str(LANDSCAPE), "plot", str(scene.surface()), "--out", "redrawn.png"]
    tasks: dict[str, Callable[[], Any]] = {
        "help": lambda: scene.run([str(LANDSCAPE), "--help"]),
        "imports": lambda: scene.run(IMPORTS),
        "cached": scene.plot_1d,
        "redraw": lambda: scene.run(redraw),
    }
    for task in tasks.values():
        timed(task)
    return list(interleaved(tasks, repeats))


def first_runs(scene: Scene, repeats: int) -> list[Timed]:
    """The main job on an empty cache; the surface must be the same each time."""
    expected = _digest(scene.surface())
    runs = []
    for repeat in range(1, repeats + 1):
        with tempfile.TemporaryDirectory(dir=scene.folder) as cache:
            runs.append(timed(lambda cache=cache: scene.plot_1d(Path(cache))))  # type: ignore[misc]
            note(f"  first run {repeat} of {repeats}: {runs[-1].seconds:.2f} s")
            if [_digest(path) for path in Path(cache).glob("*.h5")] != [expected]:
                raise SystemExit("plot-1d gave other numbers than before on the same machine.")
    return runs


def summary(rounds: list[dict[str, Timed]], first: list[Timed]) -> tuple[list[list[str]], bool]:
    """The table, and whether all bars are met; medians count."""
    ratios = paired_ratios(column(rounds, "cached"), column(rounds, "imports"))
    measured = [
        ("landscape --help, s", column(rounds, "help"), HELP_BAR),
        ("import torch, h5py, matplotlib.pyplot, s", column(rounds, "imports"), None),
        ("landscape plot-1d, cached, s", column(rounds, "cached"), None),
        ("cached over imports, paired", ratios, CACHED_BAR),
        ("landscape plot FILE.h5, s", column(rounds, "redraw"), REDRAW_BAR),
        ("landscape plot-1d, first time, s", [run.seconds for run in first], FIRST_BAR),
    ]
    table = [["", "minimum", "median", "maximum", "bar", ""]]
    all_met = True
    for name, values, bar in measured:
        if not values:
            continue
        median = statistics.median(values)
        numbers = [f"{number:.3f}" for number in (min(values), median, max(values))]
        if bar is None:
            table.append([name, *numbers, "", ""])
            continue
        table.append([name, *numbers, f"{bar:g}", verdict(median <= bar)])
        all_met &= median <= bar
    return table, all_met


def rows_of(rounds: list[dict[str, Timed]], first: list[Timed], checkpoint: Path) -> list[Row]:
    """One row for each repeat."""
    about = facts()
    return [
        {
            "repeat": repeat,
            **{f"{name}_s": one.seconds for name, one in round_.items()},
            "cached_over_imports": round_["cached"].seconds / round_["imports"].seconds,
            "first_s": first[repeat - 1].seconds if repeat <= len(first) else "",
            "checkpoint": checkpoint.name,
            **about,
        }
        for repeat, round_ in enumerate(rounds, start=1)
    ]


def _digest(path: Path) -> str:
    """Everything in a surface file that is a number of the surface; provenance (times, pids) is not."""
    from landscape.files import digest_arrays
    from landscape.surfaces.store import load_surface

    surface = load_surface(path)
    names = (
        "adversarial_loss",
        "clean_loss",
        "adversarial_correct",
        "clean_correct",
        "status",
        "example_ids",
        "labels",
    )
    arrays = {name: getattr(surface, name) for name in names}
    return digest_arrays(arrays | {f"centre_{name}": array for name, array in surface.centre.arrays().items()})


def _require_equal_output(rounds: list[dict[str, Timed]]) -> None:
    for name in ("cached", "redraw"):
        if len({round_[name].result for round_ in rounds}) != 1:
            raise SystemExit(f"the command {name!r} did not print the same each time.")


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="of every command (default 5)")
    parser.add_argument("--first-repeats", type=int, help="of the first-time plot-1d (default: --repeats)")
    parser.add_argument("--checkpoint", type=Path, default=REPOSITORY / "checkpoints" / "digits-at.pt")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the CSV file")
    return parser.parse_args()


def main() -> int:
    wanted = _parsed()
    if not wanted.checkpoint.is_file():
        raise SystemExit(f"there is no checkpoint {wanted.checkpoint}; name one with --checkpoint.")
    warn_if_busy()
    first_repeats = wanted.repeats if wanted.first_repeats is None else wanted.first_repeats
    wanted.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wanted.out, prefix=".commands-") as folder:
        scene = Scene(folder=Path(folder).resolve(), checkpoint=wanted.checkpoint.resolve())
        note("filling the cache once")
        scene.plot_1d()
        rounds = short_commands(scene, wanted.repeats)
        _require_equal_output(rounds)
        first = first_runs(scene, first_repeats)
    append_rows(wanted.out / "commands.csv", rows_of(rounds, first, wanted.checkpoint))
    table, all_met = summary(rounds, first)
    print(f"{wanted.repeats} repeats, interleaved; {wanted.checkpoint.name}")
    print_table(table)
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
