from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from landscape.cli.cache import command
from landscape.errors import BusyError, InputError, SurfaceError
from landscape.protocols import Measurement
from landscape.surfaces.foreign import ForeignSurface, write_foreign
from landscape.surfaces.store import SurfaceStore, key_of
from landscape.surfaces.surface import CENTRE, Grid, Point

ATTACK = {"name": "pgd", "norm": "linf", "epsilon": 8 / 255, "step_size": 2 / 255, "num_steps": 10, "num_restarts": 1}


def spec_of(num_directions: int = 2) -> dict[str, Any]:
    return {"attack": ATTACK, "grid": Grid.parse("-1:1:3").to_spec(), "num_directions": num_directions}


def store_points(store: SurfaceStore, spec: dict[str, Any], points: list[Point], *, finish: bool, label: str) -> str:
    ids = np.arange(4)
    loss, correct = np.zeros(4, np.float32), np.ones(4, np.uint8)
    measurement = Measurement(
        adversarial_loss=loss, clean_loss=loss, adversarial_correct=correct, clean_correct=correct
    )
    with store.claim(spec, example_ids=ids, labels=ids, provenance={"label": label}, batch_size=2) as session:
        for point in points:
            session.append(point, measurement)
        if finish:
            session.finish()
    return key_of(spec)


ALL: list[Point] = [CENTRE, *((line, index) for line in range(2) for index in range(3))]


@pytest.fixture
def store(tmp_path: Path) -> SurfaceStore:
    return SurfaceStore(tmp_path / "cache")


@pytest.fixture
def keys(store: SurfaceStore) -> tuple[str, str]:
    """A complete surface in a file, and a partial one in a journal."""
    more = {"data": {"split": "train"}, "objective": "fixed", "directions": {"seed": 7}}
    complete = store_points(store, {**spec_of(), **more}, ALL, finish=True, label="digits-at")
    partial = store_points(store, {**spec_of(), "weights": "x"}, ALL[:3], finish=False, label="digits-at-awp")
    return complete, partial


def call(store: SurfaceStore, *arguments: str, **more: Any) -> Result:
    return CliRunner().invoke(command, [*arguments, "--cache-dir", str(store.folder)], **more)


def test_list_says_what_is_there(store: SurfaceStore, keys: tuple[str, str]) -> None:
    result = call(store, "list")
    assert result.exit_code == 0
    head, *rows, note = (re.split("  +", line) for line in result.output.splitlines())
    assert head == ["key", "size", "when", "of", "examples", "points", "state", "attack; whatever else is not as usual"]
    attack = "PGD-10, L∞, ε = 8/255, step 2/255"
    assert {row[0]: row[3:] for row in rows} == {
        keys[0][:12]: ["digits-at", "4 train", "2 x 3", "complete", f"fixed {attack}; seed 7"],
        keys[1][:12]: ["digits-at-awp", "4", "2 x 3", "partial 3/7", attack],
    }
    assert note == ["points: directions (or planes) x nodes; the centre is one more."]


@pytest.fixture
def imported(store: SurfaceStore) -> Path:
    """Another tool's surface."""
    surface = ForeignSurface(
        label="theirs",
        source="vgg9.h5",
        digest="abc" * 8,
        grid=Grid.parse("-1:1:3", "-1:1:2"),
        means={"train_loss": np.ones((3, 2))},
        status={"train_loss": np.ones((3, 2), np.uint8)},
    )
    return write_foreign(store.folder / "imported" / "vgg9-abcabcabcabc.h5", surface)


def test_imported_surfaces_are_listed_shown_and_cleared(
    store: SurfaceStore, keys: tuple[str, str], imported: Path
) -> None:
    (row,) = [line for line in call(store, "list").output.splitlines() if line.startswith("abc")]
    row_cells = re.split("  +", row)
    assert row_cells[:1] + row_cells[3:] == [
        *("abcabcabcabc", "theirs", "-", "1 x 3 x 2", "imported"),
        "train_loss of tomgoldstein/loss-landscape",
    ]
    for named in ("abc", str(imported)):
        assert "theirs: imported from vgg9.h5" in call(store, "show", named).output
    refused = call(store, "export", "abc", "--to", "a.csv").exception
    assert "an imported surface has means only and is not exported" in str(refused)
    assert call(store, "clear", "abc", "--yes").output == "Deleted abcabcabcabc.\n"
    assert not imported.exists() and store.path(keys[0]).exists()


def test_clear_all_takes_imported_surfaces_and_a_damaged_one_is_listed(store: SurfaceStore, imported: Path) -> None:
    imported.write_bytes(b"x")
    (row,) = [line for line in call(store, "list").output.splitlines() if line.startswith("abc")]
    assert re.split("  +", row)[3:] == ["-", "-", "-", "damaged", str(imported)]
    assert call(store, "clear", "--all", "--yes").output == "Deleted abcabcabcabc.\n"
    assert not imported.exists()


def test_a_beginning_that_several_surfaces_have_is_refused(
    store: SurfaceStore, keys: tuple[str, str], imported: Path
) -> None:
    imported.rename(imported.with_name(f"vgg9-{keys[0][:12]}.h5"))
    refused = call(store, "clear", keys[0][:12], "--yes").exception
    assert isinstance(refused, InputError) and str(refused).startswith("2 surfaces in ")


def test_list_shows_running_and_damaged_surfaces(store: SurfaceStore, keys: tuple[str, str]) -> None:
    store.path(keys[0]).write_bytes(b"x")
    ids = np.arange(4)
    spec = {**spec_of(), "weights": "x"}
    with store.claim(spec, example_ids=ids, labels=ids, provenance={}, batch_size=2):
        output = call(store, "list").output
    assert f"running by {os.getpid()}" in output
    assert "damaged" in output


def test_list_calls_a_renamed_file_renamed(store: SurfaceStore, keys: tuple[str, str]) -> None:
    store.path(keys[0]).rename(store.folder / "mine.h5")
    (row,) = [line for line in call(store, "list").output.splitlines() if line.startswith("mine ")]
    assert "digits-at" in row
    assert "renamed" in row
    assert "damaged" not in row
    (store.folder / "mine.h5").write_bytes(b"x")
    assert "damaged" in call(store, "list").output


def test_an_empty_or_absent_folder_has_no_surfaces(store: SurfaceStore) -> None:
    assert call(store, "list").output == f"No surfaces in {store.folder}.\n"
    assert call(store, "clear", "--all", "--yes").output == f"No surfaces in {store.folder}.\n"
    assert call(store, "merge", "all").output == "Nothing to merge.\n"


@pytest.mark.parametrize("which", ["key", "file", "journal"])
def test_show_tells_settings_state_and_origin(store: SurfaceStore, keys: tuple[str, str], which: str) -> None:
    argument = {"key": keys[0][:8], "file": str(store.path(keys[0])), "journal": keys[1]}[which]
    result = call(store, "show", argument)
    assert result.exit_code == 0
    lines = {line[:12].strip(): line[12:].strip() for line in result.output.splitlines()}
    assert lines["Key"] == (keys[1] if which == "journal" else keys[0])
    assert lines["Of"] == ("digits-at-awp" if which == "journal" else "digits-at")
    assert (
        lines["Points"] == f"{3 if which == 'journal' else 7} of 7 (2 directions x 3 nodes + centre) done, 0 not finite"
    )
    assert lines["Grid"] == "alpha -1 to 1, 3 nodes"
    assert "PGD-10" in lines["Attack"]
    assert "batch_size 2" in lines["Computed by"]


@pytest.mark.parametrize("argument", ["zzz", ""], ids=["unknown", "empty"])
def test_a_key_that_names_no_single_surface_is_refused(
    store: SurfaceStore, keys: tuple[str, str], argument: str
) -> None:
    result = call(store, "show", argument)
    assert isinstance(result.exception, InputError)
    assert "has a key that begins with" in str(result.exception)


def test_merge_joins_journals(store: SurfaceStore, keys: tuple[str, str]) -> None:
    result = call(store, "merge", "all")
    assert result.output == f"{keys[1][:12]}: 3 of 7 points in {store.path(keys[1])}\n"
    assert call(store, "merge", keys[1][:6]).output == "Nothing to merge.\n"


def test_merge_all_goes_on_after_a_failure(store: SurfaceStore, keys: tuple[str, str]) -> None:
    broken = store_points(store, {**spec_of(), "weights": "y"}, ALL[:1], finish=False, label="z")
    store.path(broken).write_bytes(b"x")
    result = call(store, "merge", "all")
    assert isinstance(result.exception, SurfaceError)
    assert store.path(keys[1]).exists()


def test_clear_asks_first(store: SurfaceStore, keys: tuple[str, str]) -> None:
    result = call(store, "clear", keys[0][:12], input="n\n")
    assert result.exit_code == 1
    assert f"Delete surface {keys[0][:12]} in {store.folder}?" in result.output
    assert store.path(keys[0]).exists()
    assert f"Deleted {keys[0][:12]}." in call(store, "clear", keys[0][:12], input="y\n").output
    assert not store.path(keys[0]).exists()
    assert store.points_folder(keys[1]).exists()


def test_clear_all_spares_what_a_live_process_computes(store: SurfaceStore, keys: tuple[str, str]) -> None:
    ids = np.arange(4)
    spec = {**spec_of(), "weights": "x"}
    with store.claim(spec, example_ids=ids, labels=ids, provenance={}, batch_size=2):
        result = call(store, "clear", "--all", "--yes")
        assert isinstance(result.exception, BusyError)
        assert store.points_folder(keys[1]).exists()
    assert not store.path(keys[0]).exists()
    assert call(store, "clear", "--all", "--yes").output == f"Deleted {keys[1][:12]}.\n"


@pytest.mark.parametrize("arguments", [["clear"], ["clear", "abc", "--all"], ["show"], ["merge"]], ids=" ".join)
def test_a_wrong_call_exits_2(store: SurfaceStore, arguments: list[str]) -> None:
    assert call(store, *arguments).exit_code == 2


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, landscape.cli.cache as c; sys.exit(bool({'torch', 'h5py', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_command_imports_torch(store: SurfaceStore, keys: tuple[str, str]) -> None:
    code = (
        "import sys\nfrom landscape.cli.cache import command\n"
        f"command(['list', '--cache-dir', {str(store.folder)!r}], standalone_mode=False)\n"
        f"command(['show', {keys[0]!r}, '--cache-dir', {str(store.folder)!r}], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
