from __future__ import annotations

import json
import math

import pytest

from landscape.analysis.group_tables import claims, difference_table, group_numbers, group_table, group_tables
from landscape.analysis.groups import GroupedSurface, Grouping, group_examples
from landscape.analysis.statistics import rise
from tests.analysis.grouped import split_surfaces, surface_at


@pytest.fixture(scope="module")
def splits() -> list[tuple[GroupedSurface, ...]]:
    return [tuple(group_examples(surface, title="at") for surface in split_surfaces(num_directions=5))]


def test_a_group_has_a_row_with_its_size_and_its_rises(splits: list[tuple[GroupedSurface, ...]]) -> None:
    train = splits[0][0]
    lines = group_table(train).splitlines()
    assert lines[0] == "at (train): adversarial loss (cross-entropy, nats)"
    assert len(lines) == len(train.groups) + 4 and lines[-1].startswith("No rise at r = 0.1, 0.25: ")
    group = train.groups[0]
    found = rise(group.surface, 0.5)
    assert found is not None
    cells = lines[2].split()
    assert cells[:3] == ["[0,", "0.5)", str(group.size)]
    assert cells[3] == f"{100 * group.share:.1f}"
    assert cells[5] == f"{group.surface.centre_mean():.4f}"
    assert cells[8:11] == [
        f"{found.value:.4f}",
        f"{found.standard_error_directions:.4f}",
        f"{found.standard_error_examples:.4f}",
    ]
    assert lines[-2].split()[:2] == ["all", str(len(train.surface.example_ids))]


def test_small_groups_are_marked_and_losses_that_are_no_numbers_have_a_row_of_their_own() -> None:
    grouped = group_examples(surface_at([0.1] * 25 + [4.0, math.nan]), title="at")
    text = group_tables([(grouped,)])
    assert "rest: outside [0, 3) *" in text and "loss not finite *" in text
    assert "* fewer than 20 examples: drawn grey, nothing is claimed of it; more examples may fill it." in text
    assert "[0, 0.5) *" not in text and "[0.5, 1)" not in text


def test_train_and_test_stand_beside_each_other_with_the_interval(splits: list[tuple[GroupedSurface, ...]]) -> None:
    header, *rows, note = difference_table(splits).splitlines()
    assert "rise(0.5)" in header and "train − test" in header
    assert len(rows) == sum(splits[0][1].group(group.index) is not None for group in splits[0][0].groups)
    assert "[" in rows[0].replace("[0, 0.5)", "") and note.startswith("-: fewer than 20 examples")
    assert difference_table([splits[0][:1]]) == ""
    said = claims(splits)
    assert len(said) == 2 and "only train minus test of a group is a claim" in said[1]
    assert claims([splits[0][:1]]) == []


def test_numbers_are_plain_and_complete(splits: list[tuple[GroupedSurface, ...]]) -> None:
    numbers = json.loads(json.dumps(group_numbers(splits, Grouping()), allow_nan=False))
    assert (numbers["by"], numbers["edges"][-1], numbers["min_members"]) == ("loss", 3.0, 20)
    train, test = numbers["panels"]
    assert (train["split"], test["split"]) == ("train", "test")
    assert sum(group["size"] for group in train["groups"]) == len(splits[0][0].surface.example_ids)
    group = train["groups"][0]
    assert len(group["example_ids"]) == group["size"] and len(group["mean"]) == 5
    assert {one["radius"] for one in numbers["differences"]} == {0.5, 1.0}
    assert numbers["sentences"][0].startswith("at at r = 0.5")
    assert group_numbers([splits[0][:1]], Grouping(by="class"))["edges"] is None
