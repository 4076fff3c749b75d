"""Text in columns. Imports nothing: commands that only list something use it too."""

from __future__ import annotations

from collections.abc import Sequence


def in_columns(rows: Sequence[Sequence[str]], *, left: int | None = None) -> str:
    """Rows of cells in columns two spaces apart.

    Args:
        rows: at least one; all have the same number of cells.
        left: so many columns are flush left, the others, mostly numbers, flush right; all are flush left by default.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    flush_left = len(widths) if left is None else left
    lines = [
        "  ".join(
            cell.ljust(width) if column < flush_left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)
