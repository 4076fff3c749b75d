"""The figure of `landscape lsc-groups`: a panel of curves for each checkpoint and split, and the groups' sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landscape.analysis.captions import alpha_label, settings_caption, value_label
from landscape.analysis.group_colours import FEW_COLOUR, GroupLook, group_looks, text_colour
from landscape.analysis.groups import MIN_MEMBERS, Group, GroupedSurface, Grouping, ordered
from landscape.analysis.layout import Page, compose_freely, settled, shortened
from landscape.analysis.loss_words import losses_of
from landscape.analysis.plots import draw_mean
from landscape.analysis.samples import require_line
from landscape.analysis.settings import is_attacked
from landscape.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = {"change": (True,), "raw": (False,), "both": (True, False)}
"""What panels show: g(alpha) - g(0), g(alpha), or both."""

MOST_COLUMNS = 4

MOST_FEW = 10
"""Groups with too few members that a panel lists one by one."""

ONE_COLUMN = 5
"""More of them are listed in two columns."""

LEGEND_LINE = 0.08
"""Height of a line of a panel's legend, of the panel's height."""

PANEL_HEIGHT = 2.9

BAR_HEIGHT = 0.24

BAND = 0.1
"""Opacity of the bands: groups share directions, so their bands lie over one another."""

AROUND_BARS = 0.75
"""Inches for the labels of the bars' axis."""

MOST_BANDS = 7
"""More groups are drawn without bands, which would cover one another."""

TITLE_LENGTHS = {1: 56, 2: 50, 3: 32, 4: 28}
"""Characters of a panel's title that fit, by the number of columns."""

LEAST_SHARE = 0.035
"""A narrower part of a bar is not labelled with its number."""


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """One panel: which surface, and whether the value at the centre is subtracted."""

    grouped: GroupedSurface
    centred: bool


@dataclass(frozen=True, kw_only=True)
class Parted:
    """Where the panels of a series part: behind the first ones a row ends.

    Attributes:
        num_first: how many checkpoints come before.
        words: what happened then, for example `epoch 50 (best)`.
    """

    num_first: int
    words: str


def group_figure(
    checkpoints: Sequence[Sequence[GroupedSurface]],
    grouping: Grouping,
    *,
    quantity: str = "loss",
    show: str = "change",
    title: str | None = None,
    parted: Parted | None = None,
) -> Figure:
    """One curve for each group: a column of panels for each checkpoint, a row for each split, and bars of the sizes.

    All panels that show the same have one y range, that of the groups with at least `MIN_MEMBERS` members. Smaller ones
    are thin (classes: with hollow markers; groups by loss: grey, dashed, alike in all panels), with their number; empty
    ones are absent.

    Args:
        checkpoints: the grouped surfaces of each checkpoint, one for each split.
        grouping: that made the groups.
        quantity: one of `names.QUANTITIES`.
        show: `change`, `raw` or `both`.
        title: a line above the legend; how the examples are grouped by default.
        parted: of a series, where its panels part.

    Raises:
        InputError: no surface, a surface over a plane, another word for `show`, or a quantity that is unknown or was
            not measured.
    """
    every = [grouped for splits in checkpoints for grouped in splits]
    if not every or show not in SHOWN:
        raise InputError(
            f"a figure of groups needs surfaces and one of {', '.join(SHOWN)}, got {len(every)}, {show!r}."
        )
    for grouped in every:
        require_line(grouped.surface)
    rows = _arranged(checkpoints, SHOWN[show], parted.num_first if parted else 0)
    indices = ordered(group.index for grouped in every for group in grouped.groups)
    looks = group_looks(indices, grouping)
    heights = [PANEL_HEIGHT * len(rows), AROUND_BARS + BAR_HEIGHT * len(every)]

    def draw(figure: Figure) -> None:
        parts: Any = figure.subfigures(2, 1, height_ratios=heights)
        upper, lower = parts
        _draw_panels(upper, rows, looks, quantity)
        _label_groups(figure.axes[0], looks, [group for grouped in every for group in grouped.groups])
        _draw_sizes(lower.subplots(), every, looks)

    width = 6.5 if len(rows[0]) == 1 else 10.0
    caption = _caption(every, grouping, show, parted)
    heading = title or _heading(every, grouping)
    return settled(compose_freely(Page(width=width, panel_height=sum(heights), caption=caption, title=heading), draw))


def draw_groups(
    axes: Axes, grouped: GroupedSurface, looks: dict[int, GroupLook], *, quantity: str = "loss", centred: bool = True
) -> Axes:
    """Draw the curve of every group with its band; small ones thin, listed with their number in the panel's legend."""
    few = [group for group in grouped.groups if group.few]
    band = BAND if len(looks) <= MOST_BANDS else 0.0
    for group in grouped.groups:
        if not group.few:
            curve = looks[group.index].curve(group)
            draw_mean(
                axes, curve, quantity=quantity, centred=centred, band=band, label="_", linewidth=1.7, markersize=3.0
            )
    limits = axes.dataLim.frozen()
    lines = []
    for group in few:
        look = looks[group.index]
        line = {"label": "_", "zorder": 2.1, **look.small(list(looks).index(group.index))}
        draw_mean(axes, look.curve(group), quantity=quantity, centred=centred, band=0.0, **line)
        lines.append(axes.lines[-1])
    if len(few) < len(grouped.groups):
        axes.dataLim.set(limits)  # a handful of examples does not set the scale of the others
    if few:
        _list_few(axes, few, lines)
    return axes


def _arranged(
    checkpoints: Sequence[Sequence[GroupedSurface]], shown: Sequence[bool], num_first: int
) -> list[list[_Panel | None]]:
    """Rows of panels: checkpoints side by side, below one another what is shown of them; a lone one side by side."""
    if len(checkpoints) == 1:
        (splits,) = checkpoints
        rows = [[_Panel(grouped=grouped, centred=centred) for grouped in splits] for centred in shown]
        return [list(column) for column in zip(*rows, strict=True)] if len(splits) == 1 else [list(row) for row in rows]
    parts = [part for part in (checkpoints[:num_first], checkpoints[num_first:]) if part]
    num_columns = max(-(-len(part) // -(-len(part) // MOST_COLUMNS)) for part in parts)
    blocks = [part[first : first + num_columns] for part in parts for first in range(0, len(part), num_columns)]
    arranged: list[list[_Panel | None]] = []
    for block in blocks:
        for centred in shown:
            for split in range(len(block[0])):
                row: list[_Panel | None] = [_Panel(grouped=splits[split], centred=centred) for splits in block]
                arranged.append(row + [None] * (num_columns - len(row)))
    return arranged


def _draw_panels(figure: Any, rows: list[list[_Panel | None]], looks: dict[int, GroupLook], quantity: str) -> None:
    panels = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    first: dict[bool, Any] = {}
    for axes_row, row in zip(panels, rows, strict=True):
        for column, (axes, panel) in enumerate(zip(axes_row, row, strict=True)):
            if panel is None:
                axes.remove()
                continue
            if panel.centred in first:
                axes.sharey(first[panel.centred])
            first.setdefault(panel.centred, axes)
            draw_groups(axes, panel.grouped, looks, quantity=quantity, centred=panel.centred)
            axes.set_title(_panel_title(panel.grouped, len(row)), fontsize=10.5 if len(row) <= 2 else 9.5)
            axes.tick_params(labelleft=column == 0)
            axes.set_xlim(*_horizontal_range(panel.grouped))
            if column == 0:
                label = value_label(quantity, [panel.grouped.surface], centred=panel.centred)
                axes.set_ylabel(label.replace(" g(", "\ng(", 1))
    if False in first:
        _make_room(first[False], [panel.grouped for row in rows for panel in row if panel is not None])
    surfaces = [panel.grouped.surface for row in rows for panel in row if panel is not None]
    label = alpha_label(surfaces) if len(rows[0]) <= 2 else "α"
    for column in range(len(rows[0])):
        lowest = [axes_row[column] for axes_row, row in zip(panels, rows, strict=True) if row[column] is not None][-1]
        lowest.set_xlabel(label)


def _make_room(axes: Axes, every: Sequence[GroupedSurface]) -> None:
    """Room for the panels' legends above curves of g(alpha), which have no hollow that all of them leave."""
    listed = max(sum(group.few for group in grouped.groups) for grouped in every)
    low, high = axes.get_ylim()
    num_lines = -(-min(listed, MOST_FEW) // _num_columns(listed))
    axes.set_ylim(low, high + LEGEND_LINE * num_lines * (high - low))


def _panel_title(grouped: GroupedSurface, num_columns: int) -> str:
    """Checkpoint and split; a long name loses its middle."""
    room = TITLE_LENGTHS[num_columns] - len(f" ({grouped.split})")
    return f"{shortened(grouped.title, room)} ({grouped.split})"


def _horizontal_range(grouped: GroupedSurface) -> tuple[float, float]:
    alpha = grouped.surface.grid.alpha
    margin = 0.04 * (alpha[-1] - alpha[0]) or 1.0
    return alpha[0] - margin, alpha[-1] + margin


def _label_groups(axes: Axes, looks: dict[int, GroupLook], groups: Sequence[Group]) -> None:
    """Entries of the figure's legend, in the order of the groups whichever panel they are in.

    A group by loss that is small in every panel has its colour in the bars alone, and its entry says so.
    """
    large = {group.index for group in groups if not group.few}
    for index, look in looks.items():
        if index in large or look.marker != "None":
            axes.plot([], [], color=look.colour, linestyle=look.linestyle, marker=look.marker, label=look.name)
        else:
            bar: dict[str, Any] = {"linestyle": "none", "marker": "s", "markersize": 7.0}
            axes.plot([], [], color=look.colour, label=f"{look.name}: in the bars only", **bar)
    if any(group.few for group in groups):
        any_look = next(iter(looks.values()))
        line = {"color": FEW_COLOUR, "marker": any_look.marker, **any_look.small(0)}
        axes.plot([], [], label=f"fewer than {MIN_MEMBERS} examples", **line)


def _list_few(axes: Axes, few: Sequence[Group], lines: Sequence[Any]) -> None:
    """The panel's own legend, in the hollow of its curves."""
    names = [f"{group.name.partition(':')[0]}: {group.size}" for group in few[:MOST_FEW]]
    if len(few) > MOST_FEW:
        names[-1] = f"and {len(few) - MOST_FEW + 1} more groups"
    look: dict[str, Any] = {"frameon": True, "framealpha": 0.8, "edgecolor": "none", "borderpad": 0.2}
    look |= {"fontsize": 7.5, "handlelength": 2.6, "labelspacing": 0.25}
    axes.legend(list(lines[: len(names)]), names, loc="upper center", ncols=_num_columns(len(names)), **look)


def _num_columns(num_listed: int) -> int:
    """Of a panel's legend."""
    return 1 if num_listed <= ONE_COLUMN else 2


def _draw_sizes(axes: Axes, every: Sequence[GroupedSurface], looks: dict[int, GroupLook]) -> None:
    """One bar for each surface: the share of each group, with its number where there is room."""
    for row, grouped in enumerate(every):
        left = 0.0
        for group in grouped.groups:
            look, width = looks[group.index], 100 * group.share
            bar: dict[str, Any] = {"color": look.colour, "hatch": look.hatch, "edgecolor": "white", "linewidth": 0.6}
            axes.barh(row, width, left=left, height=0.8, **bar)
            if group.share >= LEAST_SHARE:
                where = left + width / 2
                ink = text_colour(look.colour)
                behind = {"facecolor": look.colour, "edgecolor": "none", "pad": 2.5}
                number: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": ink, "bbox": behind}
                axes.text(where, row, str(group.size), **number)
            left += width
    axes.set_yticks(range(len(every)), [_panel_title(grouped, 3) for grouped in every])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the examples (%), with their number where it fits")
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)


def _heading(every: Sequence[GroupedSurface], grouping: Grouping) -> str:
    surfaces = [grouped.surface for grouped in every]
    kind = "adversarial " if all(is_attacked(surface) for surface in surfaces) else ""
    others = [words.title for words in losses_of(surfaces) if not words.is_ascended]
    loss = f"{kind}loss ({', '.join(others)})" if others else f"{kind}loss"
    how = {"class": "class", "correct": f"whether the model is right on the {kind}example at α = 0"}
    return f"Examples grouped by {how.get(grouping.by, f'{loss} at α = 0')}"


def _caption(every: Sequence[GroupedSurface], grouping: Grouping, show: str, parted: Parted | None) -> str:
    """What lines, bands and groups are, then every setting."""
    surfaces = [grouped.surface for grouped in every]
    how = _heading(every, grouping)
    if grouping.by == "loss":
        edges = ", ".join(f"{edge:g}" for edge in grouping.edges)
        how += f", edges {edges}, each group from its lower edge up to below its upper one"
    less = {"change": "g(α) − g(0)", "raw": "g(α)", "both": "g(α) − g(0) and g(α)"}[show]
    sentences = [f"{how}.", f"Lines: {less}, {_lines_and_bands(every)}. Groups without members are absent."]
    if any(group.few for grouped in every for group in grouped.groups):
        small = "Grey and dashed" if grouping.by == "loss" else "Thin, with hollow markers"
        sentences.append(
            f"{small}: groups with fewer than {MIN_MEMBERS} examples, with their number; they do not set the "
            "range of the panels."
        )
    if parted is not None:
        sentences.append(f"The series parts at {parted.words}, where a row ends.")
    return " ".join([*sentences, settings_caption(surfaces, [grouped.label for grouped in every])])


def _lines_and_bands(every: Sequence[GroupedSurface]) -> str:
    """What the lines are means over, and what the bands around them are."""
    if all(len(grouped.surface.direction_ids) == 1 for grouped in every):
        return "mean over the members of a group along one direction, so without bands"
    bands = "bands: 95 % t-interval of it over directions, for these examples"
    if len({group.index for grouped in every for group in grouped.groups}) > MOST_BANDS:
        bands = f"bands are not drawn for more than {MOST_BANDS} groups"
    return f"mean over directions of the mean over the members of a group; {bands}"
