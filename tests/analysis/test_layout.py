from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from landscape.analysis.layout import wrapped

TEXT = "Attack: PGD-10, L∞, ε = 0.15; right: g(α) − g(0), band: 95 % interval (20.0 %). Seeds: directions 0, attack 0."


def lines(text: str, width: float) -> list[str]:
    figure = Figure()
    FigureCanvasAgg(figure)
    return wrapped(figure, text, width=width, size=9.0)


@pytest.mark.parametrize("width", [0.9 + 0.1 * step for step in range(20)], ids="{:.1f} in".format)
def test_no_line_ends_beside_a_sign_before_a_percent_or_before_the_last_word(width: float) -> None:
    found = lines(TEXT, width)
    assert " ".join(found) == TEXT
    assert len(found) > 2
    for line in found:
        words = line.split()
        assert words[0] not in ("=", "−", "%", "%).") and words[-1] not in ("=", "−")
    assert len(found[-1].split()) > 1


@pytest.mark.parametrize("text", ["a = b = c = d = e = f", "x" * 40, "", "one"], ids=["chain", "long", "none", "one"])
def test_what_has_no_room_on_one_line_is_parted_after_all(text: str) -> None:
    found = lines(text, 0.5)
    assert "".join(found).replace(" ", "") == text.replace(" ", "")
    assert all(len(line) <= 12 for line in found)
