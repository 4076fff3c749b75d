from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape.analysis.history_table import history_numbers, history_table
from landscape.analysis.run_history import SAME_RUN, RunHistory, group_runs, read_run
from landscape.errors import InputError, TrainingError
from landscape.training.config import PLACE
from landscape.training.history import COLUMNS, Row, write_history

LOG = """epoch,train_time_s,test_time_s,lr,train_loss,train_acc,train_robust_loss,train_robust_acc,test_loss,test_acc,\
test_robust_loss,test_robust_acc,finished_at
0,519.1,107.0,0.1000,1.7276,0.3615,1.9358,0.2717,1.5017,0.4488,1.7274,0.3451,2020-04-27 12:43:48
1,518.3,107.0,0.0100,1.4000,0.4815,1.7358,0.3717,1.4017,0.5088,1.6274,0.3651,2020-04-27 12:53:48
"""


def write_run(
    folder: Path, robust: Sequence[float | None], *, seed: int = 0, rates: Sequence[float] | None = None, **given: Any
) -> Path:
    """A run folder whose test robust accuracies are `robust`; train is 0.1 above, natural 0.9."""
    folder.mkdir(parents=True)
    rows: list[Row] = []
    for index, accuracy in enumerate(robust):
        row: Row = dict.fromkeys(COLUMNS)
        row |= {"epoch": index + 1, "lr": rates[index] if rates else 0.1, "train_loss": 1.0, "seconds": 1.0}
        row |= {"perturbation_ratio": 0.0}
        if accuracy is not None:
            row |= {name: 0.9 for name in COLUMNS if name.endswith(("natural_accuracy", "_loss"))}
            row |= {"test_robust_accuracy": accuracy, "train_robust_accuracy": accuracy + 0.1, "robust_gap": 0.1}
        rows.append(row)
    write_history(folder / "history.csv", rows)
    settings = {"method": "at", "dataset": "digits", "seed": seed, "eval_attack": "pgd-10", "eval_examples": 500}
    (folder / "config.json").write_text(json.dumps(settings | given))
    return folder


def test_best_is_the_first_highest_and_last_the_last_measured(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", [0.3, None, 0.5, 0.5, 0.4, None]))
    assert run.label == "run"
    assert [int(run.column("epoch")[index]) for index in (run.best, run.last)] == [3, 5]
    assert np.isnan(run.column("test_robust_accuracy")[1])
    (numbers,) = history_numbers(group_runs([run]))
    assert numbers["best"]["epoch"] == 3
    assert numbers["last"]["test_robust_accuracy"] == 0.4
    assert numbers["best_minus_last"] == pytest.approx(0.1)
    table = history_table(group_runs([run])).splitlines()
    assert table[1].split() == ["run", "best", "(test-selected)", "3", "60.00", "50.00", "10.00", "90.00", "90.00"]
    assert table[2].split() == ["last", "5", "50.00", "40.00", "10.00", "90.00", "90.00"]
    assert table[3].split() == ["best", "minus", "last", "10.00"]
    assert table[4:] == [
        "Accuracies in %, robust gap: train minus test, in points.",
        "Measured in eval mode, without augmentation, under pgd-10, on at most 500 examples of each split.",
        "What `landscape train` prints at its end is of all examples, under pgd-20.",
    ]


def test_a_run_with_validation_examples_is_chosen_by_them() -> None:
    columns = {"epoch": np.arange(1.0, 4.0), "lr": np.ones(3), "test_robust_accuracy": np.array([0.5, 0.4, 0.3])}
    columns["validation_robust_accuracy"] = np.array([0.2, 0.3, 0.3])
    run = RunHistory(label="run", columns=columns)
    assert (run.selected_on, run.best, run.last) == ("validation", 1, 2)


def test_seeds_are_one_group_and_other_settings_are_not(tmp_path: Path) -> None:
    runs = [
        read_run(write_run(tmp_path / "a", [0.3, 0.5], seed=0, device="cpu")),
        read_run(write_run(tmp_path / "b", [0.3, 0.7], seed=1, device="cuda")),
        read_run(write_run(tmp_path / "c", [0.3, 0.6], seed=1, method="at-awp")),
    ]
    pair, other = group_runs(runs)
    assert (pair.label, other.label) == ("at on digits, 2 seeds", "c")
    assert [run.label for run in pair.runs] == ["a", "b"]
    np.testing.assert_array_equal(pair.values("test_robust_accuracy"), [[0.3, 0.5], [0.3, 0.7]])
    assert "60.00 ± 14.14" in history_table([pair]).splitlines()[1]


def test_runs_of_a_group_may_differ_in_place_and_seed_alone() -> None:
    assert set(SAME_RUN) == {"seed", *PLACE}


def test_epochs_that_a_run_lacks_are_gaps(tmp_path: Path) -> None:
    (group,) = group_runs(
        [read_run(write_run(tmp_path / "a", [0.3])), read_run(write_run(tmp_path / "b", [0.4, 0.5], seed=1))]
    )
    np.testing.assert_array_equal(group.values("test_robust_accuracy"), [[0.3, np.nan], [0.4, 0.5]])


@pytest.mark.parametrize(
    ("rates", "drops"),
    [
        pytest.param([0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001], [3, 6], id="piecewise"),
        pytest.param([0.1, 0.09, 0.05, 0.02, 0.009, 0.001, 0.0], [], id="smooth"),
        pytest.param([0.1, 0.1, 0.0], [], id="to-zero"),
        pytest.param([0.1, 0.05, 0.01], [2], id="second-epoch"),
    ],
)
def test_the_rate_drops_from_a_plateau(tmp_path: Path, rates: list[float], drops: list[int]) -> None:
    assert read_run(write_run(tmp_path / "run", [0.5] * len(rates), rates=rates)).drops == drops


def test_published_logs_are_read_with_epochs_from_one(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(LOG)
    run = read_run(tmp_path / "log.csv")
    assert (run.label, run.is_log, run.settings) == ("log", True, None)
    assert run.column("epoch").tolist() == [1.0, 2.0]
    assert run.column("train_natural_accuracy").tolist() == [0.3615, 0.4815]
    assert run.column("robust_gap").tolist() == pytest.approx([-0.0734, 0.0066])
    with pytest.raises(InputError, match="the history of log has no column perturbation_ratio; it has epoch, lr,"):
        run.column("perturbation_ratio")


def test_logs_are_never_grouped(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(LOG)
    groups = group_runs([read_run(tmp_path / f"{name}.csv") for name in ("a", "b", "a")])
    assert [group.label for group in groups] == ["a #1", "b", "a #3"]


def test_what_has_no_history_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.csv").write_text(LOG.replace("0.3717", "many"))
    (tmp_path / "history.csv").write_text(",".join(COLUMNS) + "\n")
    for path, message in [
        (tmp_path / "nothing", "is no run folder and no CSV file; name the folder of a run"),
        (tmp_path / "nothing.csv", r"there is no .*nothing\.csv; name the folder of a training run"),
        (tmp_path / "empty", r"there is no .*empty/history\.csv; name the folder of a training run"),
        (tmp_path / "broken.csv", "is not a readable history of a training run"),
        (tmp_path / "history.csv", "has no finished epoch yet"),
        (write_run(tmp_path / "new", [None]), "has no evaluation yet"),
    ]:
        with pytest.raises(TrainingError, match=message):
            read_run(path)
