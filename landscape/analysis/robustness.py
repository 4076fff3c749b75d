"""Natural and robust accuracy of evaluated models: per example first, then means, errors, gaps and spreads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from landscape.analysis.settings import is_attacked
from landscape.errors import InputError

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

Floats = npt.NDArray[np.float64]

NATURAL, WORST = "natural", "worst case"
"""Columns beside the attacks."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its standard error.

    Attributes:
        value: accuracies in [0, 1], or a difference of them.
        standard_error: over examples, or over runs; NaN where one of them says nothing about the spread.
        count: how many examples, or runs.
    """

    value: float
    standard_error: float
    count: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """One model on the examples of one split, under each of several attacks.

    Attributes:
        label: what tables call the model.
        split: whose examples.
        surfaces: one evaluation for each attack, by the attack's name; at least one, all of the same examples.
        method: how it was trained; None if unknown.
        seed: of its training; None if unknown.
        epoch: finished epochs; None if unknown.
        run: the run that it belongs to; None outside of run folders.
        selection: how it was chosen in its run: `last`, `test-selected`, `validation-selected` or `periodic`; None
            outside.

    Raises:
        InputError: no attack, or evaluations of different examples.
    """

    label: str
    split: str
    surfaces: Mapping[str, Surface]
    method: str | None = None
    seed: int | None = None
    epoch: int | None = None
    run: str | None = None
    selection: str | None = None

    def __post_init__(self) -> None:
        ids = [surface.example_ids for surface in self.surfaces.values()]
        if not ids or any(not np.array_equal(ids[0], other) for other in ids):
            raise InputError(f"attacks on {self.label} are compared on the same examples; evaluate it again.")

    @property
    def columns(self) -> tuple[str, ...]:
        """`natural`, the attacks, and the worst case over them where there are several."""
        attacked = [name for name, surface in self.surfaces.items() if is_attacked(surface)]
        return (NATURAL, *attacked, *((WORST,) if len(attacked) > 1 else ()))

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(n,) labels of the examples."""
        return self._first.labels

    def correct(self, column: str) -> Floats:
        """(n,) share of the draws of noise, mostly 0 or 1, in which the model is right on each example.

        The worst case is per example: right only under every attack. Over several draws of noise it is the least of
        the attacks' shares, at least as large as the share of draws in which every attack fails.
        """
        if column == NATURAL:
            return 1.0 - self._first.centre_values("natural-error")
        if column == WORST:
            worst: Floats = np.stack([self.correct(name) for name in self.surfaces]).min(axis=0)
            return worst
        return 1.0 - self.surfaces[column].centre_values("robust-error")

    def accuracy(self, column: str) -> Estimate:
        """Mean over examples, with its standard error."""
        return mean_of(self.correct(column))

    @property
    def _first(self) -> Surface:
        return next(iter(self.surfaces.values()))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table: a title, and an estimate for each column."""

    title: str
    cells: Mapping[str, Estimate]
    notes: Mapping[str, str]


def mean_of(values: Floats) -> Estimate:
    """Mean of numbers, with the standard error s / sqrt(n), s with n - 1."""
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(value=float(np.mean(values)), standard_error=error, count=len(values))


def accuracies(evaluated: Evaluated) -> dict[str, Estimate]:
    """Accuracy in every column."""
    return {column: evaluated.accuracy(column) for column in evaluated.columns}


def gap(train: Evaluated, test: Evaluated, column: str) -> Estimate:
    """The generalization gap, train minus test accuracy; robust in the column of an attack."""
    return between(train.accuracy(column), test.accuracy(column))


def between(ours: Estimate, theirs: Estimate) -> Estimate:
    """The difference of two estimates from independent samples, the squares of whose standard errors add."""
    return Estimate(
        value=ours.value - theirs.value,
        standard_error=math.hypot(ours.standard_error, theirs.standard_error),
        count=min(ours.count, theirs.count),
    )


def gaps(train: Evaluated, test: Evaluated) -> dict[str, Estimate]:
    """The gap in every column."""
    return {column: gap(train, test, column) for column in train.columns}


def best_per_attack(evaluated: Sequence[Evaluated]) -> list[Row]:
    """For each run, the highest accuracy of each column over its checkpoints, wherever it occurs.

    This is how the AWP paper's Table 2 takes its best: another checkpoint for each attack, natural accuracy included.
    It is chosen on the very examples that it is shown for.
    """
    rows = []
    for run, members in _by(evaluated, lambda entry: entry.run or "").items():
        if not run:
            continue
        found = {column: max(members, key=lambda entry: entry.accuracy(column).value) for column in members[0].columns}
        rows.append(
            Row(
                title=run,
                cells={column: entry.accuracy(column) for column, entry in found.items()},
                notes={column: f"epoch {entry.epoch}" for column, entry in found.items() if entry.epoch is not None},
            )
        )
    return rows


def over_seeds(
    evaluated: Sequence[Evaluated], numbers: Callable[[Evaluated], Mapping[str, Estimate]] = accuracies
) -> list[Row]:
    """Mean and standard deviation over runs of the same method, chosen in the same way (n - 1; none of one run).

    Checkpoints that do not say their method stand for themselves.

    Args:
        evaluated: of one split.
        numbers: of each run, by column; its accuracies by default.
    """
    rows = []
    for title, members in by_method(evaluated).items():
        found = [numbers(entry) for entry in members]
        cells = {column: _spread([cells[column].value for cells in found]) for column in members[0].columns}
        rows.append(Row(title=f"{title}, {len(members)} run{'s' if len(members) > 1 else ''}", cells=cells, notes={}))
    return rows


def by_method(evaluated: Sequence[Evaluated]) -> dict[str, list[Evaluated]]:
    """What `over_seeds` takes together, by the method and how it was chosen."""
    return _by(evaluated, _group)


def gaps_over_seeds(evaluated: Sequence[Evaluated]) -> list[Row]:
    """As `over_seeds`, of the gaps of models that were evaluated on both splits."""
    train_of = {test.label: train for train, test in paired_splits(evaluated)}
    tests = [entry for entry in evaluated if entry.split == "test" and entry.label in train_of]
    return over_seeds(tests, lambda test: gaps(train_of[test.label], test))


def paired_splits(evaluated: Sequence[Evaluated]) -> list[tuple[Evaluated, Evaluated]]:
    """Models that were evaluated on both splits, as (train, test)."""
    train = {entry.label: entry for entry in evaluated if entry.split == "train"}
    return [(train[entry.label], entry) for entry in evaluated if entry.split == "test" and entry.label in train]


def best_and_last(evaluated: Sequence[Evaluated]) -> list[tuple[str, Evaluated, Evaluated]]:
    """Runs whose best and last checkpoint were both evaluated, with the two."""
    pairs = []
    for run, members in _by(evaluated, lambda entry: entry.run or "").items():
        chosen = {entry.selection: entry for entry in members}
        best = chosen.get("validation-selected") or chosen.get("test-selected")
        if run and best is not None and "last" in chosen:
            pairs.append((run, best, chosen["last"]))
    return pairs


def _spread(values: Sequence[float]) -> Estimate:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return Estimate(value=float(np.mean(values)), standard_error=deviation, count=len(values))


def _group(entry: Evaluated) -> str:
    if entry.method is None:
        return entry.label
    chosen = "" if entry.selection is None else f", {entry.selection}"
    return f"{entry.method}{f', epoch {entry.epoch}' if entry.selection == 'periodic' else chosen}"


def _by(evaluated: Sequence[Evaluated], key: Callable[[Evaluated], str]) -> dict[str, list[Evaluated]]:
    groups: dict[str, list[Evaluated]] = {}
    for entry in evaluated:
        groups.setdefault(key(entry), []).append(entry)
    return groups
