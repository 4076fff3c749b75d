from __future__ import annotations

from pathlib import Path

import pytest

from landscape.errors import TrainingError
from landscape.training.history import COLUMNS, Row, read_history, write_history


def test_numbers_come_back_in_full_and_gaps_as_none(tmp_path: Path) -> None:
    rows: list[Row] = [
        {"epoch": 1, "lr": 0.1, "train_loss": 1 / 3, "perturbation_ratio": 0.0, "seconds": 0.5},
        {**{name: index / 7 for index, name in enumerate(COLUMNS)}, "epoch": 2},
    ]
    write_history(tmp_path / "history.csv", rows)
    first, second = read_history(tmp_path / "history.csv")
    assert first == {name: rows[0].get(name) for name in COLUMNS}
    assert second == rows[1]


@pytest.mark.parametrize("text", [None, "a,b\n1,2\n", ",".join(COLUMNS) + "\n1,2\n"], ids=["missing", "other", "short"])
def test_what_is_no_history_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "history.csv").write_text(text)
    with pytest.raises(TrainingError, match="is not a readable history of a training run"):
        read_history(tmp_path / "history.csv")
