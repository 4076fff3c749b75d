from __future__ import annotations

from pathlib import Path

import pytest

from landscape.errors import TrainingError
from landscape.training.history import COLUMNS, INNER, VALIDATION, Row, read_history, write_history


def test_numbers_come_back_in_full_and_gaps_as_none(tmp_path: Path) -> None:
    rows: list[Row] = [
        {"epoch": 1, "lr": 0.1, "train_loss": 1 / 3, "perturbation_ratio": 0.0, "seconds": 0.5},
        {**{name: index / 7 for index, name in enumerate(COLUMNS)}, "epoch": 2},
    ]
    write_history(tmp_path / "history.csv", rows)
    first, second = read_history(tmp_path / "history.csv")
    assert first == {name: rows[0].get(name) for name in COLUMNS}
    assert second == rows[1]


def test_validation_columns_are_there_where_a_run_has_them(tmp_path: Path) -> None:
    row: Row = {**{name: index / 7 for index, name in enumerate((*COLUMNS, *VALIDATION))}, "epoch": 1}
    write_history(tmp_path / "history.csv", [row])
    assert read_history(tmp_path / "history.csv") == [row]


def test_histories_of_the_first_version_are_read(tmp_path: Path) -> None:
    old = [name for name in COLUMNS if name not in INNER[1:]]
    (tmp_path / "history.csv").write_text(f"{','.join(old)}\n{','.join(['1'] * len(old))}\n")
    (row,) = read_history(tmp_path / "history.csv")
    assert row == {name: 1 if name in old else None for name in COLUMNS}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, r"^there is no .*history\.csv; name the folder of a training run", id="missing"),
        pytest.param("a,b\n1,2\n", "is not a readable history of a training run", id="other"),
        pytest.param(",".join(COLUMNS) + "\n1,2\n", "is not a readable history of a training run", id="short"),
    ],
)
def test_what_is_no_history_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "history.csv").write_text(text)
    with pytest.raises(TrainingError, match=message):
        read_history(tmp_path / "history.csv")
