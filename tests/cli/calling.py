"""The command line as tests call it, and the surfaces that they store for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from landscape.cli.main import main
from landscape.surfaces.store import SurfaceStore, key_of
from landscape.surfaces.surface import Surface

Call = Callable[..., tuple[int, str, str]]
"""Arguments to exit code, standard output and standard error."""


def calling(capsys: pytest.CaptureFixture[str], *command: str) -> Call:
    """Call `landscape`, or one command of it, in this process."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([*command, *map(str, arguments)])
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out, printed.err

    return run


def stored(surface: Surface, cache: Path, *, finish: bool = True) -> str:
    """Store a surface as the process that computed it would, or leave it in a journal; gives back its key."""
    with SurfaceStore(cache).claim(
        dict(surface.spec),
        example_ids=surface.example_ids,
        labels=surface.labels,
        provenance=dict(surface.provenance[0]),
        batch_size=len(surface.labels),
    ) as session:
        for point in surface.done_points():
            session.append(point, surface.measurement(point))
        if finish:
            session.finish()
    return key_of(surface.spec)
