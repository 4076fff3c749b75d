"""What a plane costs the first time: `landscape plot-2d` bare on digits, process start included.

    python benchmarks/planes.py [--repeats 3] [--out benchmarks/results] [--checkpoint checkpoints/digits-at.pt]

21 x 21 nodes and the centre, 500 examples, PGD-10. Run it alone on the machine. There is no bar; exit 1 if two runs did
not give the same numbers.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from commands import LANDSCAPE, Scene, _digest
from harness import REPOSITORY, RESULTS, append_rows, facts, note, print_table, timed, warn_if_busy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--checkpoint", type=Path, default=REPOSITORY / "checkpoints" / "digits-at.pt")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the CSV file")
    wanted = parser.parse_args()
    warn_if_busy()
    wanted.out.mkdir(parents=True, exist_ok=True)
    runs, digests = [], set()
    for repeat in range(1, wanted.repeats + 1):
        with tempfile.TemporaryDirectory(dir=wanted.out, prefix=".planes-") as folder:
            scene = Scene(folder=Path(folder).resolve(), checkpoint=wanted.checkpoint.resolve())
            command = [str(LANDSCAPE), "plot-2d", str(scene.checkpoint)]
            first, second = timed(lambda: scene.run(command)), timed(lambda: scene.run(command))  # noqa: B023 - called here
            runs.append((first.seconds, second.seconds))
            digests.add(_digest(scene.surface()))
            note(f"  repeat {repeat} of {wanted.repeats}: first {first.seconds:.2f} s, cached {second.seconds:.2f} s")
    about = facts()
    rows = [
        {"repeat": number, "first_s": first, "cached_s": cached, "checkpoint": wanted.checkpoint.name, **about}
        for number, (first, cached) in enumerate(runs, start=1)
    ]
    append_rows(wanted.out / "planes.csv", rows)
    table = [["landscape plot-2d, 21 x 21, s", "minimum", "median", "maximum"]]
    for name, seconds in zip(("first time", "cached"), zip(*runs, strict=True), strict=True):
        table.append([name, *(f"{value:.2f}" for value in (min(seconds), statistics.median(seconds), max(seconds)))])
    print_table(table)
    return 0 if len(digests) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
