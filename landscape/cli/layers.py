"""What `--layers` adds to the output of a command: which parameters move, and each one's share of the displacement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landscape.surfaces.layer_shares import LayerShare
    from landscape.surfaces.plan import SurfacePlan

MOST_COLUMNS = 4
"""Models whose shares stand side by side; of more, as in a series, the smallest and the largest share are shown."""

SHARES = "share: ||d_l||^2 / ||d||^2 of direction 0, the part of each parameter in the squared displacement."


def layers_as_json(plans: Sequence[SurfacePlan]) -> list[dict[str, Any]]:
    """The parameters of every model as plain JSON values."""
    return [{"label": label, "parameters": [asdict(one) for one in shares]} for label, shares in _by_model(plans)]


def layers_as_text(plans: Sequence[SurfacePlan]) -> str:
    """One table for all models of one shape, with a column of shares for each."""
    families: dict[tuple[tuple[Any, ...], ...], list[tuple[str, list[LayerShare]]]] = {}
    for label, shares in _by_model(plans):
        families.setdefault(tuple((one.name, one.shape, one.moves) for one in shares), []).append((label, shares))
    return "\n\n".join(_table(models) for models in families.values()) + f"\n{SHARES}"


def _table(models: Sequence[tuple[str, list[LayerShare]]]) -> str:
    from landscape.analysis.tables import aligned

    columns = [[one.share for one in shares] for _, shares in models]
    names = [f"share {label}" for label, _ in models]
    if len(models) > MOST_COLUMNS:
        columns = [[min(shares) for shares in zip(*columns, strict=True)], [max(s) for s in zip(*columns, strict=True)]]
        names = [f"smallest share of {len(models)}", "largest"]
    rows = [
        [
            one.name,
            "x".join(map(str, one.shape)) or "scalar",
            str(one.num_filters or "-"),
            "yes" if one.moves else "no",
            *(f"{100 * column[index]:.2f} %" if one.moves else "-" for column in columns),
        ]
        for index, one in enumerate(models[0][1])
    ]
    return aligned(["parameter", "shape", "filters", "moves", *names], rows, left=1)


def _by_model(plans: Sequence[SurfacePlan]) -> list[tuple[str, list[LayerShare]]]:
    """Label and shares of every model once, though plans of several splits and epsilons may have it."""
    from landscape.surfaces.layer_shares import layer_shares

    models = {(plan.label, plan.spec["weights"]): plan for plan in plans}
    return [(plan.label, layer_shares(plan.model, plan.settings.directions)) for plan in models.values()]
