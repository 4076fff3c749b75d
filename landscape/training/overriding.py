"""Options over the settings of a file or a preset: they win, and what they make senseless is left open again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from landscape.training.config import TrainConfig
from landscape.training.method_rules import PLACES

TAKES_WITH_IT: Mapping[str, tuple[str, ...]] = {
    "norm": ("step_size",),
    "epsilon": ("step_size",),
    "schedule": ("lr_drop_epoch", "lr_one_drop"),
    "l2": ("weight_decay",),
    "weight_decay": ("l2",),
}
"""Settings that belong to the old value of another: a step size to its radius, a drop to its schedule."""


def overridden(base: Mapping[str, Any], options: Mapping[str, Any]) -> TrainConfig:
    """The settings `base` with `options` over them.

    Args:
        base: settings by name, of a file or a preset.
        options: settings by name.

    Raises:
        InputError: a name is unknown, or a value is not allowed.
    """
    changed = [name for name, value in options.items() if base and base.get(name) != value]
    left_open = {other for name in changed for other in TAKES_WITH_IT.get(name, ())}
    if "method" in changed:
        left_open |= _of_other_methods(options["method"], rst_base=options.get("rst_base", base.get("rst_base")))
    kept = {name: value for name, value in base.items() if name not in left_open}
    return TrainConfig.from_dict({**kept, **options})


def _of_other_methods(method: str, *, rst_base: str | None) -> set[str]:
    """Settings that do not belong to a method."""
    # RST alone is no training: it needs a source of examples without labels.
    chosen = {"labelled": 1, "rst_base": rst_base or "trades"} if method.startswith("rst") else {}
    config = TrainConfig.from_dict({"method": method, **chosen})
    others = {name for place in PLACES if not place.holds(config) for name in place.settings}
    return others if config.perturbs else others | {"gamma", "awp_warmup"}
