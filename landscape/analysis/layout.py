"""Figures of panels, a legend above and a caption below that never cover a curve."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landscape.analysis.style import FIGURE_STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

DPI = 150

MARGIN = 0.15
"""Inches around title, legend and caption."""

CAPTION_SIZE, TITLE_SIZE = 9.0, 11.5
"""Points."""

LONGEST_LABEL = 60
"""Characters of a label in a legend; a longer one loses its middle."""

SIGNS = frozenset("=+−±")
"""Words beside which no line ends."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a figure holds besides its curves.

    Attributes:
        width: of the figure, in inches.
        panel_height: of one row of panels, in inches.
        rows: rows of two panels.
        caption: text below the panels.
        title: text above the legend; None for no title.
        share_y: whether all panels have one y range.
    """

    width: float = 10.0
    panel_height: float = 3.9
    rows: int = 1
    caption: str = ""
    title: str | None = None
    share_y: bool = True


@contextmanager
def own_style() -> Iterator[None]:
    """The style of this package's figures within the block; matplotlib's settings are the same before and after."""
    import matplotlib

    settings: Any = dict(FIGURE_STYLE)
    with matplotlib.rc_context(settings):
        yield


def compose(page: Page, draw: Callable[[Figure, Any], None]) -> Figure:
    """A figure of `page.rows` x 2 panels that `draw(figure, panels)` fills; the legend lists what it labelled."""
    return compose_freely(
        page, lambda figure: draw(figure, figure.subplots(page.rows, 2, sharey=page.share_y, squeeze=False))
    )


def compose_freely(page: Page, draw: Callable[[Figure], None]) -> Figure:
    """A figure whose `draw(figure)` makes panels of its own, within `page.rows` times the height of a row of panels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with own_style():
        figure = Figure(figsize=(page.width, page.rows * page.panel_height), dpi=DPI)
        FigureCanvasAgg(figure)
        draw(figure)
        _arrange(figure, page)
    return figure


def wrapped(figure: Figure, text: str, *, width: float, size: float, weight: str = "normal") -> list[str]:
    """`text` in lines of at most `width` inches in the figure's font at `size` points, parted where it reads well.

    Where there is room, `ε = 0.15` and `95 %` stay on one line, and the last line has two words at least.
    """
    from matplotlib.font_manager import FontProperties

    renderer, font = _renderer(figure), FontProperties(size=size, weight=weight)

    def fits(line: str) -> bool:
        pixels, _, _ = renderer.get_text_width_height_descent(line, font, False)
        return bool(pixels <= width * figure.dpi)

    lines = [""]
    for word in (part for unit in _units(text.split()) for part in ([unit] if fits(unit) else unit.split())):
        longer = f"{lines[-1]} {word}".strip()
        if fits(longer):
            lines[-1] = longer
            continue
        lines.append("")
        for letter in word:
            if not fits(lines[-1] + letter):
                lines.append("")
            lines[-1] += letter
    return [line for line in lines if line]


def _units(words: Sequence[str]) -> list[str]:
    """Words joined to those from which no line end shall part them."""
    units: list[str] = []
    for number, word in enumerate(words):
        joined = SIGNS & {word, words[number - 1]} or word.startswith("%") or number == len(words) - 1
        if units and joined:
            units[-1] += f" {word}"
        else:
            units.append(word)
    return units


def shortened(label: str, longest: int = LONGEST_LABEL) -> str:
    """A label without its middle where it has more characters than fit."""
    if len(label) <= longest:
        return label
    return f"{label[: longest // 2 - 1]}…{label[-(longest // 2) :]}"


def _arrange(figure: Figure, page: Page) -> None:
    """Give title, legend, panels and caption their own bands, and the figure the height of their sum."""
    bands = page.width - 2 * MARGIN
    look: dict[str, Any] = {"fontsize": TITLE_SIZE, "fontweight": "bold"}
    heading = wrapped(figure, page.title or "", width=bands, size=TITLE_SIZE, weight="bold")
    title = figure.text(0.5, 1.0, "\n".join(heading), ha="center", va="top", **look)
    lines = wrapped(figure, page.caption, width=bands, size=CAPTION_SIZE)
    caption = figure.text(
        0.0, 0.0, "\n".join(lines), va="bottom", fontsize=CAPTION_SIZE, color="#333333", linespacing=1.3
    )
    legend = _legend(figure, bands)
    tops = [_height(figure, title) if page.title else 0.0, _height(figure, legend) if legend else 0.0]
    below = _height(figure, caption) + 2 * MARGIN if lines else MARGIN
    above = sum(top + MARGIN / 2 for top in tops if top) + MARGIN
    height = above + page.rows * page.panel_height + below
    figure.set_size_inches(page.width, height)
    title.set_position((0.5, 1 - MARGIN / height))
    caption.set_position((MARGIN / page.width, MARGIN / height))
    if legend is not None:
        top = MARGIN + (tops[0] + MARGIN / 2 if tops[0] else 0.0)
        legend.set_bbox_to_anchor((0.5, 1 - top / height), transform=figure.transFigure)
    figure.set_layout_engine("constrained", rect=(0, below / height, 0.996, 1 - (above + below) / height))


def _legend(figure: Figure, width: float) -> Legend | None:
    """One legend for all panels, in as few rows as fit `width` inches, read line by line; None if it would be empty."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    entries = [(handle, shortened(label)) for label, handle in handles.items()]
    for rows in range(1, len(entries) + 1):
        columns = -(-len(entries) // rows)
        # Matplotlib fills a legend column by column, the first columns with one more.
        ordered = [entry for column in range(columns) for entry in entries[column::columns]]
        legend = figure.legend(
            [handle for handle, _ in ordered],
            [name for _, name in ordered],
            loc="upper center",
            ncols=columns,
            handlelength=3.2,
            borderpad=0,
            borderaxespad=0,
        )
        if columns == 1 or legend.get_window_extent(_renderer(figure)).width <= width * figure.dpi:
            return legend
        legend.remove()
    return None


def _height(figure: Figure, artist: Any) -> float:
    return float(artist.get_window_extent(_renderer(figure)).height / figure.dpi)


def _renderer(figure: Figure) -> Any:
    return figure.canvas.get_renderer()  # type: ignore[attr-defined]


def settled(figure: Figure) -> Figure:
    """The figure with its panels where the layout puts them, rounded: the solver's last digits vary from run to run."""
    with own_style():  # how many ticks an axis has, and so the room of their labels, depends on the style
        if any(axes.name == "3d" for axes in figure.axes):
            # Before matplotlib 3.11 the ticks of a relief are only where they belong once they have been drawn.
            engine = figure.get_layout_engine()
            figure.set_layout_engine("none")
            figure.draw_without_rendering()
            figure.set_layout_engine(engine)
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for part in figure.subfigs:
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(6))
    for axes in figure.axes:
        left, bottom, width, height = (round(side, 6) for side in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))
    return figure
