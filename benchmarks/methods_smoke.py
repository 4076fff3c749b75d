"""Five epochs of every method on digits from the command line: does each learn at all?

    python benchmarks/methods_smoke.py [METHOD ...]

Prints one line for each method and exits with 1 if the robust training accuracy (PGD-10) of one that makes adversarial
examples stays at or below 40 %; a constant predictor has 12 %.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from landscape.names import METHODS
from landscape.training.history import read_history

EXTRA = {"rst": ["--labelled", "500"]}
ENOUGH = 0.4


def options_of(method: str) -> list[str]:
    return EXTRA.get(method.partition("-")[0], [])


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="all methods without")
    given = parser.parse_args()
    if unknown := [name for name in given.methods if name not in METHODS]:
        parser.error(f"there is no method {unknown[0]}; known are {', '.join(METHODS)}.")
    return given


def main() -> int:
    failed = []
    for method in _parsed().methods or METHODS:
        extra = options_of(method)
        with tempfile.TemporaryDirectory() as folder:
            call = [sys.executable, "-m", "landscape", "train", "--method", method, *extra, "--epochs", "5"]
            subprocess.run([*call, "--eval-every", "5", "--out", folder], check=True, capture_output=True)
            row = read_history(Path(folder) / "history.csv")[-1]
        robust, natural = row["train_robust_accuracy"] or 0.0, row["train_natural_accuracy"] or 0.0
        learned = robust > ENOUGH or method.startswith("natural")
        failed += [] if learned else [method]
        words = (
            f"natural {100 * natural:5.1f} %  robust {100 * robust:5.1f} %  ||v||/||w|| {row['perturbation_ratio']:.4f}"
        )
        print(f"{method:15s}  {words}  {' '.join(extra)}{'' if learned else '  NOT ENOUGH'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
