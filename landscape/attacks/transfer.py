"""Black-box examples: made on another model, the surrogate, and shown to this one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landscape.attacks.budget import threat_of

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.attacks.threat import ThreatModel
    from landscape.protocols import Attack, Forward


@dataclass(frozen=True, kw_only=True, eq=False)
class Surrogate:
    """A model that examples are made on.

    Attributes:
        forward: inputs (B, C, H, W) in [0, 1] -> logits (B, K), on the device of the inputs.
        digest: of its weights, which names it in keys.
        name: what tables call it.
    """

    forward: Forward
    digest: str
    name: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Transfer:
    """An attack that is made on a surrogate, whatever the model.

    Attributes:
        attack: what is done to the surrogate.
        surrogate: the model that it is done to.
    """

    attack: Attack
    surrogate: Surrogate

    @property
    def threat(self) -> ThreatModel | None:
        """The ball of the attack."""
        return threat_of(self.attack)

    @property
    def batch_size(self) -> int | None:
        """The examples that the attack works on together, where its random numbers belong to batches; else None."""
        size: int | None = getattr(self.attack, "batch_size", None)
        return size

    def settings(self) -> dict[str, Any]:
        """The surrogate by its digest, and what is done to it; the ball once more, where readers look for it."""
        made = dict(self.attack.settings())
        ball = {} if self.threat is None else self.threat.settings()
        restarts = {"num_restarts": made.get("num_restarts", 1)}
        return {"name": "transfer", **ball, **restarts, "surrogate": self.surrogate.digest, "attack": made}

    def starts(self, ids: Tensor, shape: tuple[int, ...], *, seed: int) -> Tensor | None:
        """Those of the attack."""
        return self.attack.starts(ids, shape, seed=seed)

    def restarts(self, forward: Forward, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> Iterator[Tensor]:
        """Yield what the attack makes on the surrogate."""
        return self.attack.restarts(self.surrogate.forward, inputs, labels, starts)
