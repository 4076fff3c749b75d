from __future__ import annotations

import errno
import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from landscape.cli.main import COMMANDS, SaidOnce, group, main


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_one_line_and_no_traceback(unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "landscape", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: cannot write the output: No space left on device; make room, or send it elsewhere.\n"
    )


def test_an_error_of_a_file_is_no_full_output(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = OSError(errno.ENOSPC, "No space left on device", "somewhere.txt")
    monkeypatch.setattr(group, "main", lambda **given: (_ for _ in ()).throw(failure))
    with pytest.raises(OSError, match=r"somewhere\.txt"):
        main([])


def test_a_message_is_said_once_in_a_command() -> None:
    logger, said = logging.Logger("landscape"), io.StringIO()
    handler = logging.StreamHandler(said)
    handler.addFilter(SaidOnce())
    logger.addHandler(handler)
    for name in ("a", "b", "a", "a"):
        logger.warning("%s: left out.", name)
    assert said.getvalue().splitlines() == ["a: left out.", "b: left out."]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_in_a_sentence(name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    commands = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    described = [option for one in commands for option in one.params if isinstance(option, click.Option)]
    for option in described:
        sentence = (option.help or "").partition("  [default: ")[0]
        assert sentence.endswith(".") and len(sentence) > 6, (name, option.name, option.help)


@pytest.mark.parametrize("name", ["plot-1d", "plot-2d", "lsc-groups"])
def test_commands_without_csv_say_where_it_is_had(name: str) -> None:
    result = CliRunner().invoke(group, [name, "digits-at", "--csv", "numbers.csv"])
    assert result.exit_code == 2
    assert f"{name} writes no CSV; `landscape cache export FILE --to numbers.csv` does" in result.output
    shown = CliRunner().invoke(group, [name, "--help"]).output
    assert "--csv" not in shown and ("plot-1d" in shown) == (name == "plot-1d")


@pytest.mark.parametrize("name", [None, "cache", "data"])
def test_no_summary_of_a_command_is_cut(name: str | None) -> None:
    shown = CliRunner().invoke(group, ["--help"] if name is None else [name, "--help"]).output
    assert "Commands:" in shown and "..." not in shown.partition("Commands:")[2]
