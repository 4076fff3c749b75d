"""Training minus held-out examples of the same group: the one claim about groups that selection does not explain.

Examples that were picked because their loss is low rise more when the weights move, whatever the training did:
the loss that was low for this very model is less low for another one. Held-out examples picked in the same way show
that part alone; what training on the examples adds is the difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from landscape.analysis.pairing import differing_directions
from landscape.analysis.samples import direction_rises
from landscape.analysis.statistics import (
    LEVEL,
    MIN_DIRECTIONS,
    RADII,
    common_directions,
    estimate_difference,
    t_quantile,
)
from landscape.analysis.wording import counted, number, quantity_words
from landscape.names import SPLITS

if TYPE_CHECKING:
    from landscape.analysis.groups import Group, GroupedSurface
    from landscape.analysis.statistics import Floats

MAIN_RADIUS = 0.5

EACH_ALONE = (
    "Each interval holds at 95 % on its own: of twenty groups without a difference about one leaves out 0. Low-loss "
    "groups may rise more by selection alone, on held-out examples too; only train minus test of a group is a claim. "
    "High losses tend to fall: where g(0) of the two splits differ, part of the difference comes from that."
)


@dataclass(frozen=True, kw_only=True)
class GroupDifference:
    """rise(r) of the training examples of a group minus that of its test examples.

    Attributes:
        index: which group.
        name: what it is called.
        radius: r, in multiples of the normalized direction.
        train, test: rise(r) of both; NaN where no direction is finite.
        train_centre, test_centre: g(0) of both.
        num_train, num_test: members.
        value: train minus test.
        low, high: interval of the value; None where a group has too few members, below three directions, or for a
            value that is NaN.
        level: confidence level of the interval.
        standard_error_directions, standard_error_examples: of the value.
        num_directions: that the value is a mean of.
        paired_directions: whether both splits were displaced along the same directions.
    """

    index: int
    name: str
    radius: float
    train: float
    test: float
    train_centre: float
    test_centre: float
    num_train: int
    num_test: int
    value: float
    low: float | None
    high: float | None
    level: float
    standard_error_directions: float
    standard_error_examples: float
    num_directions: int
    paired_directions: bool

    @property
    def shown(self) -> bool:
        """Whether there is an interval and it leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def train_minus_test(
    train: Group, test: Group, radius: float = MAIN_RADIUS, quantity: str = "loss"
) -> GroupDifference | None:
    """rise(radius) of a group of training examples minus that of the same group of test examples.

    With x[j, i] the rise along direction j of training example i, of n, and y[j, k] that of test example k, of m,

        x[j, i] = mu + a_j + b_i + e_ji,        y[j, k] = nu + c_j + d_k + f_jk.

    Directions are shared: (a_j, c_j) belong together and their difference counts once. Examples are other ones, so b
    and d are independent. The variance of mean x - mean y over new directions and new members of the groups is thus

        Var(a - c) / D + Var(b) / n + Var(d) / m + (Var(e) / n + Var(f) / m) / D.

    The interval takes the square root of

        SE_directions^2 + SE_examples^2
            = var_j(mean_i x - mean_k y) / D  +  var_i(mean_j x) / n + var_k(mean_j y) / m,

    whose expectation is that variance with the last term, of both rooms, counted twice: never too small. It is
    multiplied by t(min(D, n, m) - 1), the smallest degrees of freedom that the three estimates can have together
    (Welch and Satterthwaite). Losses are skewed, hence no interval below `groups.MIN_MEMBERS` members.

    The interval is about examples whose loss at the centre lies in the group, as it was measured; within a group the
    losses of both splits may still be distributed differently, which `train_centre` and `test_centre` show.

    Returns:
        None if a grid does not reach +-radius.

    Raises:
        InputError: the radius is not positive, a surface is two-dimensional, or the quantity is unknown.
    """
    first = direction_rises(train.surface, radius, quantity)
    second = direction_rises(test.surface, radius, quantity)
    if first is None or second is None:
        return None
    paired = not differing_directions(train.surface, test.surface)
    x, y = common_directions(first, second) if paired else (first.values, second.values)
    value, half, error_directions, error_examples = estimate_unpaired_examples(x, y, paired_directions=paired)
    num_directions = min(len(x), len(y))
    claimed = num_directions >= MIN_DIRECTIONS and not train.few and not test.few and math.isfinite(half)
    return GroupDifference(
        index=train.index,
        name=train.name,
        radius=radius,
        train=float(x.mean()) if x.size else math.nan,
        test=float(y.mean()) if y.size else math.nan,
        train_centre=train.surface.centre_mean(quantity),
        test_centre=test.surface.centre_mean(quantity),
        num_train=train.size,
        num_test=test.size,
        value=value,
        low=value - half if claimed else None,
        high=value + half if claimed else None,
        level=LEVEL,
        standard_error_directions=error_directions,
        standard_error_examples=error_examples,
        num_directions=num_directions,
        paired_directions=paired,
    )


def estimate_unpaired_examples(x: Floats, y: Floats, *, paired_directions: bool) -> tuple[float, float, float, float]:
    """Mean of x (D, n) minus mean of y (E, m), half its interval, and both errors; see `train_minus_test`."""
    value, _, error_directions, error_examples = estimate_difference(
        x, y, paired_directions=paired_directions, paired_examples=False
    )
    half = float(t_quantile(min(*x.shape, *y.shape))) * math.hypot(error_directions, error_examples)
    return value, half, error_directions, error_examples


def split_pair(splits: Sequence[GroupedSurface]) -> tuple[GroupedSurface, GroupedSurface] | None:
    """The training and the test examples of one checkpoint; None if one of them was not measured."""
    found = {grouped.split: grouped for grouped in splits}
    if not all(split in found for split in SPLITS):
        return None
    return found[SPLITS[0]], found[SPLITS[1]]


def group_differences(
    splits: Sequence[GroupedSurface], radius: float | None = None, quantity: str = "loss"
) -> list[GroupDifference]:
    """Train minus test of every group that has members in both splits of one checkpoint, at one radius.

    Args:
        splits: the grouped surfaces of one checkpoint; empty without both splits.
        radius: by default the one of `RADII` nearest to 0.5 that the grids give.
        quantity: one of `names.QUANTITIES`.

    Raises:
        InputError: as `train_minus_test`.
    """
    pair = split_pair(splits)
    if pair is None:
        return []
    both = [(group, other) for group in pair[0].groups if (other := pair[1].group(group.index)) is not None]
    radii = sorted(RADII, key=lambda one: abs(one - MAIN_RADIUS)) if radius is None else [radius]
    for one in radii:
        found = [train_minus_test(train, test, one, quantity) for train, test in both]
        if found and found[0] is not None:
            return [difference for difference in found if difference is not None]
    return []


def claim(splits: Sequence[GroupedSurface], quantity: str = "loss") -> str | None:
    """What train minus test shows for one checkpoint, in one sentence, whichever way; None without both splits."""
    pair = split_pair(splits)
    if pair is None:
        return None
    found = group_differences(splits, quantity=quantity)
    title = pair[0].title
    if not found:
        return f"{title}: nothing is claimed: no group has members on both splits, or no radius lies in the grid."
    claimed = [one for one in found if one.low is not None]
    few = [one.name for one in found if one.low is None]
    parts = []
    if more := [_with_interval(one, quantity, pair) for one in claimed if one.shown and one.value > 0]:
        parts.append(f"training examples rise more than test examples in {', '.join(more)}")
    if less := [_with_interval(one, quantity, pair) for one in claimed if one.shown and one.value < 0]:
        parts.append(f"training examples rise less than test examples in {', '.join(less)}")
    if same := [_with_interval(one, quantity, pair) for one in claimed if not one.shown]:
        parts.append(f"no difference is shown in {', '.join(same)}")
    if few:
        parts.append(f"nothing is claimed of {', '.join(few)}, with too few members or directions")
    shared = "the same" if all(one.paired_directions for one in found) else "other"
    return (
        f"{title} at r = {found[0].radius:g}, train minus test: {'; '.join(parts)} "
        f"({100 * LEVEL:g} % each, {counted(found[0].num_directions, 'direction')}, {shared} for both splits)."
    )


def _with_interval(found: GroupDifference, quantity: str, pair: tuple[GroupedSurface, GroupedSurface]) -> str:
    words = quantity_words(quantity, [grouped.surface for grouped in pair])
    if found.low is None or found.high is None:
        return found.name
    half = (found.high - found.low) / 2
    low, value, high = (number(one, words, half) for one in (found.low, found.value, found.high))
    unit = f" {words.unit_of_differences}" if words.unit == "%" else ""
    return f"{found.name}: {value} ({low} to {high}){unit}"
