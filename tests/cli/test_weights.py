from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from landscape.cli.weights import command
from landscape.errors import CheckpointError, FileError, InputError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_a_figure_a_table_and_a_csv() -> None:
    result = call("digits-at", "digits-at-awp", "--csv", "bins.csv", "--bins", "20")
    assert result.output.splitlines()[1].split()[:3] == ["conv1.weight", "digits-at", "144"]
    assert result.output.endswith("figure   digits-at-and-digits-at-awp-weights.png\ncsv      bins.csv\n")
    assert Path("digits-at-and-digits-at-awp-weights.png").stat().st_size > 10_000
    assert len(Path("bins.csv").read_text().splitlines()) == 1 + 4 * 2 * 20


def test_json_of_one_layer() -> None:
    numbers = json.loads(call("digits-at", "--layers", "conv3", "--log", "--out", "x.svg", "--json").output)
    (layer,) = numbers["layers"]
    assert layer["name"] == "conv3.weight" and sum(layer["histograms"][0]["counts"]) == 18432
    assert numbers["figure"] == "x.svg" and "conv3.weight" in Path("x.svg").read_text()


def test_wrong_calls_leave_nothing() -> None:
    with pytest.raises(InputError, match="matches the layers 'nothing'"):
        call("digits-at", "--layers", "nothing")
    with pytest.raises(CheckpointError, match="there is no checkpoint absent"):
        call("digits-at", "absent")
    with pytest.raises(InputError, match=r"a figure is written as \.png, \.pdf or \.svg"):
        call("digits-at", "--out", "x.jpg")
    with pytest.raises(CheckpointError, match="a series of --epochs needs one run folder"):
        call("digits-at", "--epochs", "1:2:1")
    with pytest.raises(InputError, match="histograms tell checkpoints apart by their names"):
        call("digits-at", "digits-at")
    assert not list(Path().iterdir())
    Path("file").write_text("")
    with pytest.raises(FileError, match="cannot write in"):
        call("digits-at", "--csv", "file/bins.csv")
    assert call("digits-at", "--bins", "1").exit_code == 2
    assert [path.name for path in Path().iterdir()] == ["file"]
