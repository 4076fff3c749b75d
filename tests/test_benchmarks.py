"""The scripts of `benchmarks/` say what they do, and an option is not taken for something to work on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"

SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if 'if __name__ == "__main__":' in path.read_text())


def test_every_script_parses_its_arguments() -> None:
    names = {path.name for path in SCRIPTS}
    assert {"sweep.py", "methods_smoke.py", "witness.py"} <= names
    for path in SCRIPTS:
        assert "argparse.ArgumentParser(description=__doc__" in path.read_text() or path.name == "witness.py", path.name


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("-x", 2)])
def test_the_witness_writes_no_file_for_an_option(argument: str, code: int, tmp_path: Path) -> None:
    call = [sys.executable, str(FOLDER / "witness.py"), argument]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code and "python witness.py FILE ARGUMENTS" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_smoke_test_trains_nothing_for_an_option(tmp_path: Path) -> None:
    call = [sys.executable, str(FOLDER / "methods_smoke.py"), "--help"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "[METHOD ...]" in done.stdout
