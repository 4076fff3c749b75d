"""Kills the command `landscape plot-1d` at random moments and looks for what was lost.

    python benchmarks/kills.py [--kills 200] [--seed 0] [--checkpoint FILE] [--out benchmarks/results]

Every life of the command ends by SIGKILL at a random moment; the next one goes on in the same cache. When a life gets
to its end, the surface is compared bit for bit with that of uninterrupted runs, and a new cache is begun. After every
kill: no point that was finished or acknowledged is missing, no point is in a journal twice, no finished point was
computed again. Exit 1 at the first failure; its cache is then kept.

Every other life runs the installed command itself, the others the same `main` with a witness (see `witness.py`).
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from harness import REPOSITORY, RESULTS, Row, append_rows, facts, file_system, note, print_table

from landscape.surfaces.store import SurfaceStore, finished, load_surface
from landscape.surfaces.surface import Point, Surface

LANDSCAPE = Path(sys.executable).parent / "landscape"
WITNESS = Path(__file__).resolve().parent / "witness.py"
ARRAYS = ("status", "adversarial_loss", "clean_loss", "adversarial_correct", "clean_correct", "example_ids", "labels")


class Failure(Exception):
    """Something was lost, computed twice, or came out different."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The command that is killed, and the folder it runs in."""

    folder: Path
    arguments: tuple[str, ...]

    def command(self, cache: Path, witness: Path | None) -> list[str]:
        """With a witness file the same `main` through `witness.py`, without one the installed command."""
        start = [str(LANDSCAPE)] if witness is None else [sys.executable, str(WITNESS), str(witness)]
        return [*start, *self.arguments, "--cache-dir", str(cache)]

    def live(self, cache: Path, witness: Path | None, over: Callable[[float], bool]) -> bool:
        """One life of the command, ended by SIGKILL when `over(seconds)` says so; whether it was killed.

        Raises:
            Failure: it ended by itself with a failure.
        """
        said = self.folder / "said.txt"
        with open(said, "wb") as output:
            born = time.monotonic()
            process = subprocess.Popen(
                self.command(cache, witness), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            try:
                while process.poll() is None and not over(time.monotonic() - born):
                    time.sleep(0.002)
            finally:
                process.kill()
                code = process.wait()
        if code not in (0, -signal.SIGKILL):
            raise Failure(f"the command exited {code}: {said.read_text(errors='replace').strip()[-500:]}")
        return code == -signal.SIGKILL


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """Seconds of an uninterrupted life: until its first point, until its last, until its end."""

    first: float
    last: float
    end: float


@dataclass
class Round:
    """One cache from its first life to its finished surface.

    Attributes:
        cache: the folder.
        key: the surface.
        num_points: of the surface.
        found: points that were finished after the last kill.
        acknowledged: points that a witness has seen.
    """

    cache: Path
    key: str
    num_points: int
    found: set[Point] = field(default_factory=set)
    acknowledged: set[Point] = field(default_factory=set)

    def check(self, witness: Path | None) -> str:
        """Look at the cache after a life, changing nothing; says what the cache holds.

        Raises:
            Failure: a point is missing, twice there, or was computed again.
        """
        seen = testimony(witness)
        again = [point for point in seen if point in self.found] + [p for p, n in Counter(seen).items() if n > 1]
        if again:
            raise Failure(f"finished points were computed again: {sorted(set(again))}")
        self.acknowledged |= set(seen)
        store = SurfaceStore(self.cache)
        stored, journals = store.load(self.key), store.journals(self.key)
        records = [record.point for contents in journals for record in contents.points]
        if len(records) != len(set(records)):
            raise Failure(f"{len(records)} records of {len(set(records))} points: some were computed twice.")
        found = finished(stored, journals)
        if lost := (self.found | self.acknowledged) - found:
            raise Failure(f"finished points are lost: {sorted(lost)}")
        self.found = found
        return self._phase(stored)

    def _phase(self, stored: Surface | None) -> str:
        if stored is not None and stored.complete:
            return "after the surface file was there"
        if len(self.found) == self.num_points:
            return "after the last point, before the surface file"
        return "between points" if self.found else "before the first point"


@dataclass
class Tally:
    """What happened in all rounds."""

    kills: int = 0
    rounds: int = 0
    points_kept: int = 0
    acknowledged: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    lives: list[float] = field(default_factory=list)


def testimony(witness: Path | None) -> list[Point]:
    """The points in a witness file, in order."""
    return [point for point, _ in _lines(witness)]


def calibrate(scene: Scene) -> tuple[Surface, Rhythm]:
    """Two uninterrupted runs in caches of their own: the surface to compare with, and the rhythm of a life."""
    never = lambda seconds: False  # noqa: E731
    reference, other = scene.folder / "reference", scene.folder / "calibration"
    scene.live(reference, None, never)
    witness = scene.folder / "witness.txt"
    born = time.time()
    scene.live(other, witness, never)
    end = time.time() - born
    times = [seconds - born for _, seconds in _lines(witness)]
    surface = only_surface(reference)
    require_equal(only_surface(other), surface)
    shutil.rmtree(other)
    witness.unlink()
    return surface, Rhythm(first=times[0], last=times[-1], end=end)


def only_surface(cache: Path) -> Surface:
    files = sorted(cache.glob("*.h5"))
    if len(files) != 1:
        raise Failure(f"a finished run left {len(files)} surface files in its cache.")
    return load_surface(files[0])


def require_equal(surface: Surface, reference: Surface) -> None:
    """Bit for bit, provenance apart."""
    if surface.key != reference.key or not surface.complete:
        raise Failure(f"the surface {surface.key[:12]} is not complete, or has another key.")
    pairs = {name: (getattr(surface, name), getattr(reference, name)) for name in ARRAYS}
    centre = reference.centre.arrays()
    pairs |= {f"centre {name}": (array, centre[name]) for name, array in surface.centre.arrays().items()}
    for name, (ours, theirs) in pairs.items():
        if np.asarray(ours).tobytes() != np.asarray(theirs).tobytes():
            raise Failure(f"{name} differs from the uninterrupted run.")


def end_of_life(rng: random.Random, rhythm: Rhythm, missing: int, witness: Path | None) -> Callable[[float], bool]:
    """When to kill: by the clock, or, with a witness now and then, just after the last point.

    The clock ends one life in seven before its first point; the others get a third of the sweep at most. What is aimed
    at the end comes while the surface file is written, a moment that the clock seldom hits.
    """
    if witness is not None and rng.random() < 0.25:
        delay = rng.uniform(0.0, 0.15)
        full: list[float] = []

        def after_the_last_point(seconds: float) -> bool:
            if not full and len(testimony(witness)) >= missing:
                full.append(seconds)
            return bool(full) and seconds >= full[0] + delay

        return after_the_last_point
    window = max(0.5, 0.35 * (rhythm.end - rhythm.first))
    early = rng.random() < 0.15
    moment = rng.uniform(0.0, rhythm.first) if early else rhythm.first + rng.uniform(-0.1, 1.0) * window
    return lambda seconds: seconds >= moment


def run_lives(scene: Scene, reference: Surface, rhythm: Rhythm, kills: int, rng: random.Random, tally: Tally) -> None:
    """Live and kill until `kills` lives are killed and the last surface is finished.

    Raises:
        Failure: see `Round.check` and `require_equal`.
    """
    turn = 0
    current = Round(cache=scene.folder / "round-1", key=reference.key, num_points=reference.num_points)
    while True:
        turn += 1
        witness = scene.folder / "witness.txt" if turn % 2 else None
        if witness is not None:
            witness.write_bytes(b"")
        missing = reference.num_points - len(current.found)
        last = tally.kills == kills
        over = (lambda seconds: False) if last else end_of_life(rng, rhythm, missing, witness)
        born = time.monotonic()
        killed = scene.live(current.cache, witness, over)
        phase = current.check(witness)
        tally.lives.append(time.monotonic() - born)
        if killed:
            tally.kills += 1
            tally.phases[phase] += 1
            if tally.kills % 10 == 0:
                note(f"  {tally.kills} of {kills} kills, {len(current.found)} of {reference.num_points} points kept")
            continue
        finish(current, reference, tally)
        if tally.kills == kills:
            return
        current = replace(current, cache=scene.folder / f"round-{tally.rounds + 1}", found=set(), acknowledged=set())


def finish(current: Round, reference: Surface, tally: Tally) -> None:
    """Compare a finished round and clear it away."""
    require_equal(only_surface(current.cache), reference)
    left = [path.name for path in current.cache.iterdir() if path.suffix != ".h5" and path.name != ".locks"]
    if left:
        raise Failure(f"a finished run left {', '.join(left)} in its cache.")
    tally.rounds += 1
    tally.points_kept += len(current.found)
    tally.acknowledged += len(current.acknowledged)
    shutil.rmtree(current.cache)


def _lines(witness: Path | None) -> list[tuple[Point, float]]:
    if witness is None or not witness.exists():
        return []
    # A line without its end is being written at this moment.
    lines = witness.read_text().split("\n")[:-1]
    parts = [line.split() for line in lines]
    return [(tuple(int(number) for number in point.split(",")), float(seconds)) for point, seconds in parts]


def _summary(tally: Tally, rhythm: Rhythm, failure: str, num_points: int) -> list[list[object]]:
    return [
        ["", "result"],
        ["kills", tally.kills],
        *[[f"  {phase}", count] for phase, count in sorted(tally.phases.items())],
        ["surfaces finished and compared bit for bit", tally.rounds],
        ["points of a surface", num_points],
        ["points kept over kills and compared", tally.points_kept],
        ["  of these acknowledged to a witness", tally.acknowledged],
        ["uninterrupted: first point, last point, end, s", f"{rhythm.first:.2f}, {rhythm.last:.2f}, {rhythm.end:.2f}"],
        ["median life, s", f"{statistics.median(tally.lives or [0.0]):.2f}"],
        ["failure", failure or "none"],
    ]


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default 0)")
    parser.add_argument("--checkpoint", type=Path, default=REPOSITORY / "checkpoints" / "digits-at.pt")
    parser.add_argument("--examples", type=int, default=64, help="so that a point takes some 10 ms (default 64)")
    parser.add_argument("--directions", type=int, default=5)
    parser.add_argument("--alpha", default="-1:1:41", help="nodes of a line (default -1:1:41)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the CSV file")
    return parser.parse_args()


def main() -> int:
    wanted = _parsed()
    if not wanted.checkpoint.is_file():
        raise SystemExit(f"there is no checkpoint {wanted.checkpoint}; name one with --checkpoint.")
    wanted.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(dir=wanted.out, prefix=".kills-")).resolve()
    arguments: tuple[str, ...] = ("plot-1d", str(wanted.checkpoint.resolve()), "--directions", str(wanted.directions))
    arguments += ("--alpha", wanted.alpha, "--examples", str(wanted.examples), "--out", "figure.png")
    scene = Scene(folder=folder, arguments=arguments)
    note("two uninterrupted runs")
    reference, rhythm = calibrate(scene)
    tally, failure = Tally(), ""
    try:
        run_lives(scene, reference, rhythm, wanted.kills, random.Random(wanted.seed), tally)
    except Failure as found:
        failure = str(found)
    row: Row = {
        "seed": wanted.seed,
        "kills": tally.kills,
        "kills_before_first_point": tally.phases["before the first point"],
        "kills_between_points": tally.phases["between points"],
        "kills_before_file": tally.phases["after the last point, before the surface file"],
        "kills_after_file": tally.phases["after the surface file was there"],
        "surfaces_compared": tally.rounds,
        "points_per_surface": reference.num_points,
        "points_kept": tally.points_kept,
        "points_acknowledged": tally.acknowledged,
        "failure": failure,
        "seconds": round(time.monotonic() - started, 1),
        "checkpoint": wanted.checkpoint.name,
        "num_examples": wanted.examples,
        "file_system": file_system(folder),
        **facts(),
    }
    append_rows(wanted.out / "kills.csv", [row])
    print_table(_summary(tally, rhythm, failure, reference.num_points))
    print(f"seed {wanted.seed}, {time.monotonic() - started:.0f} s")
    if failure:
        note(f"FAILED after {tally.kills} kills; the cache is kept in {folder}.")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
