"""The command `landscape`, with a witness: `python witness.py FILE ARGUMENTS...`.

Runs the same `main` as the installed command, and writes a line `POINT SECONDS` to FILE after every finished point that
was handed over and acknowledged: what is in FILE must never be lost, and never be computed again.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from landscape.cli.main import main
from landscape.surfaces.session import Session


def watch(path: str) -> None:
    """Let `Session.append` testify after it has returned."""
    acknowledged = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    append = Session.append

    def witnessed(self: Session, point: tuple[int, ...], measurement: Any) -> None:
        append(self, point, measurement)
        # One write of a short line: the system keeps it whatever happens to this process.
        os.write(acknowledged, f"{','.join(map(str, point))} {time.time():.6f}\n".encode())

    Session.append = witnessed  # type: ignore[method-assign]


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip())
        sys.exit(0 if sys.argv[1:2] in (["-h"], ["--help"]) else 2)
    watch(sys.argv[1])
    sys.argv = ["landscape", *sys.argv[2:]]
    main()
