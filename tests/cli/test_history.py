from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from landscape.cli.history import command
from landscape.errors import InputError, TrainingError
from landscape.training.history import COLUMNS, Row, write_history


@pytest.fixture
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("first", "second")):
        Path(name).mkdir()
        rows: list[Row] = [{**dict.fromkeys(COLUMNS, 0.5 + 0.1 * seed), "epoch": epoch} for epoch in (1, 2)]
        write_history(Path(name) / "history.csv", rows)
        settings = {"method": "at", "dataset": "digits", "seed": seed}
        (Path(name) / "config.json").write_text(json.dumps(settings))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


@pytest.mark.usefixtures("_runs")
def test_a_figure_beside_and_a_table_on_the_screen() -> None:
    result = call("first", "second")
    assert result.output.splitlines()[1].startswith("at on digits, 2 seeds  best (test-selected)   1, 1")
    assert result.output.endswith("figure   first-and-second-history.png\n")
    assert Path("first-and-second-history.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("_runs")
def test_json_and_columns() -> None:
    result = call("first/history.csv", "--column", "robust-error", "--column", "lr", "--out", "x.svg", "--json")
    numbers = json.loads(result.output)
    assert numbers["figure"] == "x.svg"
    assert numbers["runs"][0]["run"] == "first"
    assert numbers["runs"][0]["best"]["test_robust_accuracy"] == 0.5
    assert "robust error" in Path("x.svg").read_text()


@pytest.mark.usefixtures("_runs")
def test_wrong_calls_leave_nothing() -> None:
    with pytest.raises(TrainingError, match="third is no run folder and no CSV file"):
        call("first", "third")
    with pytest.raises(InputError, match="has no column speed"):
        call("first", "--column", "speed")
    with pytest.raises(InputError, match=r"a figure is written as \.png, \.pdf or \.svg"):
        call("first", "--out", "x.jpg")
    assert sorted(path.name for path in Path().iterdir()) == ["first", "second"]


@pytest.mark.usefixtures("_runs")
def test_torch_is_not_read() -> None:
    code = (
        "import sys\nfrom landscape.cli.history import command\n"
        "command(['first', '--out', 'x.png'], standalone_mode=False)\nprint('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False"
