"""`history.csv`: one row for each finished epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from landscape import files
from landscape.errors import TrainingError

Row = dict[str, "float | int | None"]

MEASURED = tuple(
    f"{split}_{what}_{quantity}"
    for split in ("train", "test")
    for what in ("natural", "robust")
    for quantity in ("loss", "accuracy")
)

INNER = ("perturbation_ratio", "inner_steps", "share_pulling", "share_removed")

COLUMNS = ("epoch", "lr", "train_loss", *INNER, *MEASURED, "robust_gap", "seconds")
"""`epoch` counts finished epochs, from 1, and `lr` is the rate of its last batch. `train_loss` is the epoch's mean of
the loss that updates descend: in training mode, at w + v, on augmented examples. `perturbation_ratio` is the mean over
batches of ||v|| / ||w|| of the tensors that move; `inner_steps` and `share_pulling` are the means of the gradients with
respect to v and of the share of examples that pulled on it at first: those below c_min, or in the LSC range.
`share_removed` is the share of the examples that `drop_below` has left out. Measured columns hold nothing in epochs
without an evaluation."""

VALIDATION = tuple(name.replace("test", "validation") for name in MEASURED if name.startswith("test"))
"""More measured columns, at the end, of runs that keep validation examples apart."""


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """Write all rows, atomically: a reader and a killed run have every finished row, and each once.

    Numbers are written in full, so that reading gives back the same floats.
    """
    text = io.StringIO()
    columns = (*COLUMNS, *VALIDATION) if any(VALIDATION[0] in row for row in rows) else COLUMNS
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if row.get(name) is None else repr(row[name]) for name in columns})
    files.write_text(path, text.getvalue())


def read_history(path: Path) -> list[Row]:
    """The rows of a `history.csv`; None where nothing was measured.

    Raises:
        TrainingError: there is no such file, it cannot be read, or it is no history.
    """
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        columns = (*COLUMNS, *VALIDATION) if rows and VALIDATION[0] in rows[0] else COLUMNS
        # Histories of the first version lack some columns about the perturbation.
        lacking = dict.fromkeys(INNER[1:], "")
        return [{name: _number(name, (lacking | row)[name]) for name in columns} for row in rows]
    except FileNotFoundError as error:
        raise TrainingError(f"there is no {path}; name the folder of a training run, or its history.csv.") from error
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise TrainingError(
            f"{path} is not a readable history of a training run, or a torn one; copy it again or name another run."
        ) from error


def _number(name: str, text: str) -> float | int | None:
    if text == "":
        return None
    return int(text) if name == "epoch" else float(text)


def selecting(numbers: Mapping[str, float | int | None]) -> float:
    """The number by which the best epoch is chosen: robust accuracy on validation examples, else on test examples."""
    return numbers.get("validation_robust_accuracy", numbers["test_robust_accuracy"]) or 0.0
