from __future__ import annotations

import errno
import io
import json
import logging
import math
import os
import resource
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape.errors import FileError, SurfaceError
from landscape.files import digest_json
from landscape.protocols import Measurement
from landscape.surfaces.journal import (
    LOST,
    Contents,
    Header,
    Journal,
    files_in,
    is_damaged,
    is_set_aside,
    read_header,
    scan,
)
from landscape.surfaces.records import Kind, encode, pack_record, read_records
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


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << place % 8
    path.write_bytes(content)


def test_a_flipped_bit_anywhere_costs_the_record_that_it_hits(path: Path) -> None:
    whole = path.read_bytes()
    records = read(path).points
    header_end, session_end = whole.index(b"LSJ1", 1), records[0].offset - 32
    for place in range(len(whole)):
        path.write_bytes(whole)
        flip(path, place)
        contents = scan(path, key=header().key)
        if place < header_end:
            assert contents is None
            assert is_damaged(path, contents)
            continue
        assert contents is not None
        hit = [record.point for record in records if record.offset - 32 <= place < record.offset + 10 * N]
        assert points_in(path) == [point for point in POINTS if point not in hit]
        assert contents.damaged == is_damaged(path, contents) == (hit != POINTS[-1:])
        # A damaged point leaves no doubt about who computed the others; a damaged session does.
        known = place >= session_end and (place - session_end) % (32 + 10 * N) >= 32
        if hit != POINTS[-1:] and (known or place < session_end):
            assert contents.sessions == (({"label": "first"},) if known else (LOST,))


def test_points_whose_session_may_be_lost_are_ascribed_to_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "main.journal"
    for number, point in enumerate(POINTS):
        write(path, [point], session=number)
    third = path.read_bytes().index(b'"session":2')
    flip(path, third)
    contents = read(path)
    assert [contents.sessions[record.session].get("session") for record in contents.points] == [0, 1, None, 3]
    assert contents.sessions[contents.points[2].session] == LOST
    assert points_in(path) == POINTS


@pytest.mark.parametrize("where", ["header", "session", "first point", "third point"])
def test_a_damaged_journal_is_set_aside_whole_and_another_begun(
    path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    records = read(path).points
    places = {"header": 40, "session": records[0].offset - 40, "third point": records[2].offset + 3}
    flip(path, places.get(where, records[0].offset))
    before = path.read_bytes()
    write(path, [(1, 0, 1)])
    aside = path.with_name("main.journal.damaged")
    assert aside.read_bytes() == before
    assert points_in(path) == [(1, 0, 1)]
    sound = {"header": 0, "session": 4}.get(where, 3)
    assert caplog.messages == [f"{path} is damaged: {sound} points in it are sound and count; it is kept as {aside}."]
    assert files_in(path.parent) == [path, aside]
    assert files_in(path.parent, aside=False) == [path]
    # The next one does not take its place.
    flip(path, 40)
    Journal(path, header()).close()
    assert aside.read_bytes() == before
    assert [is_set_aside(found) for found in files_in(path.parent)] == [False, True, True]


def test_records_of_an_unknown_kind_are_neither_counted_nor_cut(path: Path) -> None:
    record = bytearray(pack_record(Kind.POINT, CENTRE, b"later"))
    record[4:8] = (9).to_bytes(4, "little")
    record[28:32] = zlib.crc32(b"later", zlib.crc32(record[:28])).to_bytes(4, "little")
    path.write_bytes(path.read_bytes() + record)
    assert points_in(path) == POINTS
    assert read(path).damaged


@pytest.mark.parametrize("length", [0, 1, 65_502, 65_503, 65_504, 65_505, 65_533, 65_536, 200_000])
def test_the_next_sound_record_is_found_behind_any_length_of_damage(path: Path, length: int) -> None:
    last = pack_record(Kind.POINT, (0, 1, 1), encode(measured((0, 1, 1)), N))
    path.write_bytes(path.read_bytes() + b"\1" * length + last)
    assert points_in(path) == [*POINTS, (0, 1, 1)]
    assert read(path).damaged == (length > 0)


def test_a_file_made_to_be_searched_for_ever_is_not() -> None:
    class Counted(io.BytesIO):
        num_read = 0

        def read(self, size: int | None = -1) -> bytes:
            found = super().read(size)
            self.num_read += len(found)
            return found

    false = bytearray(pack_record(Kind.POINT, CENTRE, b""))
    false[20:28] = (100_000).to_bytes(8, "little")
    stream = Counted(bytes(false) * 20_000)
    assert list(read_records(stream, 20_000 * 32)) == []
    assert stream.num_read < 10 * 20_000 * 32


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


def nested(depth: int) -> str:
    """A header with a list in a list in a list, too deep for `json.dumps`."""
    text = header().to_json()
    return text.replace('"spec":', f'"more":{"[" * depth + "]" * depth},"spec":')


def of_spec(spec: Any) -> dict[str, Any]:
    return {"spec": spec, "key": digest_json(spec)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"format": "landscape-journal/2"}, "upgrade this package", id="newer"),
        pytest.param({"spec": {**SPEC, "seed": 9}}, "another surface", id="changed specification"),
        pytest.param({"labels": [1]}, "examples without labels", id="labels"),
        pytest.param({"labels": ["a"]}, "unknown header", id="no numbers"),
        pytest.param({"labels": [1.5, 2, 3]}, "labels is no list of whole numbers", id="fractions"),
        pytest.param({"labels": [[1, 2, 3]]}, "labels is no list of whole numbers", id="table"),
        pytest.param({"example_ids": [], "labels": []}, "example_ids is no list of whole numbers", id="none"),
        pytest.param({"more": 1}, "unknown header", id="unknown field"),
        pytest.param({"batch_size": "8"}, "unknown header", id="batch size a text"),
        pytest.param({"batch_size": 0}, "unknown header", id="no batch"),
        pytest.param({"spec": math.inf}, "unknown header", id="infinite"),
        pytest.param(nested(50_000), "unknown header .it is nested too deeply", id="very deep"),
        pytest.param(nested(900), "unknown header .it is nested too deeply", id="deep"),
        *(pytest.param(of_spec(spec), "unknown header", id=repr(spec)) for spec in ([1], "text", None)),
        pytest.param(of_spec({**SPEC, "grid": {"alpha": [10**400], "beta": None}}), "not a surface's", id="10^400"),
        pytest.param(of_spec({"grid": 3}), "not a surface's journal", id="no layout"),
    ],
)
def test_a_header_that_is_not_ours_is_refused(path: Path, change: dict[str, Any] | str, message: str) -> None:
    ours = json.loads(header().to_json())
    text = change if isinstance(change, str) else json.dumps({**ours, **change})
    path.write_bytes(pack_record(Kind.HEADER, (), text.encode()))
    with pytest.raises(SurfaceError, match=message):
        scan(path)


@pytest.mark.parametrize("text", [b"{", b"[NaN]", b"[" * 100_000, b"\xff"], ids=["cut", "NaN", "deep", "bytes"])
def test_points_outlive_a_session_that_makes_no_sense(path: Path, text: bytes) -> None:
    point = pack_record(Kind.POINT, (0, 1, 1), encode(measured((0, 1, 1)), N))
    path.write_bytes(path.read_bytes() + pack_record(Kind.SESSION, (), text) + point)
    assert points_in(path) == [*POINTS, (0, 1, 1)]
    assert read(path).sessions[-1] == LOST


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "main.journal")
    for read_it in (scan, read_header, lambda path: Journal(path, header())):
        with pytest.raises(FileError, match=r"cannot read .*main\.journal: it is no regular file"):
            read_it(tmp_path / "main.journal")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_new_journal_has_its_folders_synced_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key.points" / "main.journal"
    path.parent.mkdir()
    synced: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    write(path, POINTS[:2])
    assert synced == [str(place) for place in (path, path.parent, tmp_path, path)]
    synced.clear()
    write(path, POINTS[2:3])
    assert synced == [str(path)]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.3, [0, 1, 0, 1]), (0.6, [1, 1, 1, 1]), (0.1, [0, 0, 0, 0])],
    ids=["every other point", "points that take longer", "short points"],
)
def test_points_are_synced_half_a_second_after_the_last_sync_and_all_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, expected: list[int]
) -> None:
    now, syncs = [100.0], [0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(os, "fdatasync", lambda file: syncs.__setitem__(0, syncs[0] + 1))
    journal, seen = Journal(tmp_path / "main.journal", header()), []
    for point in POINTS[:4]:
        now[0] += seconds
        before = syncs[0]
        journal.append_point(point, measured(point))
        seen.append(syncs[0] - before)
        assert points_in(journal.path)[-1] == point  # a death of the process would leave it here
    assert seen == expected
    before = syncs[0]
    journal.close()
    assert syncs[0] - before == (1 if not expected[-1] else 0)


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
