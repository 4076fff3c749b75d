from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from landscape.cli.figure_file import save_over
from landscape.errors import FileError


def figure(title: str) -> Figure:
    drawn = Figure(figsize=(1, 1))
    drawn.suptitle(title)
    return drawn


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_only_a_picture_that_showed_something_else_is_replaced(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"a{suffix}"
    assert [save_over(figure(title), out) for title in ("one", "one", "two", "two")] == [False, False, True, False]


def test_a_folder_is_no_picture_that_could_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(FileError):
        save_over(figure("one"), tmp_path / "a.png")
