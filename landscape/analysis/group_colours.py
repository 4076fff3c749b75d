"""How groups look: an ordered scale for groups by loss, distinct colours for classes, thin lines for small ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.analysis.groups import NO_NUMBER, REST, Grouping
from landscape.analysis.style import COLOURS, LINE_STYLES, MARKERS, Curve

if TYPE_CHECKING:
    from landscape.analysis.groups import Group

COLOUR_RANGE = (0.0, 0.88)
"""Part of the ordered scale: its light end cannot be seen on white."""

FEW_COLOUR = "#8a8a8a"

_FEW_LINES: tuple[Any, ...] = ((0, (4, 2)), (0, (1.2, 1.6)), (0, (7, 2, 1.5, 2)), (0, (10, 3)), (0, (3, 4)))

_HOLLOW = {"markersize": 4.6, "markeredgewidth": 0.8, "markerfacecolor": "white"}

_ROUNDS = (LINE_STYLES[0], LINE_STYLES[2], LINE_STYLES[1], LINE_STYLES[3])
"""Lines of the first classes, and of those that use the same colours once more."""


@dataclass(frozen=True, kw_only=True)
class GroupLook:
    """How a group is drawn wherever it has enough members.

    Attributes:
        name: in the legend.
        colour: of its line and its part of the bars.
        linestyle: any line style of matplotlib.
        marker: any marker of matplotlib, drawn at every node.
        hatch: of its part of the bars, where its colour is used a second time.
    """

    name: str
    colour: str
    linestyle: Any = "solid"
    marker: str = "None"
    hatch: str = ""

    def curve(self, group: Group) -> Curve:
        """The group as a curve."""
        return Curve(
            surface=group.surface, label=self.name, colour=self.colour, linestyle=self.linestyle, marker=self.marker
        )

    def small(self, position: int) -> dict[str, Any]:
        """How its line is drawn where it has few members, at a position among the groups of a figure.

        Groups with markers keep their colour and line; those of an ordered scale are grey and told apart by dashes and,
        where these are used once more, by hollow markers.
        """
        if self.marker == "None":
            return {"color": FEW_COLOUR, "linewidth": 1.1, **few_look(position), **_HOLLOW}
        return {"linewidth": 0.8, **_HOLLOW}


def group_looks(indices: Sequence[int], grouping: Grouping) -> dict[int, GroupLook]:
    """The look of each group, by index; those by loss are coloured by their place among all edges."""
    if grouping.by == "loss":
        return {index: _by_loss(index, grouping) for index in indices}
    return {
        index: GroupLook(
            name=grouping.name(index),
            colour=COLOURS[index % len(COLOURS)],
            linestyle=_ROUNDS[index // len(COLOURS) % len(_ROUNDS)],
            marker=MARKERS[(index + index // len(COLOURS)) % len(MARKERS)],
            hatch="" if index < len(COLOURS) else "//",
        )
        for index in indices
    }


def few_look(position: int) -> dict[str, Any]:
    """The line style and the marker of a small group by loss at a position among the groups of a figure."""
    num_lines = len(_FEW_LINES)
    marker = "None" if position < num_lines else MARKERS[(position - num_lines) % len(MARKERS)]
    return {"linestyle": _FEW_LINES[position % num_lines], "marker": marker}


def text_colour(background: str) -> str:
    """Black or white, whichever is read better on a colour."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(background)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def _by_loss(index: int, grouping: Grouping) -> GroupLook:
    import matplotlib
    from matplotlib.colors import to_hex

    if index in (REST, NO_NUMBER):
        line = LINE_STYLES[2] if index == REST else LINE_STYLES[3]
        return GroupLook(name=grouping.name(index), colour="#000000", linestyle=line)
    places = np.linspace(*COLOUR_RANGE, len(grouping.edges) - 1)
    return GroupLook(name=grouping.name(index), colour=to_hex(matplotlib.colormaps["plasma"](places[index])))
