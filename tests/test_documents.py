"""The Python in the documents runs, block after block, in a fresh folder; its claims about shapes are checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def blocks_of(document: str) -> list[tuple[int, str]]:
    """The Python blocks of a document with the number of their first line."""
    text = (ROOT / document).read_text()
    return [
        (text[: found.start(1)].count("\n") + 1, found[1])
        for found in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    ]


def run(document: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for first, block in blocks_of(document):
        # Blank lines in front: a traceback names the line of the document.
        exec(compile("\n" * (first - 1) + block, document, "exec"), names)
    return names


def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = run("README.md")
    assert names["surface"].complete and "-1.0, -0.5, 0.0, 0.5, 1.0" in capsys.readouterr().out


def test_the_commands_of_the_readme_use_only_run_folders_that_earlier_ones_make() -> None:
    made = set()
    commands = re.findall(r"^(?:landscape|torchrun) [^#\n]*", (ROOT / "README.md").read_text(), re.MULTILINE)
    for command in commands:
        named = set(re.findall(r"checkpoints/[\w-]+(?=\s|$)", command))
        if trained := re.search(r" train --method (\S+)", command):
            named -= {f"checkpoints/digits-{trained[1]}"}
            made.add(f"checkpoints/digits-{trained[1]}")
        assert named <= made, command
    assert len(commands) > 20 and "checkpoints/digits-at" in made


def test_the_page_about_python_says_what_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = run("docs/python.md")
    surface = names["surface"]
    assert surface.grid.alpha == (-1.0, -0.5, 0.0, 0.5, 1.0) and surface.adversarial_loss.shape == (4, 5, 64)
    assert surface.mean().shape == surface.accuracy().shape == (4, 5) and surface.standard_error().shape == (5,)
    assert surface.spec["attack"]["num_steps"] == 5
    assert names["plane"].mean()[0].shape == (5, 3) and abs(names["plane"].provenance[0]["cosines"][0]) < 1e-6
    assert names["of_class_1"].shape == (4, 5)
    assert names["rise_of_loss"].num_draws == 5 and names["rise_of_loss"].standard_error > 0
    assert names["difference"].paired and names["difference"].low is not None
    assert (names["again"].mean() == names["stored"].mean()).all() and names["read"].key == names["stored"].key
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "black.svg", "curves.pdf", "plane.pdf", "planes.png", "surfaces", "whole.png",
    ]  # fmt: skip
    assert "must be numbers in [0, 1]" in capsys.readouterr().out


def test_the_page_about_evaluation_runs() -> None:
    names = run("docs/evaluate.md")
    found = names["found"]
    assert found.num_points == 1 and found.centre.adversarial_correct.shape == (64,)


def test_the_files_that_the_architecture_lists_are_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text().partition("## The files of each room")[2]
    rooms = re.findall(r"^### `(.+?)/`\n(.*?)(?=^### |\Z)", text, re.DOTALL | re.MULTILINE)
    listed = [
        ROOT / "landscape" / room / name for room, part in rooms for name in re.findall(r"^- `(\S+?)`", part, re.M)
    ]
    assert len(listed) > 100 and [path for path in listed if not path.is_file()] == []
