from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from landscape.files import canonical_json, digest_json
from landscape.protocols import Measurement
from landscape.surfaces.catalogue import list_surfaces
from landscape.surfaces.records import Kind, pack_record
from landscape.surfaces.store import SurfaceStore, key_of
from landscape.surfaces.surface import CENTRE, Grid

IDS = np.arange(3)


def spec_of(**more: Any) -> dict[str, Any]:
    return {"weights": "abc", "grid": Grid.parse("-1:1:3").to_spec(), "num_directions": 1, **more}


def store_centre(store: SurfaceStore, spec: dict[str, Any], *, finish: bool = True, label: str = "net") -> Path:
    """A surface of one point; gives back its file or its journal."""
    loss, correct = np.zeros(3, np.float32), np.ones(3, np.uint8)
    centre = Measurement(adversarial_loss=loss, clean_loss=loss, adversarial_correct=correct, clean_correct=correct)
    with store.claim(spec, example_ids=IDS, labels=IDS, provenance={"label": label}, batch_size=2) as session:
        session.append(CENTRE, centre)
        if finish:
            return session.finish()
    return store.points_folder(key_of(spec)) / "main.journal"


@pytest.fixture
def store(tmp_path: Path) -> SurfaceStore:
    return SurfaceStore(tmp_path / "cache")


def crafted_file(path: Path, **texts: str) -> None:
    with h5py.File(path, "r+") as file:
        for name, text in texts.items():
            file.attrs.create(name, text.encode(), dtype=h5py.string_dtype("utf-8", len(text.encode())))


def crafted_journal(path: Path, text: str) -> None:
    path.write_bytes(pack_record(Kind.HEADER, (), text.encode()))


def header_of(spec: Any, **more: Any) -> str:
    head = {"format": "landscape-journal/1", "key": digest_json(spec), "spec": spec, "batch_size": 1}
    return json.dumps({**head, "example_ids": [0, 1, 2], "labels": [0, 1, 2], **more})


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


HUGE = {"grid": {"alpha": [10**400], "beta": None}, "num_directions": 1}

BAD_FILES: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: cut(path, 0),
    "provenance of numbers": lambda path: crafted_file(path, provenance="[1]"),
    "provenance an object": lambda path: crafted_file(path, provenance="{}"),
    "provenance of nothing": lambda path: crafted_file(path, provenance="[null]"),
    "specification a list": lambda path: crafted_file(path, spec="[1]", key=digest_json([1])),
    "huge node": lambda path: crafted_file(path, spec=canonical_json(HUGE), key=digest_json(HUGE)),
    "deep": lambda path: crafted_file(path, spec="[" * 30_000),
    "pipe": pipe,
}

BAD_JOURNALS: dict[str, Callable[[Path], None]] = {
    "cut header": lambda path: cut(path, 50),
    "specification a list": lambda path: crafted_journal(path, header_of([1])),
    "specification a text": lambda path: crafted_journal(path, header_of("text")),
    "huge node": lambda path: crafted_journal(path, header_of(HUGE)),
    "deep": lambda path: crafted_journal(path, "[" * 100_000),
    "NaN": lambda path: crafted_journal(path, header_of(spec_of(), batch_size=float("nan"))),
    "pipe": pipe,
    "claim a pipe": lambda path: os.mkfifo(path.with_name("main.claim")),
}


@pytest.mark.parametrize("bad", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_one_bad_file_is_named_and_hides_no_other(
    store: SurfaceStore, bad: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = store_centre(store, spec_of(weights="bad"))
    bad(path)
    store_centre(store, spec_of())
    states = {entry.key: entry.state for entry in list_surfaces(store.folder)}
    assert states == {path.stem: "damaged", key_of(spec_of()): "partial"}
    assert str(path) in caplog.text


@pytest.mark.parametrize("bad", BAD_JOURNALS.values(), ids=BAD_JOURNALS.keys())
def test_one_bad_journal_is_named_and_hides_no_other(
    store: SurfaceStore, bad: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = store_centre(store, spec_of(weights="bad"), finish=False)
    bad(path)
    store_centre(store, spec_of())  # looks for relatives in every journal
    states = {entry.key: entry.state for entry in list_surfaces(store.folder)}
    assert states == {key_of(spec_of(weights="bad")): "damaged", key_of(spec_of()): "partial"}
    assert str(path.parent) in caplog.text


def test_labels_and_names_that_no_terminal_takes_are_listed(store: SurfaceStore) -> None:
    store_centre(store, spec_of(), label="a\ud800\nb")
    (store.folder / "\udcff\n.h5").write_text("")
    entries = {entry.key: entry for entry in list_surfaces(store.folder)}
    assert set(entries) == {key_of(spec_of()), "??"}
    assert entries[key_of(spec_of())].label == "a??b"


def test_a_plane_of_very_many_nodes_is_counted_at_once(store: SurfaceStore) -> None:
    nodes = list(range(100_000))
    spec = {"grid": {"alpha": nodes, "beta": nodes}, "num_directions": 10}
    path = store.points_folder(key_of(spec)) / "main.journal"
    path.parent.mkdir(parents=True)
    crafted_journal(path, header_of(spec))
    (entry,) = list_surfaces(store.folder)
    assert (entry.num_done, entry.num_points) == (0, 10**11 + 1)


def test_a_surface_of_a_journal_that_was_set_aside_is_listed(store: SurfaceStore) -> None:
    path = store_centre(store, spec_of(), finish=False)
    path.rename(path.with_name("main.journal.damaged"))
    (entry,) = list_surfaces(store.folder)
    assert (entry.key, entry.state, entry.num_done, entry.label) == (key_of(spec_of()), "partial", 1, "net")
