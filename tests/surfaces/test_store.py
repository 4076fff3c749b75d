from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from landscape.errors import BusyError, FileError, InputError, SurfaceError
from landscape.files import canonical_json, digest_json
from landscape.protocols import Measurement
from landscape.surfaces import claims, surface_file
from landscape.surfaces.journal import Header, Journal
from landscape.surfaces.relatives import shared_points
from landscape.surfaces.store import Session, SurfaceStore, family_of, key_of, load_surface
from landscape.surfaces.surface import ARRAYS, CENTRE, Grid, Point, Surface, layout

N = 5
IDS = np.array([3, 8, 11, 40_000, 59_999])
LABELS = IDS % 10


def spec_of(alpha: str = "-1:1:3", beta: str | None = None, num_directions: int = 2, **more: Any) -> dict[str, Any]:
    return {
        "numerics": 1,
        "weights": "abc",
        "attack": {"name": "pgd", "num_steps": 10},
        "grid": Grid.parse(alpha, beta).to_spec(),
        "num_directions": num_directions,
        **more,
    }


def points_of(spec: dict[str, Any]) -> list[Point]:
    grid, num_directions = layout(spec)
    return [CENTRE, *((line, *index) for line in range(num_directions) for index in grid.indices())]


def measured(spec: dict[str, Any], point: Point) -> Measurement:
    """What an honest measurement would be: a function of direction and coordinates, not of the grid."""
    grid, _ = layout(spec)
    where = [0.0] if point == CENTRE else [point[0] + 1.0, *grid.node(point[1:])]
    rng = np.random.default_rng([int(1000 * (part + 5)) for part in where])
    return Measurement(
        adversarial_loss=rng.standard_normal(N).astype(np.float32),
        clean_loss=rng.standard_normal(N).astype(np.float32),
        adversarial_correct=rng.integers(0, 2, N).astype(np.uint8),
        clean_correct=rng.integers(0, 2, N).astype(np.uint8),
    )


def claim(store: SurfaceStore, spec: dict[str, Any], **more: Any) -> Session:
    settings: dict[str, Any] = {"provenance": {"label": "net"}, "batch_size": 16, **more}
    return store.claim(spec, example_ids=IDS, labels=LABELS, **settings)


def run(store: SurfaceStore, spec: dict[str, Any], points: Iterable[Point] | None = None, **more: Any) -> list[Point]:
    """Compute the points that are missing, finish, and say which were computed."""
    with claim(store, spec, **more) as session:
        missing = [point for point in points or points_of(spec) if point not in session.done]
        for point in missing:
            session.append(point, measured(spec, point))
        session.finish()
    return missing


def leave(store: SurfaceStore, spec: dict[str, Any], points: Iterable[Point], **more: Any) -> None:
    """As a process that stops before it finishes."""
    with claim(store, spec, **more) as session:
        for point in points:
            session.append(point, measured(spec, point))


def loaded(store: SurfaceStore, spec: dict[str, Any]) -> Surface:
    surface = store.load(key_of(spec))
    assert surface is not None
    return surface


def same(first: Surface, second: Surface) -> bool:
    arrays = [
        (*(one.arrays[name] for name in ARRAYS), *one.centre.arrays().values(), one.status, one.example_ids, one.labels)
        for one in (first, second)
    ]
    return all(ours.tobytes() == theirs.tobytes() for ours, theirs in zip(*arrays, strict=True))


@pytest.fixture
def store(tmp_path: Path) -> SurfaceStore:
    return SurfaceStore(tmp_path / "cache")


@pytest.fixture
def whole(tmp_path: Path) -> Surface:
    """The surface of `spec_of()` from one uninterrupted run."""
    other = SurfaceStore(tmp_path / "uninterrupted")
    run(other, spec_of())
    return loaded(other, spec_of())


SHAPES = {"line": spec_of(), "one node": spec_of("0:0:1", num_directions=1), "plane": spec_of("-1:1:3", "0:4:5")}


@pytest.mark.parametrize("spec", SHAPES.values(), ids=SHAPES.keys())
def test_every_value_comes_back_bit_for_bit_in_its_place(store: SurfaceStore, spec: dict[str, Any]) -> None:
    run(store, spec)
    surface = load_surface(store.path(key_of(spec)))
    for point in points_of(spec):
        wanted = measured(spec, point).arrays()
        assert {name: array.tobytes() for name, array in surface.measurement(point).arrays().items()} == {
            name: array.tobytes() for name, array in wanted.items()
        }
        assert surface.point_status(point) == 1
        assert surface.point_provenance(point)["batch_size"] == 16
    assert surface.complete
    assert (surface.spec, surface.key, surface.label) == (spec, key_of(spec), "net")
    assert surface.example_ids.tolist() == IDS.tolist()
    assert surface.labels.tolist() == LABELS.tolist()
    assert sorted(path.name for path in store.folder.iterdir()) == [".locks", f"{key_of(spec)}.h5"]


def test_missing_not_finite_and_done_stay_apart_in_the_file(store: SurfaceStore) -> None:
    spec = spec_of("-1:1:5", num_directions=1)
    losses = {0: 0.0, 1: -1.0, 2: np.nan, 3: -np.inf}
    with claim(store, spec) as session:
        for index, loss in losses.items():
            arrays = {**measured(spec, CENTRE).arrays(), "adversarial_loss": np.full(N, loss, np.float32)}
            session.append((0, index), Measurement(**arrays))
        session.finish()
    surface = loaded(store, spec)
    assert surface.status.tolist() == [[1, 1, 2, 2, 0]]
    np.testing.assert_array_equal(surface.adversarial_loss[0, :, 0], [0.0, -1.0, np.nan, -np.inf, np.nan])
    assert (surface.clean_correct[0, 4] == 255).all()
    assert surface.centre_status == 0
    assert np.isnan(surface.centre.clean_loss).all()
    # Zero, negative and non-finite values are final: only what is missing is computed.
    assert run(store, spec) == [CENTRE, (0, 4)]


def test_the_key_covers_all_of_the_specification_and_the_family_all_but_the_grid() -> None:
    spec = spec_of()
    assert key_of(spec) == key_of(dict(reversed(spec.items())))
    assert len({key_of(spec), key_of(spec_of("-1:1:5")), key_of(spec_of(weights="abd")), key_of({**spec, "x": 1})}) == 4
    assert family_of(spec) == family_of(spec_of("-2:2:9", "0:1:2", num_directions=7))
    assert family_of(spec) != family_of(spec_of(weights="abd"))


def test_changed_weights_are_another_surface(store: SurfaceStore) -> None:
    run(store, spec_of())
    assert store.load(key_of(spec_of(weights="abd"))) is None
    assert run(store, spec_of(weights="abd")) == points_of(spec_of())


@pytest.mark.parametrize("finish", [True, False], ids=["interrupted", "died"])
def test_a_resumed_surface_equals_an_uninterrupted_one(store: SurfaceStore, whole: Surface, finish: bool) -> None:
    spec = spec_of()
    first, rest = points_of(spec)[:3], points_of(spec)[3:]
    if finish:
        run(store, spec, first, batch_size=7)
        assert not store.points_folder(key_of(spec)).exists()
    else:
        leave(store, spec, first, batch_size=7)
        assert store.load(key_of(spec)) is None
    assert store.finished_points(spec) == set(first)
    with claim(store, spec, batch_size=99) as session:
        assert session.done == set(first)
        assert session.batch_size == 7
        for point in rest:
            session.append(point, measured(spec, point))
        assert session.surface().complete
        session.finish()
        session.finish()
        assert same(session.surface(), whole)
    assert same(loaded(store, spec), whole)
    assert {entry["batch_size"] for entry in loaded(store, spec).provenance} == {7}
    assert not store.points_folder(key_of(spec)).exists()


def test_a_session_without_a_point_leaves_nothing_and_fixes_no_batch_size(store: SurfaceStore) -> None:
    with claim(store, spec_of(), batch_size=7):
        pass
    with claim(store, spec_of(), batch_size=8) as session:
        assert session.batch_size == 8
        path = session.finish()
        assert session.surface().num_done == 0
    assert not path.exists()
    assert [path.name for path in store.folder.iterdir()] == [".locks"]


def test_a_finished_surface_is_not_written_again(store: SurfaceStore) -> None:
    run(store, spec_of())
    before = store.path(key_of(spec_of())).stat()
    assert run(store, spec_of()) == []
    assert store.path(key_of(spec_of())).stat().st_ino == before.st_ino


@pytest.mark.parametrize("point", [(2, 0), (0, 3), (0, 0, 0), (-1, 0), (0, -1)])
def test_a_point_outside_the_surface_is_refused(store: SurfaceStore, point: Point) -> None:
    with claim(store, spec_of()) as session, pytest.raises(InputError, match="the surface has no point"):
        session.append(point, measured(spec_of(), CENTRE))


def test_the_first_measurement_of_a_point_is_final(store: SurfaceStore) -> None:
    spec = spec_of()
    with claim(store, spec) as session:
        session.append((0, 0), measured(spec, (0, 0)))
        session.append((0, 0), measured(spec, (1, 1)))
        session.finish()
    assert loaded(store, spec).measurement((0, 0)).clean_loss.tolist() == measured(spec, (0, 0)).clean_loss.tolist()


def test_shards_joined_equal_one_run(store: SurfaceStore, whole: Surface) -> None:
    spec = spec_of()
    points = points_of(spec)
    first, second = points[0::2], points[1::2]
    with claim(store, spec, writer="shard-1-of-2", batch_size=4) as one:
        with claim(store, spec, writer="shard-2-of-2", batch_size=9) as two:
            assert two.batch_size == 4
            for point in second:
                two.append(point, measured(spec, point))
            two.finish()
        assert loaded(store, spec).num_done == len(second)
        assert store.points_folder(key_of(spec)).exists()
        for point in first:
            one.append(point, measured(spec, point))
        one.finish()
    assert same(loaded(store, spec), whole)
    assert not store.points_folder(key_of(spec)).exists()


def test_shards_that_died_are_joined_by_merge(store: SurfaceStore, whole: Surface) -> None:
    spec = spec_of()
    for number in (1, 2, 3):
        leave(store, spec, points_of(spec)[number - 1 :: 3], writer=f"shard-{number}-of-3")
    journal = store.points_folder(key_of(spec)) / "shard-2-of-3.journal"
    journal.write_bytes(journal.read_bytes()[:-1])
    store.merge(key_of(spec))
    assert loaded(store, spec).num_done == len(points_of(spec)) - 1
    (missing,) = run(store, spec)
    assert missing in points_of(spec)[1::3]
    assert same(loaded(store, spec), whole)
    with pytest.raises(SurfaceError, match="there is no surface 000000000000 in"):
        store.merge("0" * 64)


def flip(path: Path, place: int) -> bytes:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    return bytes(content)


@pytest.mark.parametrize(("place", "lost"), [(40, 4), (-1 - 2 * (32 + 10 * N), 1)], ids=["header", "second point"])
def test_a_merge_keeps_all_sound_points_and_the_damaged_journal(
    store: SurfaceStore, whole: Surface, place: int, lost: int, caplog: pytest.LogCaptureFixture
) -> None:
    spec = spec_of()
    for number in (1, 2):
        leave(store, spec, points_of(spec)[number - 1 :: 2], writer=f"shard-{number}-of-2")
    folder = store.points_folder(key_of(spec))
    before = flip(folder / "shard-1-of-2.journal", place)
    store.merge(key_of(spec))
    assert loaded(store, spec).num_done == len(points_of(spec)) - lost
    assert [path.name for path in folder.iterdir()] == ["shard-1-of-2.journal.damaged"]
    assert f"is damaged: {4 - lost} points in it are sound and count; it is kept as {folder}" in caplog.text
    assert len(run(store, spec)) == lost
    assert same(loaded(store, spec), whole)
    assert (folder / "shard-1-of-2.journal.damaged").read_bytes() == before
    store.clear(key_of(spec))
    assert not folder.exists()


@pytest.mark.parametrize("where", ["session", "second point"])
def test_a_damaged_journal_is_gone_on_from(store: SurfaceStore, whole: Surface, where: str) -> None:
    spec = spec_of()
    leave(store, spec, points_of(spec)[:4], batch_size=7)
    journal = store.points_folder(key_of(spec)) / "main.journal"
    size = 32 + 10 * N
    flip(journal, -1 - 4 * size if where == "session" else -1 - 2 * size)
    with claim(store, spec, batch_size=99) as session:
        assert session.batch_size == 7
        assert len(session.done) == (4 if where == "session" else 3)
    # Also what lies in the journal that was set aside serves the next session, and relatives.
    assert len(store.finished_points(spec)) == (4 if where == "session" else 3)
    assert len(store.finished_points(spec_of(num_directions=5))) == (4 if where == "session" else 3)
    run(store, spec)
    assert same(loaded(store, spec), whole)


def test_a_surface_whose_only_header_is_damaged_is_named_and_kept(store: SurfaceStore) -> None:
    spec = spec_of()
    leave(store, spec, points_of(spec))
    folder = store.points_folder(key_of(spec))
    before = flip(folder / "main.journal", 40)
    with pytest.raises(
        SurfaceError, match=r"no journal in .*\.points has a sound header; move the folder away or clear"
    ):
        store.merge(key_of(spec))
    assert (folder / "main.journal").read_bytes() == before
    assert run(store, spec) == points_of(spec)
    assert (folder / "main.journal.damaged").read_bytes() == before


def test_a_merge_beside_a_live_process_renames_nothing(store: SurfaceStore) -> None:
    spec = spec_of()
    leave(store, spec, points_of(spec)[1::2], writer="shard-2-of-2")
    journal = store.points_folder(key_of(spec)) / "shard-2-of-2.journal"
    flip(journal, -1 - 2 * (32 + 10 * N))
    with claim(store, spec, writer="shard-1-of-2"):
        store.merge(key_of(spec))
        assert journal.exists()
    store.merge(key_of(spec))
    assert not journal.exists()


def test_the_known_centres_are_those_that_a_session_would_use(store: SurfaceStore) -> None:
    spec, other = spec_of(), spec_of("-1:1:9")
    assert store.known_centres(spec) == []
    assert not store.folder.exists()

    def known(spec: dict[str, Any]) -> list[str]:
        found = store.known_centres(spec)
        for _, centre in found:
            assert centre.clean_loss.tobytes() == measured(spec, CENTRE).clean_loss.tobytes()
        return [key for key, _ in found]

    run(store, spec_of(weights="abd"))
    run(store, other, [(0, 0)])
    assert known(spec) == []
    leave(store, other, [CENTRE])
    assert known(spec) == known(other) == [key_of(other)]
    run(store, spec_of("-1:1:5"), [CENTRE, (0, 2)])
    assert known(spec) == sorted([key_of(other), key_of(spec_of("-1:1:5"))])
    leave(store, spec, [(1, 1)])  # takes over what its relatives have
    assert known(spec) == [key_of(spec)]
    run(store, spec)
    leave(store, spec, [])
    assert known(spec) == [key_of(spec)]


OTHER_PROCESS = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from tests.surfaces.test_store import SurfaceStore, claim, measured, spec_of
with claim(SurfaceStore(sys.argv[1]), spec_of()) as session:
    session.append((0, 0), measured(spec_of(), (0, 0)))
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_gone(store: SurfaceStore, tmp_path: Path) -> None:
    spec = spec_of()
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", OTHER_PROCESS, str(store.folder), str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        text = rf"surface {key_of(spec)[:12]} is being computed by process {other.pid} on .+ since 20..-..-.. "
        for writer in ("main", "shard-1-of-2"):
            with pytest.raises(BusyError, match=text):
                claim(store, spec, writer=writer)
        with pytest.raises(BusyError, match=text):
            store.clear(key_of(spec))
        store.merge(key_of(spec))
        assert store.points_folder(key_of(spec)).exists()
        # Points of a process that still runs serve its relatives.
        assert (0, 0) not in run(store, spec_of(num_directions=3))
        other.kill()
    assert (0, 0) not in run(store, spec)
    assert loaded(store, spec).complete


def child(store: SurfaceStore, spec: dict[str, Any], acknowledge: int) -> None:
    with claim(store, spec) as session:
        for number, point in enumerate(points_of(spec)):
            if point not in session.done:
                session.append(point, measured(spec, point))
                os.write(acknowledge, number.to_bytes(2, "little"))
        session.finish()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_killed_at_any_moment_nothing_acknowledged_is_lost_or_computed_twice(store: SurfaceStore) -> None:
    spec = spec_of("-1:1:41", num_directions=10)
    points = points_of(spec)
    seen: list[int] = []
    generator = random.Random(0)
    for life in range(20):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(reader)
                child(store, spec, writer)
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as acknowledged:
            told = acknowledged.read(2) if life % 2 else b""  # half the lives, however slow, get to a point
            time.sleep(generator.uniform(0.0, 0.06))
            os.kill(pid, signal.SIGKILL)
            told += acknowledged.read()
        os.waitpid(pid, 0)
        seen += [int.from_bytes(told[place : place + 2], "little") for place in range(0, len(told) - 1, 2)]
        assert {points[number] for number in seen} <= store.finished_points(spec)
    assert len(seen) == len(set(seen)) > 0
    run(store, spec)
    other = SurfaceStore(store.folder.parent / "uninterrupted")
    run(other, spec)
    assert same(loaded(store, spec), loaded(other, spec))
    assert sorted(path.name for path in store.folder.iterdir()) == [".locks", f"{key_of(spec)}.h5"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        pytest.param(spec_of("-1:1:5"), "should hold surface .* but holds .* it was renamed", id="renamed"),
        pytest.param(None, "is damaged or no surface file", id="empty file"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    store: SurfaceStore, other: dict[str, Any] | None, message: str
) -> None:
    path = store.path(key_of(spec_of()))
    if other is None:
        store.folder.mkdir()
        path.touch()
    else:
        run(store, other)
        store.path(key_of(other)).rename(path)
    before = path.read_bytes()
    for refused in (lambda: store.load(key_of(spec_of())), lambda: run(store, spec_of())):
        with pytest.raises(SurfaceError, match=message):
            refused()
    assert path.read_bytes() == before
    assert not store.points_folder(key_of(spec_of())).exists()


def test_a_copy_may_have_any_name(store: SurfaceStore, tmp_path: Path, whole: Surface) -> None:
    run(store, spec_of())
    copy = shutil.copy(store.path(key_of(spec_of())), tmp_path / "paper figure.hdf5")
    assert same(load_surface(copy), whole)


def test_a_file_replaced_while_it_is_read_is_noticed(store: SurfaceStore, tmp_path: Path) -> None:
    run(store, spec_of())
    run(store, spec_of("-1:1:5"))
    path = Path(shutil.copy(store.path(key_of(spec_of())), tmp_path / "a.h5"))
    surface = load_surface(path)
    shutil.copy(store.path(key_of(spec_of("-1:1:5"))), path)
    with pytest.raises(SurfaceError, match="was replaced by another surface"):
        surface.mean()


def test_other_examples_under_the_same_key_are_refused(store: SurfaceStore) -> None:
    run(store, spec_of(), [(0, 0)])
    with pytest.raises(SurfaceError, match="is stored with other examples"):
        store.claim(spec_of(), example_ids=IDS + 1, labels=LABELS, provenance={}, batch_size=1)
    with claim(store, spec_of()):
        pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"example_ids": IDS[:2]}, "n ids and n labels", id="lengths"),
        pytest.param({"example_ids": IDS[:0], "labels": IDS[:0]}, "n at least 1", id="none"),
        pytest.param({"batch_size": 0}, "at least 1 example", id="batch"),
        pytest.param({"writer": "me"}, "a writer is main or shard-I-of-N", id="writer"),
    ],
)
def test_a_bad_claim_is_refused_before_anything_is_written(
    store: SurfaceStore, change: dict[str, Any], message: str
) -> None:
    settings: dict[str, Any] = {"example_ids": IDS, "labels": LABELS, "provenance": {}, "batch_size": 1, **change}
    with pytest.raises(InputError, match=message):
        store.claim(spec_of(), **settings)
    assert not store.folder.exists()


def damaged(path: Path, how: str) -> None:
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "text":
        path.write_text("alpha,loss\n")
    else:
        with h5py.File(path, "r+") as file:
            edit(file, how)


def edit(file: h5py.File, how: str) -> None:
    grid = "status"
    match how:
        case "newer":
            file.attrs["format"] = np.bytes_("landscape-surface/2")
        case "foreign":
            del file.attrs["format"]
        case "specification":
            file.attrs["spec"] = np.bytes_(file.attrs["spec"].replace(b"abc", b"abd"))
        case "no json":
            file.attrs["spec"] = np.bytes_("{")
        case "link":
            del file["clean_loss"]
            file["clean_loss"] = h5py.ExternalLink("secret.h5", "/x")
        case "soft link":
            del file["clean_loss"]
            file["clean_loss"] = h5py.SoftLink("/adversarial_loss")
        case "external":
            del file["label"]
            file.create_dataset("label", (N,), np.int64, external=[("/etc/hostname", 0, 8 * N)])
        case "group":
            file.create_group("more")
        case "missing array":
            del file["label"]
        case "empty array":
            del file[grid]
            file[grid] = h5py.Empty(np.uint8)
        case "scalar":
            del file["example"]
            file["example"] = 3
        case "time":
            del file[grid]
            h5py.h5d.create(file.id, grid.encode(), h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((2, 3)))
        case "shape":
            del file[grid]
            file[grid] = np.ones((2, 4), np.uint8)
        case "type":
            del file[grid]
            file[grid] = np.ones((2, 3), np.float32)
        case "status":
            file[grid][0, 0] = 7
        case "provenance":
            file["provenance_index"][0, 0] = 12
        case "nodes":
            file["alpha"][0] = -2.0
        case "absurd":
            for name in ("example", "label"):
                del file[name]
                file.create_dataset(name, (10**13,), np.int64, chunks=(1000,))
        case "lost points":
            del file["clean_loss"]
            file.create_dataset("clean_loss", (2, 3, N), np.float32, chunks=(1, 1, N))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated", r"is damaged or no surface file \(truncated file\); delete it and compute it again\.$"),
        ("text", r"\(file signature not found\); delete it"),
        ("newer", "has the format landscape-surface/2, this version reads landscape-surface/1; upgrade this package"),
        ("foreign", "is an HDF5 file but no surface"),
        ("specification", "is not that of its content"),
        ("no json", "is damaged or no surface file"),
        ("link", "holds 'clean_loss', which is no array of its own"),
        ("soft link", "holds 'clean_loss', which is no array of its own"),
        ("external", "holds 'label', which is no array of its own"),
        ("group", "holds 'more', which is no array of its own"),
        ("missing array", r"is damaged or no surface file \(it has no label\)"),
        ("empty array", r"is damaged or no surface file \(status is empty\)"),
        ("scalar", "is damaged or no surface file .it has no list of examples"),
        ("time", "is damaged or no surface file"),
        ("shape", r"'status' of .* should be uint8 of shape \(2, 3\), is uint8 of shape \(2, 4\)"),
        ("type", "'status' of .* should be uint8 .* is float32"),
        ("status", "contradicts itself"),
        ("provenance", "contradicts itself"),
        ("nodes", "contradicts itself"),
        ("absurd", "declares more than it can hold"),
        ("lost points", "has lost points"),
    ],
)
def test_a_damaged_or_crafted_file_is_refused_in_one_sentence(store: SurfaceStore, how: str, message: str) -> None:
    run(store, spec_of())
    path = store.path(key_of(spec_of()))
    damaged(path, how)
    with pytest.raises(SurfaceError, match=message) as caught:
        store.load(key_of(spec_of()))
    assert "\n" not in str(caught.value)


def test_no_flipped_bit_changes_a_number_unnoticed(store: SurfaceStore) -> None:
    spec = spec_of("0:1:2", num_directions=1)
    run(store, spec)
    path = store.path(key_of(spec))
    surface, content = loaded(store, spec), path.read_bytes()
    assert same(surface, surface)  # reads everything
    generator = random.Random(0)
    noticed = 0
    for place in generator.sample(range(len(content)), 400):
        flipped = content[place] ^ (1 << generator.randrange(8))
        path.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
        try:
            assert same(loaded(store, spec), surface)
        except SurfaceError:
            noticed += 1
    assert noticed > 50


@pytest.mark.parametrize(
    "entries", ["[1]", "{}", "[null]", '"label"', "[[]]", "[NaN]", "[" * 50_000, ""], ids=lambda text: text[:9]
)
def test_provenance_of_another_kind_is_damage(store: SurfaceStore, entries: str) -> None:
    run(store, spec_of())
    with h5py.File(store.path(key_of(spec_of())), "r+") as file:
        file.attrs.create("provenance", entries.encode() or b" ", dtype=h5py.string_dtype("utf-8", len(entries) or 1))
    with pytest.raises(SurfaceError, match=r"is damaged or no surface file .*provenance"):
        store.load(key_of(spec_of()))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param([1], "its specification or provenance is of another kind", id="list"),
        pytest.param({**spec_of(), "grid": {"alpha": [10**400], "beta": None}}, "does not describe a", id="10^400"),
        pytest.param({**spec_of(), "num_directions": 10**30}, "declares more than it can hold", id="10^30"),
    ],
)
def test_a_specification_that_no_surface_has_is_refused(store: SurfaceStore, spec: Any, message: str) -> None:
    run(store, spec_of())
    path = store.path(key_of(spec_of()))
    with h5py.File(path, "r+") as file:
        for name, text in {"spec": canonical_json(spec), "key": digest_json(spec)}.items():
            file.attrs.create(name, text.encode(), dtype=h5py.string_dtype("utf-8", len(text)))
    with pytest.raises(SurfaceError, match=message):
        load_surface(path)


@pytest.mark.parametrize("error", [KeyError("ours"), TypeError("ours")], ids=["KeyError", "TypeError"])
def test_our_own_mistakes_are_not_called_damage(
    store: SurfaceStore, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_: Any) -> None:
        raise error

    run(store, spec_of())
    monkeypatch.setattr(surface_file, "_surface", mistaken)
    with pytest.raises(type(error), match="ours"):
        store.load(key_of(spec_of()))


def test_a_damaged_chunk_is_found_when_it_is_read(store: SurfaceStore) -> None:
    spec = spec_of()
    run(store, spec)
    path = store.path(key_of(spec))
    with h5py.File(path) as file:
        place = file["adversarial_loss"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 5] ^= 1
    path.write_bytes(content)
    surface = loaded(store, spec)
    with pytest.raises(SurfaceError, match=r"is damaged .* delete it and compute it again"):
        surface.mean()


@pytest.mark.parametrize(
    ("name", "message"),
    [("no.h5", "is not there"), ("", "is a folder"), ("pipe.h5", "it is no regular file")],
    ids=["none", "folder", "pipe"],
)
def test_no_file_is_one_sentence(tmp_path: Path, name: str, message: str) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(FileError, match=message):
        load_surface(tmp_path / name)


def test_xarray_reads_the_file_by_its_names(store: SurfaceStore) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    spec = spec_of("-1:1:3", "0:4:5")
    run(store, spec, points_of(spec)[:-1])
    surface = loaded(store, spec)
    with xarray.open_dataset(store.path(key_of(spec)), engine="h5netcdf") as data:
        assert dict(data.sizes) == {"direction": 2, "alpha": 3, "beta": 5, "example": N}
        assert set(data.coords) == {"direction", "alpha", "beta", "example"}
        assert data["example"].values.tolist() == IDS.tolist()
        assert data["label"].values.tolist() == LABELS.tolist()
        assert data["adversarial_loss"].dims == ("direction", "alpha", "beta", "example")
        assert data["centre_clean_loss"].dims == ("example",)
        chosen = data["adversarial_loss"].sel(direction=1, alpha=-1.0, beta=3.0).values
        np.testing.assert_array_equal(chosen, surface.adversarial_loss[1, 0, 3])
        np.testing.assert_array_equal(1 - data["adversarial_correct"], surface.values("robust-error"))
        assert np.isnan(data["clean_correct"].values[1, 2, 4]).all()
        assert data.attrs["key"] == surface.key


@pytest.mark.parametrize("options", [{}, {"locking": False}], ids=["as usual", "not locked"])
def test_a_file_that_this_process_has_open_is_read(store: SurfaceStore, options: dict[str, Any]) -> None:
    run(store, spec_of())
    with h5py.File(store.path(key_of(spec_of())), "r", **options):
        assert np.isfinite(loaded(store, spec_of()).mean()).all()


def test_a_file_that_cannot_be_shared_is_not_called_damaged(store: SurfaceStore) -> None:
    run(store, spec_of())
    with (
        h5py.File(store.path(key_of(spec_of())), "r", locking=True),
        pytest.raises(FileError, match="it is open elsewhere"),
    ):
        loaded(store, spec_of())


def test_the_file_has_one_checked_and_packed_chunk_for_each_point(store: SurfaceStore) -> None:
    run(store, spec_of(), points_of(spec_of())[:4])
    with h5py.File(store.path(key_of(spec_of()))) as file:
        for name in ARRAYS:
            data = file[name]
            assert (data.chunks, data.compression, data.compression_opts) == ((1, 1, N), "gzip", 1)
            assert data.shuffle
            assert data.fletcher32
            assert data.id.get_num_chunks() == 3
        assert file.attrs["format"] == b"landscape-surface/1"


def test_a_specification_of_any_length_fits(store: SurfaceStore) -> None:
    spec = spec_of(ids=list(range(50_000)))
    run(store, spec, [CENTRE])
    assert loaded(store, spec).spec == spec


@pytest.mark.parametrize("finish", [True, False], ids=["file", "journal"])
@pytest.mark.parametrize("missing", [0, 2], ids=["complete", "partial"])
def test_points_of_relatives_are_reused(store: SurfaceStore, finish: bool, missing: int) -> None:
    spec, more = spec_of("-1:1:5"), spec_of("-1:1:9", num_directions=3)
    had = points_of(spec)[: len(points_of(spec)) - missing]
    (run if finish else leave)(store, spec, had, batch_size=3)
    assert len(store.finished_points(more)) == len(had)
    with claim(store, more, batch_size=64) as session:
        assert session.reused == len(had)
        assert session.batch_size == 64
        for point in session.done:
            session.append(point, measured(spec, CENTRE))  # final: changes nothing
    # What was reused is kept, whatever becomes of the relative.
    store.clear(key_of(spec))
    computed = run(store, more, batch_size=65)
    assert len(computed) == len(points_of(more)) - len(had)
    surface = loaded(store, more)
    for point in points_of(more):
        np.testing.assert_array_equal(surface.measurement(point).clean_loss, measured(more, point).clean_loss)
    origin = surface.point_provenance((0, 0))
    assert (origin["reused_from"], origin["batch_size"]) == (key_of(spec), 3)
    assert surface.point_provenance((0, 1))["batch_size"] == 65


def test_a_plane_and_a_line_share_the_centre_only(store: SurfaceStore) -> None:
    run(store, spec_of())
    assert store.finished_points(spec_of("-1:1:3", "0:1:2")) == {CENTRE}


def test_only_nodes_that_are_equal_to_the_last_bit_are_shared() -> None:
    ours, theirs = Grid(alpha=(0.0, 0.5, 1.0)), Grid(alpha=(np.nextafter(0.5, 1), 1.0))
    assert shared_points(ours, 2, theirs, 1) == {CENTRE: CENTRE, (0, 2): (0, 1)}
    plane = shared_points(Grid.parse("0:1:2", "0:1:3"), 1, Grid.parse("0:1:3", "0:1:2"), 5)
    assert plane == {
        CENTRE: CENTRE,
        (0, 0, 0): (0, 0, 0),
        (0, 0, 2): (0, 0, 1),
        (0, 1, 0): (0, 2, 0),
        (0, 1, 2): (0, 2, 1),
    }


def test_other_families_are_not_reused_and_damaged_relatives_are_passed_over(
    store: SurfaceStore, caplog: pytest.LogCaptureFixture
) -> None:
    run(store, spec_of(weights="abd"))
    run(store, spec_of("-1:1:5"))
    damaged(store.path(key_of(spec_of("-1:1:5"))), "truncated")
    leave(store, spec_of("-1:1:9", num_directions=1), [(0, 0)])
    folder = store.points_folder(key_of(spec_of("-1:1:9", num_directions=1)))
    folder.rename(store.points_folder("f" * 64))
    (store.folder / "notes.h5").write_text("not a surface")
    assert run(store, spec_of()) == points_of(spec_of())
    assert caplog.text.count("is passed over") >= 2
    assert "surface ffffffffffff is not reused" in caplog.text


def test_a_folder_that_cannot_be_written_fails_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"cannot write in .*; name another folder or make room"):
        claim(SurfaceStore(tmp_path / "file"), spec_of())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_read_but_not_written(store: SurfaceStore) -> None:
    run(store, spec_of())
    store.folder.chmod(0o500)
    try:
        assert loaded(store, spec_of()).complete
        with pytest.raises(FileError, match="Permission denied"):
            claim(store, spec_of("-1:1:5"))
    finally:
        store.folder.chmod(0o700)


def test_a_surface_that_cannot_be_written_keeps_its_journals(
    store: SurfaceStore, whole: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, os.strerror(28))

    with claim(store, spec_of()) as session:
        for point in points_of(spec_of()):
            session.append(point, measured(spec_of(), point))
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            with pytest.raises(FileError, match="No space left on device"):
                session.finish()
    assert store.load(key_of(spec_of())) is None
    assert run(store, spec_of()) == []
    assert same(loaded(store, spec_of()), whole)


def refuse(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_in_the_place_of_the_journals_is_one_sentence(store: SurfaceStore) -> None:
    store.folder.mkdir()
    store.points_folder(key_of(spec_of())).write_text("")
    with pytest.raises(FileError, match=r"cannot make the folder .*\.points: File exists; make room, move away"):
        claim(store, spec_of())
    store.clear(key_of(spec_of()))
    assert run(store, spec_of()) == points_of(spec_of())


@pytest.mark.parametrize("call", ["mkdir", "fsync", "pwrite", "ftruncate"])
def test_a_disk_that_is_full_at_the_start_is_one_sentence(
    store: SurfaceStore, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.folder.mkdir()
    with monkeypatch.context() as patch:
        if call == "mkdir":
            real = Path.mkdir
            here = store.points_folder(key_of(spec_of()))
            patch.setattr(
                Path, "mkdir", lambda path, *rest, **more: (refuse if path == here else real)(path, *rest, **more)
            )
        else:
            patch.setattr(os, call, refuse)
        with pytest.raises(FileError, match="No space left on device"):
            claim(store, spec_of())
    assert claims.running(store.points_folder(key_of(spec_of()))) == []
    assert run(store, spec_of()) == points_of(spec_of())


@pytest.mark.parametrize("what", ["claim", "journal", "leftover"])
def test_a_file_that_cannot_be_deleted_is_one_sentence(
    store: SurfaceStore, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.unlink
    leftover = store.folder / f".{key_of(spec_of())}.h5.abc.h5"
    session = claim(store, spec_of())
    if what == "leftover":
        leftover.write_text("")
        session.append(CENTRE, measured(spec_of(), CENTRE))
    suffix = {"claim": ".claim", "journal": ".journal", "leftover": ".abc.h5"}[what]
    with monkeypatch.context() as patch:
        patch.setattr(
            Path, "unlink", lambda path, **more: (refuse if path.name.endswith(suffix) else real)(path, **more)
        )
        with pytest.raises(FileError, match=rf"cannot remove .*{suffix}: No space left on device"), session:
            session.finish()
    assert store.finished_points(spec_of()) == ({CENTRE} if what == "leftover" else set())


def test_a_journal_larger_than_the_memory_is_one_sentence(store: SurfaceStore) -> None:
    spec = {**spec_of(), "num_directions": 10**30}
    about = Header(key=key_of(spec), spec=spec, example_ids=IDS, labels=LABELS, batch_size=1)
    store.points_folder(about.key).mkdir(parents=True)
    journal = Journal(store.points_folder(about.key) / "main.journal", about)
    journal.append_session({})
    journal.append_point(CENTRE, measured(spec_of(), CENTRE))
    journal.close()
    with pytest.raises(SurfaceError, match="is larger than this machine's memory"):
        store.merge(about.key)
    assert run(store, spec_of()) == points_of(spec_of())


def test_what_a_killed_writer_left_is_swept(store: SurfaceStore) -> None:
    leave(store, spec_of(), [(0, 0)])
    leftover = store.folder / f".{key_of(spec_of())}.h5.abc.h5"
    leftover.write_bytes(b"half")
    assert surface_file.files_in(store.folder) == []
    store.merge(key_of(spec_of()))
    assert not leftover.exists()


def test_clear_deletes_a_surface_and_its_journals(store: SurfaceStore) -> None:
    run(store, spec_of(), [(0, 0)])
    leave(store, spec_of(), [(0, 1)])
    store.clear(key_of(spec_of()))
    assert [path.name for path in store.folder.iterdir()] == [".locks"]


def test_no_claim_is_left_when_a_session_fails(store: SurfaceStore) -> None:
    session = claim(store, spec_of())
    session.append((0, 0), measured(spec_of(), (0, 0)))
    with pytest.raises(InputError), session:
        session.append((9, 9), measured(spec_of(), (0, 0)))
    assert claims.running(store.points_folder(key_of(spec_of()))) == []
    assert store.finished_points(spec_of()) == {(0, 0)}


def test_stored_surfaces_are_read_without_torch() -> None:
    code = "import sys, landscape.surfaces.store, landscape.surfaces.catalogue; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
