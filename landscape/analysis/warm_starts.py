"""How far warm starts were off, in words: the largest bias of the sample that the full attack measured as well."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from landscape.analysis.directions import symbol_of

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

BIAS = "Bias of warm starts"
"""The topic of a caption."""

NOT_RECORDED = "not recorded"


def describe_warm_starts(surface: Surface) -> dict[str, str]:
    """The largest measured bias of a surface with warm starts in words, by topic; empty for others.

    Surface files do not hold it: `surfaces.warm_bias.with_bias` puts it there where it was measured.
    """
    attack = surface.spec.get("attack")
    if not isinstance(attack, Mapping) or "warm_steps" not in attack:
        return {}
    record, share = _record(surface), _share(surface)
    if record is None:
        return {BIAS: NOT_RECORDED}
    count = record["num_compared"]
    compared = f"{count} {'node' if count == 1 else 'nodes'} compared with the full attack"
    if share is None:
        return {BIAS: f"undefined at the {compared}"}
    where = f"{symbol_of([surface])} = {record['alpha']:g} along direction {record['direction']}"
    return {BIAS: f"{round(100 * share, 1) + 0.0:+.1f} % at {where}, the largest of {compared}"}  # + 0.0: no -0.0


def largest_bias(surfaces: Sequence[Surface], labels: Sequence[str]) -> str:
    """The largest bias of several surfaces, with the label of its own."""
    known = [(abs(share), place) for place, surface in enumerate(surfaces) if (share := _share(surface)) is not None]
    if not known:
        return NOT_RECORDED
    _, place = max(known)
    return f"{describe_warm_starts(surfaces[place])[BIAS]} [{labels[place]}; no larger elsewhere]"


def _record(surface: Surface) -> Mapping[str, Any] | None:
    """The latest record that makes sense."""
    numbers = {"num_compared": int, "direction": int, "alpha": float, "bias": float}
    for entry in reversed(surface.provenance):
        record = entry.get("warm_bias")
        if isinstance(record, Mapping) and all(isinstance(record.get(name), kind) for name, kind in numbers.items()):
            return record
    return None


def _share(surface: Surface) -> float | None:
    record = _record(surface)
    return None if record is None or not math.isfinite(record["bias"]) else float(record["bias"])
