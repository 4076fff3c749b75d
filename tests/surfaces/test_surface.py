from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape.errors import InputError
from landscape.names import QUANTITIES
from landscape.protocols import Measurement
from landscape.surfaces.surface import CENTRE, Draft, Grid, Point, Surface, layout


def spec_of(grid: Grid, num_directions: int) -> dict[str, Any]:
    return {"numerics": 1, "grid": grid.to_spec(), "num_directions": num_directions}


def constant(value: float, n: int = 4, correct: int = 1) -> Measurement:
    return Measurement(
        adversarial_loss=np.full(n, value, np.float32),
        clean_loss=np.full(n, value / 2, np.float32),
        adversarial_correct=np.full(n, correct, np.uint8),
        clean_correct=np.ones(n, np.uint8),
    )


def draft_of(grid: Grid, num_directions: int = 2, n: int = 4) -> Draft:
    ids = np.arange(n)
    return Draft(key="k" * 64, spec=spec_of(grid, num_directions), example_ids=ids, labels=ids % 3)


def filled(grid: Grid, num_directions: int = 2) -> Surface:
    """Every point's losses encode its coordinates: 100 * direction + 10 * alpha + beta."""
    draft = draft_of(grid, num_directions)
    source = draft.add_provenance({"label": "encoded"})
    draft.put(CENTRE, constant(-5.0), source)
    for direction in range(num_directions):
        for index in grid.indices():
            node = (*grid.node(index), 0.0)
            draft.put((direction, *index), constant(100 * direction + 10 * node[0] + node[1]), source)
    return draft.surface()


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        pytest.param("-1:1:5", (-1.0, -0.5, 0.0, 0.5, 1.0), id="odd"),
        pytest.param("-1:1:4", (-1.0, -1 / 3, 1 / 3, 1.0), id="even"),
        pytest.param("0:1:4", (0.0, 1 / 3, 2 / 3, 1.0), id="thirds"),
        pytest.param("-0.3:0.3:7", (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3), id="decimals"),
        pytest.param("1/3:2/3:2", (1 / 3, 2 / 3), id="fractions"),
        pytest.param("0.5:0.5:1", (0.5,), id="one node"),
        pytest.param("-1e-1:1e-1:3", (-0.1, 0.0, 0.1), id="exponent"),
    ],
)
def test_the_nodes_are_exact(text: str, nodes: tuple[float, ...]) -> None:
    assert Grid.parse(text).alpha == nodes


@given(num=st.integers(2, 60), times=st.integers(1, 6), half=st.integers(1, 40))
def test_nested_grids_share_nodes_bit_for_bit_and_zero_is_zero(num: int, times: int, half: int) -> None:
    end = str(Fraction(half, 10))
    coarse = Grid.line(f"-{end}", end, num).alpha
    fine = Grid.line(f"-{end}", end, (num - 1) * times + 1).alpha
    assert coarse == fine[::times]
    assert [-node for node in reversed(coarse)] == list(coarse)
    if num % 2:
        middle = coarse[num // 2]
        assert middle == 0
        assert str(middle) == "0.0"


def test_numbers_are_read_as_the_decimals_they_are_written_as() -> None:
    assert Grid.line(-0.3, 0.3, 3) == Grid.parse("-0.3:0.3:3")
    assert Grid.line(0.1, 0.3, 3).alpha == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("1:-1:5", "FROM below TO and at least 2 nodes, got 1:-1:5", id="falling"),
        pytest.param("-1:1:1", "at least 2 nodes", id="too few"),
        pytest.param("-1:1:0", "at least 2 nodes", id="none"),
        pytest.param("1:1:3", "FROM below TO", id="no length"),
        pytest.param("-1:1", "FROM:TO:NUM", id="two parts"),
        pytest.param("-1:1:x", "FROM:TO:NUM", id="no number of nodes"),
        pytest.param("a:1:3", "two finite ends", id="no number"),
        pytest.param("1//2:1:3", "two finite ends", id="two slashes"),
        pytest.param("1/0:1:3", "two finite ends", id="zero denominator"),
        pytest.param("-inf:1:3", "two finite ends", id="infinite"),
        pytest.param("-1:1:1000001", "at most 1,000,000 nodes, got 1,000,001; write a smaller NUM", id="too many"),
        pytest.param(f"-1:1:1{'0' * 30}", "at most 1,000,000 nodes", id="never listed"),
    ],
)
def test_a_bad_line_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Grid.parse(text)


def test_a_plane_of_too_many_nodes_is_refused_though_its_lines_are_short() -> None:
    with pytest.raises(InputError, match="at most 1,000,000 nodes, got 1,001,000; write a smaller NUM"):
        Grid.parse("-1:1:1001", "-1:1:1000")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        pytest.param((), "at least one node", id="empty"),
        pytest.param((0.0, float("nan")), "finite", id="nan"),
        pytest.param((0.0, 0.0), "must increase", id="twice"),
    ],
)
def test_bad_nodes_are_refused(nodes: tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Grid(alpha=nodes)
    with pytest.raises(InputError, match=message):
        Grid(alpha=(0.0, 1.0), beta=nodes)


def test_negative_zero_is_zero() -> None:
    assert str(Grid(alpha=(-1, -0.0)).alpha) == "(-1.0, 0.0)"


@pytest.mark.parametrize("grid", [Grid.parse("-1:1:3"), Grid.parse("-1:1:3", "0:1:4")], ids=["line", "plane"])
def test_a_grid_survives_its_specification(grid: Grid) -> None:
    assert Grid.from_spec(grid.to_spec()) == grid
    assert layout(spec_of(grid, 3)) == (grid, 3)
    assert len(list(grid.indices())) == np.prod(grid.shape)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="empty"),
        pytest.param({"grid": 3, "num_directions": 1}, id="no grid"),
        pytest.param({"grid": {"alpha": [0.0, "x"], "beta": None}, "num_directions": 1}, id="text"),
        pytest.param({"grid": {"alpha": [0.0], "beta": None}, "num_directions": -1}, id="fewer than none"),
        pytest.param({"grid": {"alpha": [0.0], "beta": None}, "num_directions": 2.0}, id="not whole"),
        pytest.param({"grid": {"alpha": [0.0], "beta": None}, "num_directions": True}, id="boolean"),
    ],
)
def test_a_specification_needs_grid_and_directions(spec: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        layout(spec)


def test_values_stand_where_their_labels_say_on_a_plane_that_is_not_square() -> None:
    grid = Grid.parse("-1:1:3", "0:4:5")
    surface = filled(grid)
    direction, alpha, beta = np.meshgrid([0, 1], np.array(grid.alpha), np.array(grid.beta), indexing="ij")
    np.testing.assert_allclose(surface.mean(), 100 * direction + 10 * alpha + beta, rtol=1e-6)
    assert surface.mean().shape == (2, 3, 5)
    assert surface.values().shape == (2, 3, 5, 4)
    assert surface.complete
    assert surface.label == "encoded"


def test_missing_not_finite_and_done_are_three_states_and_zero_is_done() -> None:
    draft = draft_of(Grid.parse("-1:1:5"), num_directions=1)
    source = draft.add_provenance({})
    for index, value in enumerate([0.0, -1.0, np.nan, np.inf]):
        draft.put((0, index), constant(value, correct=0), source)
    surface = draft.surface()
    assert surface.status.tolist() == [[1, 1, 2, 2, 0]]
    np.testing.assert_array_equal(surface.mean(), [[0.0, -1.0, np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(surface.values()[0, :, 0], [0.0, -1.0, np.nan, np.inf, np.nan])
    np.testing.assert_array_equal(surface.accuracy(), [[0.0, 0.0, np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(surface.values("robust-error")[0, :, 0], [1, 1, 1, 1, np.nan])
    assert surface.provenance_index.tolist() == [[0, 0, 0, 0, -1]]
    assert surface.done_points() == {(0, 0), (0, 1), (0, 2), (0, 3)}
    assert (surface.num_done, surface.num_points, surface.complete) == (4, 6, False)
    assert np.isnan(surface.centre_mean())
    assert np.isnan(surface.centre_values()).all()


@pytest.mark.parametrize("point", [CENTRE, (1, 2)], ids=["centre", "node"])
def test_the_first_measurement_of_a_point_is_final(point: Point) -> None:
    draft = draft_of(Grid.parse("-1:1:3"))
    source = draft.add_provenance({"a": 1})
    assert draft.add_provenance({"a": 1}) == source
    draft.put(point, constant(0.0), source)
    draft.put(point, constant(7.0), source)
    surface = draft.surface()
    assert surface.measurement(point).adversarial_loss.tolist() == [0.0] * 4
    assert surface.point_provenance(point) == {"a": 1}
    assert surface.point_status(point) == 1


def test_each_quantity_reads_its_own_array() -> None:
    draft = draft_of(Grid(alpha=(0.0,)), num_directions=1)
    point = Measurement(
        adversarial_loss=np.array([4, 3, 2, 1], np.float32),
        clean_loss=np.array([2, 1, 0, 1], np.float32),
        adversarial_correct=np.array([0, 0, 0, 1], np.uint8),
        clean_correct=np.array([0, 1, 1, 1], np.uint8),
    )
    draft.put((0, 0), point, draft.add_provenance({}))
    draft.put(CENTRE, point, 0)
    surface = draft.surface()
    means = {quantity: float(surface.mean(quantity)[0, 0]) for quantity in QUANTITIES}
    assert means == {"loss": 2.5, "robust-error": 0.75, "natural-loss": 1.0, "natural-error": 0.25}
    assert {quantity: surface.centre_mean(quantity) for quantity in QUANTITIES} == means
    assert surface.accuracy()[0, 0] == 0.25
    with pytest.raises(
        InputError, match="a quantity is one of loss, robust-error, natural-loss, natural-error, got 'x'"
    ):
        surface.mean("x")


def test_the_mean_is_taken_in_double_precision() -> None:
    draft = draft_of(Grid(alpha=(0.0,)), num_directions=1, n=20_000)
    losses = np.full(20_000, 0.1, np.float32)
    losses[0] = 1e6
    draft.put((0, 0), Measurement(**{**constant(0.1, 20_000).arrays(), "adversarial_loss": losses}), 0)
    assert draft.surface().mean()[0, 0] == losses.astype(np.float64).mean()


def test_the_standard_error_is_that_of_each_examples_mean_over_usable_directions() -> None:
    rng = np.random.default_rng(0)
    losses = rng.standard_normal((3, 2, 6)).astype(np.float32)
    losses[1, 1, 3] = np.nan  # this point does not count
    draft = draft_of(Grid.parse("0:1:2"), num_directions=3, n=6)
    for direction in range(3):
        for index in range(2):
            measurement = Measurement(**{**constant(0.0, 6).arrays(), "adversarial_loss": losses[direction, index]})
            if (direction, index) != (2, 0):  # missing
                draft.put((direction, index), measurement, 0)
    wanted = [
        np.std(losses[used, index].astype(np.float64).mean(axis=0), ddof=1) / np.sqrt(6)
        for index, used in enumerate([[0, 1], [0, 2]])
    ]
    np.testing.assert_allclose(draft.surface().standard_error(), wanted, rtol=1e-12)
    assert np.isnan(draft_of(Grid.parse("0:1:2")).surface().standard_error()).all()
