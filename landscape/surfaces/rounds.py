"""In which rounds the points of a surface are measured: one, or of a refined plane one for each level."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass

from landscape.surfaces.surface import Point, Surface


@dataclass(frozen=True, kw_only=True)
class Round:
    """Points to be measured before anything else is decided.

    Attributes:
        missing: in order, at least one.
        num_asked: how many are asked for by now, those that are there included.
    """

    missing: Sequence[Point]
    num_asked: int

    @property
    def num_done(self) -> int:
        """How many of them are there when the round begins."""
        return self.num_asked - len(self.missing)


def one_round(points: Sequence[Point], done: Set[Point]) -> Iterator[Round]:
    """All points that are missing at once; nothing if none is."""
    missing = [point for point in points if point not in done]
    if missing:
        yield Round(missing=missing, num_asked=len(points))


def rounds_of_levels(
    surface: Callable[[], Surface], reuse: Callable[[Set[Point]], None] = lambda points: None
) -> Iterator[Round]:
    """What a refined plane asks for, level by level; each round is decided when the one before it is measured.

    Args:
        surface: what there is by now.
        reuse: called with the points that are missing before they are measured, takes over those that others have.
    """
    while True:
        asked, done = surface().asked_points(), surface().done_points()
        if done.issuperset(asked):
            return
        reuse(set(asked) - done)
        yield from one_round(asked, surface().done_points())
