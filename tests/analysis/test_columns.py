"""Text in columns."""

from __future__ import annotations

from landscape.analysis.columns import in_columns


def test_numbers_are_flush_right_and_names_flush_left() -> None:
    rows = [["name", "n"], ["a", "1"], ["b", "100"]]
    assert in_columns(rows, left=1) == "name    n\na       1\nb     100"


def test_by_default_all_is_flush_left_and_no_line_ends_in_blanks() -> None:
    assert in_columns([("key", ""), ("a", "long value"), ("b", "c")]) == "key\na    long value\nb    c"
