"""The robust generalization gap beside flatness: whether it is wanted, and its measurement on both splits."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from landscape.cli.options import NUM_EXAMPLES
from landscape.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from landscape.cli.measuring import Measuring
    from landscape.cli.sources import Source
    from landscape.surfaces.plan import SurfacePlan

SPLITS = ("train", "test")

FEWEST = 3
"""As in `analysis.association`, which imports numpy."""


def wants_gap(asked: bool | None, plans: Sequence[SurfacePlan], wanted: Measuring) -> bool:
    """Whether flatness is put beside the gap: as the user says, else wherever that makes sense.

    Args:
        asked: `--correlate` or `--no-correlate`; None where neither was said.
        plans: of all checkpoints.
        wanted: the options of the call.

    Raises:
        InputError: it was asked for, and makes no sense.
    """
    reason = _why_not(plans, wanted) if asked is not False else None
    if asked and reason is not None:
        raise InputError(f"--correlate {reason}.")
    return asked is not False and reason is None


def gap_plans(
    plans: Sequence[SurfacePlan], wanted: Measuring, examples: int | str | None
) -> list[tuple[SurfacePlan, SurfacePlan]]:
    """For each plan an evaluation of its model on train and on test examples, under its attack.

    Args:
        plans: of all checkpoints.
        wanted: the options of the call.
        examples: how many of each split; None for as many as flatness is measured on.

    Raises:
        DataError, InputError: the examples are not there.
    """
    from landscape.datasets.registry import load_examples, split_size
    from landscape.surfaces.evaluation import at_the_centre

    number = wanted.examples if examples is None else examples
    load = functools.cache(load_examples)

    def evaluation(plan: SurfacePlan, split: str) -> SurfacePlan:
        name = wanted.dataset or plan.examples.dataset
        usual = min(NUM_EXAMPLES, split_size(name, split=split, data_dir=wanted.data_dir))
        count = None if number == "all" else usual if number is None else int(number)
        chosen = load(name, split=split, num_examples=count, seed=wanted.seed, data_dir=wanted.data_dir)
        return at_the_centre(replace(plan, examples=chosen))

    return [(evaluation(plan, "train"), evaluation(plan, "test")) for plan in plans]


def run_of(source: Source) -> Path | None:
    """The run folder that a checkpoint lies in; None for one that lies elsewhere."""
    if source.run is not None:
        return source.run.absolute()
    folder = source.path.absolute().parent
    return folder if (folder / "config.json").is_file() else None


def _why_not(plans: Sequence[SurfacePlan], wanted: Measuring) -> str | None:
    """Why there is no association to speak of, as the end of a sentence; None if there is one."""
    from landscape.datasets.registry import has_separate_splits

    if len(plans) < FEWEST:
        return f"needs at least {FEWEST} checkpoints, got {len(plans)}; name more, or epochs of runs with --epochs"
    if wanted.split != "train":
        return f"measures flatness on train examples, got --split {wanted.split}; leave it out"
    if wanted.attack == "none" or wanted.objective == "clean":
        return "is about the robust gap, which needs an attack; leave out --attack none and --objective clean"
    name = wanted.dataset or plans[0].examples.dataset
    if not has_separate_splits(name, data_dir=wanted.data_dir):
        return f"needs a train and a test split, and {name} is one set of examples; leave it out"
    return None
