from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from landscape.analysis.figures import curve_figure, save_figure
from landscape.analysis.layout import LONGEST_LABEL, shortened
from landscape.analysis.style import style_curves
from landscape.errors import FileError, InputError
from tests.analysis.synthetic import make_surface

LONG = "runs/$a_very_long$/name of a checkpoint that goes on and on, and then on again/epoch-100"


def figure_of(*labels: str, title: str | None = None, quantity: str = "loss") -> Figure:
    surfaces = [
        make_surface(label=label, weights=label, num_directions=3, num_examples=20, sharpness=3.0 + position)
        for position, label in enumerate(labels)
    ]
    return curve_figure(style_curves(surfaces), title=title, quantity=quantity)


def boxes(figure: Figure) -> dict[str, Bbox]:
    """Where legend, texts and panels are drawn, in pixels."""
    figure.canvas.draw()
    found = {f"text {index}": text.get_window_extent() for index, text in enumerate(figure.texts) if text.get_text()}
    found |= {f"legend {index}": legend.get_window_extent() for index, legend in enumerate(figure.legends)}
    panels = {}
    for index, axes in enumerate(figure.axes):
        box = axes.get_tightbbox()
        assert box is not None
        panels[f"panel {index}"] = box
    return found | panels


def require_no_overlap(figure: Figure) -> None:
    whole = figure.bbox
    found = boxes(figure)
    for name, box in found.items():
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1, f"{name} is cut at a side"
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1, f"{name} is cut above or below"
    for (one, first), (two, second) in itertools.combinations(found.items(), 2):
        overlap = Bbox.intersection(first, second)
        assert overlap is None or min(overlap.width, overlap.height) < 1, f"{one} covers {two}"


@pytest.mark.parametrize(
    ("labels", "title"),
    [
        (("digits-at",), None),
        (("digits-at", "digits-at-awp"), "Digits"),
        (("_hidden", LONG, LONG + "2", "awp"), "$no mathematics_"),
    ],
    ids=["one", "two", "long names"],
)
def test_nothing_covers_anything_else(labels: tuple[str, ...], title: str | None) -> None:
    figure = figure_of(*labels, title=title)
    require_no_overlap(figure)
    (legend,) = figure.legends
    assert len(legend.get_texts()) == len(labels)


def test_a_legend_has_even_rows_and_is_read_line_by_line() -> None:
    names = [f"a checkpoint with a long name {index}" for index in range(1, 7)]
    figure = figure_of(*names)
    require_no_overlap(figure)
    texts = figure.legends[0].get_texts()
    places = [(round(text.get_window_extent().y0), round(text.get_window_extent().x0)) for text in texts]
    lines = [[index for index, (y, _) in enumerate(places) if y == height] for height in sorted({y for y, _ in places})]
    assert len(lines) > 1
    assert len({len(line) for line in lines}) == 1
    read = [texts[index].get_text() for line in reversed(lines) for index in sorted(line, key=lambda i: places[i][1])]
    assert read == names


def test_both_panels_have_one_range_and_every_label() -> None:
    figure = figure_of("digits-at", "digits-at-awp")
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylabel() == "adversarial loss g(α) (cross-entropy, nats)"
    assert right.get_ylabel() == "adversarial loss g(α) − g(0) (nats)"
    assert {axes.get_xlabel() for axes in figure.axes} == {"α (multiples of the filter-normalized direction)"}
    caption = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    for setting in ("PGD-10, L∞, ε = 0.15", "Examples: 20 of digits train", "BatchNorm: frozen", "Seeds: directions 0"):
        assert setting in caption


def test_texts_are_readable() -> None:
    figure = figure_of("digits-at")
    figure.canvas.draw()
    texts: Any = figure.findobj(Text)
    assert min(text.get_fontsize() for text in texts if text.get_text()) >= 9


def test_settings_of_matplotlib_stay_as_they_were(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    save_figure(figure_of("digits-at"), tmp_path / "figure.png")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg", ".PNG"])
def test_saved_figures_are_reproducible(tmp_path: Path, suffix: str) -> None:
    first = save_figure(figure_of("digits-at"), tmp_path / f"first{suffix}")
    second = save_figure(figure_of("digits-at"), tmp_path / f"second{suffix}")
    assert first.read_bytes() == second.read_bytes()
    magic = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix.lower()]
    assert first.read_bytes().startswith(magic)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first.name, second.name])


def test_png_has_150_dots_per_inch(tmp_path: Path) -> None:
    figure = figure_of("digits-at")
    image: Any = imread(save_figure(figure, tmp_path / "figure.png"))
    assert image.shape[:2] == tuple(int(150 * inches) for inches in figure.get_size_inches()[::-1])
    assert np.ptp(image[..., :3]) > 0.5


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"written as \.png, \.pdf or \.svg, got 'figure\.jpg'"):
        save_figure(figure_of("digits-at"), tmp_path / "figure.jpg")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way_is_a_known_failure(tmp_path: Path) -> None:
    (tmp_path / "figure.png").mkdir()
    with pytest.raises(FileError, match="cannot write"):
        save_figure(figure_of("digits-at"), tmp_path / "figure.png")


def test_a_figure_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least one curve"):
        curve_figure([])


def test_long_labels_lose_their_middle() -> None:
    assert len(shortened(LONG * 2)) == LONGEST_LABEL
    assert shortened(LONG).startswith("runs/$a_very")
    assert shortened(LONG).endswith("/epoch-100")
