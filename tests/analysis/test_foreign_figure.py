from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from landscape.analysis.figures import save_figure
from landscape.analysis.foreign_figure import foreign_figure, foreign_numbers, foreign_sentences
from landscape.errors import InputError
from landscape.surfaces.foreign import ForeignSurface, import_foreign
from tests.surfaces.test_foreign import X, Y, write_theirs


def line(tmp_path: Path, label: str = "vgg9") -> ForeignSurface:
    path = write_theirs(
        tmp_path / f"{label}.h5",
        Y,
        missing=(4,),
        train_loss=lambda a, b: 0.1 + a * a,
        train_acc=lambda a, b: 99 - a * a,
    )
    return import_foreign(path)


def plane(tmp_path: Path) -> ForeignSurface:
    path = write_theirs(
        tmp_path / "plane.h5", X, Y, train_loss=lambda a, b: a * a + b * b, test_loss=lambda a, b: 2 + b
    )
    return import_foreign(path)


def texts_of(surface: ForeignSurface) -> str:
    figure = foreign_figure([surface])
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def test_the_caption_says_that_the_origin_is_foreign(tmp_path: Path) -> None:
    surface = line(tmp_path)
    caption = texts_of(surface)
    assert f"vgg9: imported from vgg9.h5 (sha256 {surface.digest[:12]})." in caption
    assert "Foreign: computed by tomgoldstein/loss-landscape, which records means only." in caption
    assert "no band, interval or comparison can be made" in caption
    assert "Masked in vgg9 (train_loss, train_acc): 1 missing and 0 not finite of 5 points." in caption


def test_curves_are_losses_and_errors(tmp_path: Path) -> None:
    loss, error = foreign_figure([line(tmp_path)]).axes
    for axes, expected in ((loss, [4.1, 1.1, 0.1, 1.1, np.nan]), (error, [5.0, 2.0, 1.0, 2.0, np.nan])):
        np.testing.assert_allclose(np.asarray(axes.lines[0].get_ydata(), np.float64), np.array(expected))
    assert (loss.get_ylabel(), error.get_ylabel()) == ("loss (as that tool computed it)", "error (%)")


def test_planes_are_contours_on_one_scale(tmp_path: Path) -> None:
    figure = foreign_figure([plane(tmp_path)])
    bars = [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]
    titles = [axes.get_title() for axes in figure.axes if axes not in bars]
    assert titles == ["train loss (as that tool computed it)", "", "test loss (as that tool computed it)", ""]
    assert len({axes.get_ylim() for axes in bars}) == 1
    assert any(text.get_text() == "not in the file" for axes in figure.axes for text in axes.texts)
    assert save_figure(figure, tmp_path / "a.png").stat().st_size > 10_000


def test_only_curves_are_overlaid(tmp_path: Path) -> None:
    figure = foreign_figure([line(tmp_path), line(tmp_path, "resnet")])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["vgg9 (train)", "resnet (train)"]
    with pytest.raises(InputError, match="drawn one at a time"):
        foreign_figure([line(tmp_path), plane(tmp_path)])
    with pytest.raises(InputError, match="at least one surface"):
        foreign_figure([])


def test_numbers_and_sentences_say_what_is_known(tmp_path: Path) -> None:
    surface = line(tmp_path)
    found = foreign_numbers(surface)
    assert found["foreign"] is True and found["train_loss"] == [4.1, 1.1, 0.1, 1.1, None]
    assert "  train_loss: 0.1 to 4.1, 4 of 5 points" in foreign_sentences([surface])
