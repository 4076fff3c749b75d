from __future__ import annotations

import pytest

from tests.cli.calling import Call

CALLS = {
    "sibling's option": (
        ("plot-1d", "a", "--refine", "0.3"),
        "No such option: --refine; it is an option of plot-2d.",
    ),
    "with its value": (("plot-2d", "a", "--warm-start=3"), "--warm-start; it is an option of plot-1d."),
    "several": (("cache", "list", "--directions", "3"), "of plot-1d, lsc-groups, flatness and perturbed-loss."),
    "of a command in a group": (("plot", "a", "--mirror", "x"), "it is an option of data fetch."),
    "before the command": (
        ("plot-1d", "a", "--quiet"),
        " --quiet plot-1d.",
    ),
    "short": (("cache", "list", "-q"), " -q cache list."),
    "behind the command": (("--refine", "3", "plot-2d", "a"), "it is an option of plot-2d."),
    "nobody's": (("plot-1d", "a", "--alphas", "3"), "--alpha"),
    "command": (("plt-1d",), "No such command 'plt-1d'; the nearest is plot-1d"),
    "command in a group": (("cache", "lst"), "No such command 'lst'; the nearest is list"),
    "no command": (("zzz",), "--help lists them."),
}


@pytest.mark.parametrize(("arguments", "said"), CALLS.values(), ids=CALLS.keys())
def test_a_wrong_call_is_told_what_it_probably_meant(call: Call, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())
