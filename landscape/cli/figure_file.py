"""The figure of a command on the disk, and whether it took the place of another one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPLACED = "replaced another picture of this name; --out FILE keeps both."
"""The last line of a command whose figure took the place of one that showed something else."""


def save_over(figure: Figure, out: Path) -> bool:
    """Save a figure; whether it took the place of a file of other contents, as the same figure gives the same bytes.

    Raises:
        InputError: `out` has the suffix of no picture.
        FileError: the file cannot be written.
    """
    from landscape.analysis.figures import save_figure

    before = _contents(out)
    return before not in (None, _contents(save_figure(figure, out)))


def _contents(path: Path) -> bytes | None:
    """What is in a file; None where there is none that can be read."""
    with contextlib.suppress(OSError):
        return path.read_bytes() if path.is_file() else None
    return None
