from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import landscape.analysis

MODULES = sorted(path.stem for path in Path(landscape.analysis.__path__[0]).glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ([f"landscape.analysis.{name}" for name in MODULES], "torch matplotlib scipy"),
        (["landscape.cli.plot", "landscape.cli.report"], "torch matplotlib scipy numpy"),
    ],
    ids=["analysis", "command"],
)
def test_nothing_heavy_is_imported(modules: list[str], absent: str) -> None:
    code = f"import sys, {', '.join(modules)}; print(*[name for name in '{absent}'.split() if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
