from __future__ import annotations

from typing import Any

import click
import pytest

from landscape.cli.options import Arguments

ARGUMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "one": ("width=16", {"width": 16}),
    "several": ("depth=28, widen_factor=10", {"depth": 28, "widen_factor": 10}),
    "other kinds": ("rate=0.5,kind=wide", {"rate": 0.5, "kind": "wide"}),
}


@pytest.mark.parametrize(("text", "expected"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments_by_name(text: str, expected: dict[str, Any]) -> None:
    found = Arguments().convert(text, None, None)
    assert found == expected
    assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]


@pytest.mark.parametrize("text", ["width", "width=", "=16", "a b=3", "width=1,width=2", "", "width=1,"])
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not NAME=VALUE,\.\. such as width=16"):
        Arguments().convert(text, None, None)
