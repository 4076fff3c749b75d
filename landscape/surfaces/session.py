"""One process that computes points of one surface: it appends them as they finish and joins them at the end."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Set
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from landscape.errors import FileError, InputError
from landscape.files import remove_file
from landscape.surfaces import claims
from landscape.surfaces.surface import CENTRE, Draft, Point, Surface, layout

if TYPE_CHECKING:
    from landscape.protocols import Measurement
    from landscape.surfaces.journal import Header, Journal
    from landscape.surfaces.store import SurfaceStore

logger = logging.getLogger(__name__)


class Session:
    """Made by `SurfaceStore.claim`; used in a `with` block, by one thread.

    Leaving the block gives the claim back. Without `finish` the journal stays and the next session goes on from it.

    Attributes:
        key: the surface.
        batch_size: examples in one batch, that of the first point computed for this surface.
        done: points that are finished, whoever computed them.
        reused: how many of them this session took from other surfaces.
    """

    def __init__(
        self,
        store: SurfaceStore,
        *,
        header: Header,
        claim: claims.Claim,
        journal: Journal,
        done: set[Point],
        reused: int,
        provenance: Mapping[str, Any],
    ) -> None:
        self.key = header.key
        self.batch_size = header.batch_size
        self.done = done
        self.reused = reused
        self._store, self._header, self._claim, self._journal = store, header, claim, journal
        self._points = all_points(header.spec)
        who = {"batch_size": header.batch_size, "writer": claim.writer, "pid": claim.pid, "host": claim.host}
        self._provenance = {**provenance, **who, "since": claim.since}
        self._introduced = False
        self._open = True

    def append(self, point: Point, measurement: Measurement) -> None:
        """Keep a finished point: when this returns, the death of the process does not lose it.

        A loss of power undoes half a second of work at most, see `Journal.append_point`.

        The first measurement of a point is final; another one for the same point changes nothing.

        Raises:
            InputError: the surface has no such point.
            SurfaceError: the measurement does not have n examples, or other types.
            FileError: the disk is full or gone; everything appended before is kept.
        """
        if point not in self._points:
            raise InputError(f"the surface has no point {point}; points are (direction, *grid index) or {CENTRE}.")
        if point in self.done:
            logger.debug("point %s is already there", point)
            return
        if not self._introduced:
            self._journal.append_session(self._provenance)
            self._introduced = True
        self._journal.append_point(point, measurement)
        self.done.add(point)

    def reuse(self, points: Set[Point]) -> None:
        """Take those of the points that other surfaces have; where no grid is refined, a session begins with all.

        Raises:
            FileError: the disk is full or gone; everything appended before is kept.
        """
        found = self._store.reuse(self._header, self._journal, self.done, among=points)
        self.done |= found
        self.reused += len(found)
        self._introduced = self._introduced and not found  # the last process that the journal names is another one

    def finish(self) -> Path:
        """Join everything there is into the surface file, complete or not, and give the claim back.

        The journals go, unless another process still appends. With no point at all nothing is written.

        Returns:
            Where the surface lies.

        Raises:
            FileError: the file cannot be written; the journals stay.
            SurfaceError: a journal or file is damaged beyond its end.
        """
        path = self._store.path(self.key)
        if not self._open:
            return path
        folder = self._store.points_folder(self.key)
        with self._store.lock(self.key):
            self._journal.close()
            others = [claim for claim in claims.living(folder) if claim != self._claim]
            if self.done:
                self._store.merge_locked(self.key, remove_journals=not others)
            self._give_back(folder)
        return path

    def surface(self) -> Surface:
        """Everything that is finished by now, from the file and all journals."""
        surface = self._store.collect(self.key)
        if surface is not None:
            return surface
        about = self._header
        return Draft(key=about.key, spec=about.spec, example_ids=about.example_ids, labels=about.labels).surface()

    def close(self) -> None:
        """Give the claim back without joining anything; closing twice is fine."""
        if self._open:
            with self._store.lock(self.key):
                self._give_back(self._store.points_folder(self.key))

    def _give_back(self, folder: Path) -> None:
        self._open = False
        self._journal.close()
        claims.release(folder, self._claim)
        if not self.done:
            remove_file(self._journal.path)
        with contextlib.suppress(OSError):  # it holds what others wrote, or is gone
            folder.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except FileError:
            # What went wrong in the block says more than a claim that could not be taken back.
            if error is None:
                raise
            logger.warning("the claim of surface %s could not be given back", self.key[:12])


def all_points(spec: Mapping[str, Any]) -> set[Point]:
    """The centre and every node of every line or plane that a specification names."""
    grid, num_directions = layout(spec)
    return {CENTRE, *product(range(num_directions), *(range(size) for size in grid.shape))}
