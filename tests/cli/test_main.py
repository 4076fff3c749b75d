from __future__ import annotations

import io
import logging

import click
import pytest
from click.testing import CliRunner

from landscape.cli.main import COMMANDS, SaidOnce, group


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


@pytest.mark.parametrize("name", [None, "cache", "data"])
def test_no_summary_of_a_command_is_cut(name: str | None) -> None:
    shown = CliRunner().invoke(group, ["--help"] if name is None else [name, "--help"]).output
    assert "Commands:" in shown and "..." not in shown.partition("Commands:")[2]
