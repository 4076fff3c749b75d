"""Which settings belong to which method; each refusal says its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from landscape.errors import InputError
from landscape.training.selection import parse_loss_range

if TYPE_CHECKING:
    from landscape.training.config import TrainConfig

_JOINT_LOSS = (
    "parametric noise has a joint loss of its own, half on clean and half on adversarial examples, which takes the "
    "place of the objective's; use at-pni"
)

_TWO_AT_ONCE = (
    "a weight perturbation is sized by the weights that are stored, and parametric noise shows the loss others in "
    "every pass; use at-awp or at-pni"
)

SENSELESS: Mapping[str, str] = {
    **{f"{objective}-pni": _JOINT_LOSS for objective in ("natural", "trades", "mart", "rst")},
    **{f"at-{pair}": _TWO_AT_ONCE for one in ("awp", "rwp", "random") for pair in (f"{one}-pni", f"pni-{one}")},
    "natural-rwp": "the threshold c_min is a loss on adversarial examples, which natural training does not make; "
    "use natural-awp or at-rwp",
}
"""Pairs of an objective and a perturbation that make no sense, and why."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where settings belong.

    Attributes:
        settings: their names.
        holds: whether they belong to a run.
        words: what they belong to.
    """

    settings: tuple[str, ...]
    holds: Callable[[TrainConfig], bool]
    words: str


PLACES = (
    _Place(
        settings=("beta_trades",),
        holds=lambda config: config.objective == "trades" or (config.objective, config.rst_base) == ("rst", "trades"),
        words="trades and rst with the base trades",
    ),
    _Place(
        settings=("mart_lambda",),
        holds=lambda config: config.objective == "mart" or (config.objective, config.rst_base) == ("rst", "mart"),
        words="mart and rst with the base mart",
    ),
    _Place(
        settings=("rst_base", "labelled", "unlabelled", "unlabelled_weight"),
        holds=lambda config: config.objective == "rst",
        words="rst",
    ),
    _Place(
        settings=("awp_size",),
        holds=lambda config: config.perturbation in ("awp", "rwp", "random"),
        words="methods with a weight perturbation",
    ),
    _Place(
        settings=("awp_steps", "awp_alternations", "awp_norm", "lsc_range"),
        holds=lambda config: config.perturbation == "awp",
        words="methods with -awp",
    ),
    _Place(
        settings=("c_min", "rwp_steps", "rwp_accumulation", "rwp_mask", "rwp_mask_loss"),
        holds=lambda config: config.perturbation == "rwp",
        words="methods with -rwp",
    ),
    _Place(
        settings=("noise_alpha", "noise_draws"),
        holds=lambda config: config.injects_noise,
        words="methods with -pni",
    ),
    _Place(
        settings=("attack_mode", "drop_below"),
        holds=lambda config: config.objective != "natural",
        words="methods that make adversarial examples",
    ),
)


def require_sensible(method: str) -> None:
    """Refuse a pair that could be put together and means nothing.

    Raises:
        InputError: with the reason.
    """
    if method in SENSELESS:
        raise InputError(f"the method {method} makes no sense: {SENSELESS[method]}.")


def settings_belong(config: TrainConfig) -> str | None:
    """Which setting does not belong to the method; a setting at its default is as good as not given."""
    defaults = {field.name: field.default for field in fields(config)}
    for place in PLACES:
        given = [name for name in place.settings if getattr(config, name) != defaults[name]]
        if given and not place.holds(config):
            return f"{given[0]} belongs to {place.words}, not to {config.method}; leave it out or change the method."
    return None


def rst_has_a_source(config: TrainConfig) -> str | None:
    """RST needs examples without labels."""
    if config.objective != "rst" or config.labelled is not None or config.unlabelled is not None:
        return None
    return (
        "rst needs examples without labels; hide labels of the data set by --labelled N, which keeps N of them, "
        "or name a file by --unlabelled FILE.npz."
    )


def rst_has_two_halves(config: TrainConfig) -> str | None:
    """Half of each batch of RST has labels, the other half has none."""
    if config.objective != "rst" or config.batch_size >= 2:
        return None
    return f"half of each batch of rst has no labels, so batch_size is at least 2, got {config.batch_size}."


def loss_range_reads(config: TrainConfig) -> str | None:
    """The range of losses must be one."""
    if config.lsc_range is not None:
        parse_loss_range(config.lsc_range)
    return None


METHOD_RULES: list[Callable[[TrainConfig], str | None]] = [
    settings_belong,
    loss_range_reads,
    rst_has_a_source,
    rst_has_two_halves,
]
"""Asked in this order."""
