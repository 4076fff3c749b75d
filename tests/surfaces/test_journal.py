from __future__ import annotations

import errno
import json
import logging
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape.errors import FileError, SurfaceError
from landscape.files import digest_json
from landscape.protocols import Measurement
from landscape.surfaces.journal import Contents, Header, Journal, read_header, scan
from landscape.surfaces.records import Kind, pack_record
from landscape.surfaces.surface import CENTRE, Grid, Point

N = 3
SPEC: dict[str, Any] = {"grid": Grid.parse("-1:1:3", "0:1:2").to_spec(), "num_directions": 2, "seed": 0}
POINTS: list[Point] = [CENTRE, (0, 0, 0), (0, 2, 1), (1, 1, 0)]


def header(spec: dict[str, Any] = SPEC, batch_size: int = 8) -> Header:
    ids = np.array([5, 7, 60_000])
    return Header(key=digest_json(spec), spec=spec, example_ids=ids, labels=ids % 10, batch_size=batch_size)


def measured(point: Point) -> Measurement:
    value = float(sum((part + 2) * 10.0**place for place, part in enumerate(point)))
    return Measurement(
        adversarial_loss=np.array([value, -value, 0], np.float32),
        clean_loss=np.array([np.nan, np.inf, -0.0], np.float32),
        adversarial_correct=np.array([0, 1, 0], np.uint8),
        clean_correct=np.array([1, 1, 0], np.uint8),
    )


def same(first: Measurement, second: Measurement) -> bool:
    return all(first.arrays()[name].tobytes() == array.tobytes() for name, array in second.arrays().items())


def write(path: Path, points: list[Point] = POINTS, **session: Any) -> None:
    journal = Journal(path, header())
    journal.append_session({"label": "first", **session})
    for point in points:
        journal.append_point(point, measured(point))
    journal.close()


def read(path: Path) -> Contents:
    contents = scan(path, key=header().key)
    assert contents is not None
    return contents


def points_in(path: Path) -> list[Point]:
    found = []
    for record, measurement in read(path).measurements():
        assert same(measurement, measured(record.point))
        found.append(record.point)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "main.journal"
    write(place)
    return place


def test_what_was_appended_is_read_back_bit_for_bit(path: Path) -> None:
    assert points_in(path) == POINTS
    contents = read(path)
    assert contents.sessions == ({"label": "first"},)
    assert contents.header.spec == SPEC
    assert contents.header.batch_size == 8
    assert contents.header.example_ids.tolist() == [5, 7, 60_000]
    assert contents.header.labels.tolist() == [5, 7, 0]
    assert contents.end == contents.size == path.stat().st_size
    found = read_header(path)
    assert found is not None
    assert found.key == header().key


def test_the_next_session_goes_on_and_keeps_the_first_header(path: Path) -> None:
    journal = Journal(path, header(batch_size=99))
    journal.append_session({"label": "second"})
    journal.append_point((1, 0, 1), measured((1, 0, 1)))
    journal.close()
    assert points_in(path) == [*POINTS, (1, 0, 1)]
    contents = read(path)
    assert [record.session for record in contents.points] == [0, 0, 0, 0, 1]
    assert contents.header.batch_size == 8


def test_a_journal_without_points_takes_the_new_header(tmp_path: Path) -> None:
    write(tmp_path / "x", points=[])
    Journal(tmp_path / "x", header(batch_size=99)).close()
    contents = read(tmp_path / "x")
    assert (contents.header.batch_size, contents.sessions) == (99, ())


def test_a_tail_torn_at_any_byte_costs_the_last_record_only(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = path.read_bytes()
    last = read(path).points[-2].offset + 10 * N
    for length in range(last, len(whole)):
        path.write_bytes(whole[:length])
        assert points_in(path) == POINTS[:-1]
        assert read(path).end == last
        caplog.clear()
        Journal(path, header()).close()
        assert path.read_bytes() == whole[:last]
        assert [record.levelno for record in caplog.records] == ([logging.WARNING] if length > last else [])
    write(path, points=[POINTS[-1]])
    assert points_in(path) == POINTS


def test_a_header_torn_at_any_byte_counts_as_empty(path: Path) -> None:
    whole = path.read_bytes()
    end = whole.index(b"LSJ1", 1)
    for length in [*range(0, end, 7), end - 1]:
        path.write_bytes(whole[:length])
        assert scan(path, key=header().key) is None
        assert read_header(path) is None
        write(path)
        assert points_in(path) == POINTS


def test_a_flipped_bit_anywhere_keeps_what_is_before_it(path: Path) -> None:
    whole = path.read_bytes()
    records = read(path).points
    for place in range(len(whole)):
        flipped = whole[place] ^ (1 << place % 8)
        path.write_bytes(whole[:place] + bytes([flipped]) + whole[place + 1 :])
        kept = [] if scan(path, key=header().key) is None else points_in(path)
        assert kept == [record.point for record in records if record.offset + 10 * N <= place]


@pytest.mark.parametrize("junk", [b"x", b"\0" * 4096, b"LSJ1" * 100, os.urandom(500)], ids=["x", "0", "magic", "noise"])
def test_junk_at_the_end_is_cut(path: Path, junk: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + junk)
    assert points_in(path) == POINTS
    Journal(path, header()).close()
    assert path.read_bytes() == whole


def test_an_absurd_length_is_not_believed(path: Path) -> None:
    record = bytearray(pack_record(Kind.POINT, (0, 1, 1), b"1" * 10 * N))
    record[20:28] = (2**62).to_bytes(8, "little")
    path.write_bytes(path.read_bytes() + record)
    assert points_in(path) == POINTS


def test_a_journal_of_another_surface_is_refused(path: Path) -> None:
    other = header({**SPEC, "seed": 1})
    for refused in (lambda: scan(path, key=other.key), lambda: Journal(path, other)):
        with pytest.raises(SurfaceError, match="is the journal of another surface"):
            refused()
    assert points_in(path) == POINTS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"format": "landscape-journal/2"}, "upgrade this package", id="newer"),
        pytest.param({"spec": {**SPEC, "seed": 9}}, "another surface", id="changed specification"),
        pytest.param({"labels": [1]}, "examples without labels", id="labels"),
        pytest.param({"labels": ["a"]}, "unknown header", id="no numbers"),
        pytest.param({"more": 1}, "unknown header", id="unknown field"),
    ],
)
def test_a_header_that_is_not_ours_is_refused(path: Path, change: dict[str, Any], message: str) -> None:
    text = json.dumps({**json.loads(header().to_json()), **change})
    path.write_bytes(pack_record(Kind.HEADER, (), text.encode()))
    with pytest.raises(SurfaceError, match=message):
        scan(path)


@pytest.mark.parametrize(
    ("point", "size"),
    [((0, 3, 0), N), ((2, 0, 0), N), ((-1, 0, 0), N), ((0, -1, 0), N), ((0, 0), N), ((0, 0, 0), N + 1)],
    ids=["alpha", "direction", "half a centre", "negative", "a line's", "too long"],
)
def test_a_point_that_the_surface_cannot_have_is_refused(path: Path, point: Point, size: int) -> None:
    path.write_bytes(path.read_bytes() + pack_record(Kind.POINT, point, b"1" * 10 * size))
    with pytest.raises(SurfaceError, match="not of its surface"):
        scan(path)


@pytest.mark.parametrize(
    "change",
    [{"clean_loss": np.zeros(N)}, {"clean_loss": np.zeros(N + 1, np.float32)}, {"clean_correct": np.zeros(N, bool)}],
    ids=["float64", "length", "bool"],
)
def test_a_measurement_of_other_types_is_refused(path: Path, change: dict[str, Any]) -> None:
    journal = Journal(path, header())
    with pytest.raises(SurfaceError, match=f"of a point needs {N} numbers of type"):
        journal.append_point(CENTRE, Measurement(**{**measured(CENTRE).arrays(), **change}))
    journal.close()
    assert points_in(path) == POINTS


def test_a_full_disk_costs_nothing_that_was_finished(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    room = [20]

    def full(file: int, data: Any, offset: int) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(file, data[: room[0]], offset)
        room[0] -= written
        return written

    journal = Journal(path, header())
    journal.append_session({"label": "second"})
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(FileError, match="No space left on device; finished points are kept, make room"):
        journal.append_point((1, 0, 0), measured((1, 0, 0)))
    assert points_in(path) == POINTS
    monkeypatch.undo()
    journal.append_point((1, 0, 1), measured((1, 0, 1)))
    journal.close()
    assert points_in(path) == [*POINTS, (1, 0, 1)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_limit_on_the_size_of_files_is_met_the_same_way(path: Path) -> None:
    size = path.stat().st_size
    child = os.fork()
    if child == 0:
        status = 1
        try:
            journal = Journal(path, header())
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 60, size + 60))
            try:
                journal.append_session({"label": "second"})
                journal.append_point((1, 0, 0), measured((1, 0, 0)))
            except FileError:
                status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert points_in(path) == POINTS


def test_a_missing_folder_or_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot write .*: No such file or directory; name another folder"):
        Journal(tmp_path / "no" / "x.journal", header())
    with pytest.raises(FileError, match=r"cannot read .*x\.journal"):
        scan(tmp_path / "x.journal")


def test_a_closed_journal_says_so(path: Path) -> None:
    journal = Journal(path, header())
    journal.close()
    journal.close()
    with pytest.raises(FileError, match="is closed"):
        journal.append_point(CENTRE, measured(CENTRE))
