"""Which loss a surface holds. Whichever it is, the attack ascends the cross-entropy, and correctness is the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import torch

from landscape.errors import InputError
from landscape.losses import cross_entropy, margin, mart, trades
from landscape.names import LOSSES

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class MeasuredLoss(Protocol):
    """A loss of every example, of its logits on the clean example and on the one that is judged."""

    def settings(self) -> str | dict[str, Any]:
        """What determines the loss, as plain JSON values; part of a surface's key."""
        ...

    def __call__(self, clean: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """Losses (B,) of logits (B, K) of the clean examples, logits (B, K) of those judged, and labels (B,)."""
        ...

    def at_centre(self, mean_norm: Callable[[], float]) -> Self:
        """The loss once the mean norm of the clean logits at the centre, which `mean_norm` measures, is known."""
        return self

    def provenance(self) -> dict[str, Any]:
        """What was measured for it and is not part of the key."""
        return {}


@dataclass(frozen=True)
class CrossEntropy(MeasuredLoss):
    """-log softmax(z)_y, in nats."""

    def settings(self) -> str:
        """Its name."""
        return "cross-entropy"

    def __call__(self, clean: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """`losses.cross_entropy` of `logits`."""
        return cross_entropy(logits, labels)


@dataclass(frozen=True)
class Margin(MeasuredLoss):
    """max_{k != y} z_k - z_y, in units of logits; positive where the model is wrong."""

    def settings(self) -> str:
        """Its name."""
        return "margin"

    def __call__(self, clean: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """`losses.margin` of `logits`."""
        return margin(logits, labels)


@dataclass(frozen=True, kw_only=True)
class NormalisedCrossEntropy(MeasuredLoss):
    """Cross-entropy of z / s, in nats, where s is the mean of ||z|| over the clean examples at the centre.

    One s serves every point, so that the curve of a model whose logits are all multiplied by a constant stays in place.

    Attributes:
        mean_norm: s, above 0; None before it is measured.
    """

    mean_norm: float | None = None

    def settings(self) -> str:
        """Its name; s follows from weights and examples."""
        return "ce-normalised"

    def __call__(self, clean: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """`losses.cross_entropy` of `logits` / s."""
        if self.mean_norm is None:
            raise InputError("the logits are not normalised before their norm at the centre is measured: at_centre.")
        return cross_entropy(_wide(logits) / self.mean_norm, labels)

    def at_centre(self, mean_norm: Callable[[], float]) -> Self:
        """With s.

        Raises:
            InputError: s is 0 or no number.
        """
        size = self.mean_norm or mean_norm()
        if not (math.isfinite(size) and size > 0):
            raise InputError(
                f"the mean norm of the logits at the centre is {size:g}, which divides nothing; take --loss ce."
            )
        return replace(self, mean_norm=size)

    def provenance(self) -> dict[str, Any]:
        """s."""
        return {"logit_norm": self.mean_norm}


@dataclass(frozen=True)
class Joint(MeasuredLoss):
    """(CE(f(x), y) + CE(f(x'), y)) / 2, in nats, the objective of parametric noise injection."""

    def settings(self) -> dict[str, Any]:
        """Its name."""
        return {"name": "joint"}

    def __call__(self, clean: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """Half of `losses.cross_entropy` of both."""
        return 0.5 * cross_entropy(clean, labels) + 0.5 * cross_entropy(logits, labels)


@dataclass(frozen=True, kw_only=True)
class Trades(MeasuredLoss):
    """CE(f(x), y) + beta KL(f(x) || f(x')), in nats; of a clean example the first term.

    Attributes:
        beta: weight of the divergence, at least 0.
    """

    beta: float

    def settings(self) -> dict[str, Any]:
        """Name and beta."""
        return {"name": "trades", "beta": self.beta}

    def __call__(self, clean: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """`losses.trades`."""
        return trades(_wide(clean), _wide(logits), labels, beta=self.beta)


@dataclass(frozen=True, kw_only=True)
class Mart(MeasuredLoss):
    """Boosted cross-entropy and weighted divergence of `losses.mart`, in nats.

    Attributes:
        weight: lambda, at least 0.
    """

    weight: float

    def settings(self) -> dict[str, Any]:
        """Name and lambda."""
        return {"name": "mart", "lambda": self.weight}

    def __call__(self, clean: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """`losses.mart`."""
        return mart(_wide(clean), _wide(logits), labels, weight=self.weight)


def find_loss(loss: str | MeasuredLoss, training: Mapping[str, Any] | None = None) -> MeasuredLoss:
    """The loss that a name of `names.LOSSES` stands for.

    `training` is the objective that the checkpoint was trained with, for each example: penalties of the weights, mixup
    and weights of examples are not part of it. For natural and AT it is the cross-entropy.

    Args:
        loss: the name, or a loss of the caller's own.
        training: what a checkpoint says about its training; None where there is no checkpoint.

    Raises:
        InputError: an unknown name, or `training` where the objective or its weight is not recorded.
    """
    if not isinstance(loss, str) and isinstance(loss, MeasuredLoss):
        return loss
    if loss == "training":
        return _trained_with(training or {})
    if loss not in _PLAIN:
        raise InputError(f"a loss is one of {', '.join(LOSSES)}, got {loss!r}.")
    return _PLAIN[loss]


def _trained_with(training: Mapping[str, Any]) -> MeasuredLoss:
    method, settings = training.get("method"), training.get("settings")
    settings = settings if isinstance(settings, Mapping) else {}
    if method == "at-pni":
        return Joint()
    objective = str(method).partition("-")[0]
    if objective == "rst":
        objective = str(settings.get("rst_base"))
    if objective in ("natural", "at"):
        return CrossEntropy()
    weight = settings.get({"trades": "beta_trades", "mart": "mart_lambda"}.get(objective, ""))
    if not isinstance(weight, int | float):
        raise InputError(
            "the loss training needs a checkpoint that records the method and settings of its training, got the method "
            f"{method!r}{' without its settings' if method else ''}; take --loss ce."
        )
    return Trades(beta=float(weight)) if objective == "trades" else Mart(weight=float(weight))


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


_PLAIN: Mapping[str, MeasuredLoss] = {
    "ce": CrossEntropy(),
    "margin": Margin(),
    "ce-normalised": NormalisedCrossEntropy(),
}
