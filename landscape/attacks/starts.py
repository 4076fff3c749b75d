"""Random starts of attacks: each belongs to an example, not to a batch (see `landscape.randomness`)."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from landscape import philox
from landscape.devices import sent
from landscape.randomness import Stream, gaussian, raw_words, uniform

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.attacks.threat import ThreatModel

CPU = torch.device("cpu")


def random_starts(
    threat: ThreatModel,
    ids: Tensor,
    shape: tuple[int, ...],
    *,
    seed: int,
    num_restarts: int = 1,
    epoch: int = 0,
    device: torch.device = CPU,
) -> Tensor:
    """Starting perturbations in the ball, a function of (seed, example id, restart, epoch) alone.

    L-inf: uniform in [-epsilon, epsilon] for each pixel. L2: a Gaussian direction with length epsilon * U(0, 1), as in
    the reference implementation (so not uniform in the ball).

    Args:
        threat: the ball.
        ids: (n,) int64 ids of the examples in their split, on the CPU.
        shape: (C, H, W) of one input.
        seed: the seed of the attack.
        num_restarts: R, at least 1.
        epoch: 0 for measuring; training uses 1 + its epoch, so that each epoch starts anew.
        device: where the starts are wanted; the same numbers on all.

    Returns:
        (R, n, C, H, W) float32 on the device; not yet clipped to the pixel box.
    """
    size = math.prod(shape)
    if device.type != "cpu" and threat.norm == "linf":
        place, stream = sent(ids, device), Stream.ATTACK_START
        numbers = [philox.uniform(place, size, seed=seed, stream=stream, b=b, c=epoch) for b in range(num_restarts)]
        made = [(threat.epsilon * (2.0 * numbers_of - 1.0)).float() for numbers_of in numbers]
        return torch.stack(made).view(num_restarts, len(ids), *shape)
    starts = np.empty((num_restarts, len(ids), size), dtype=np.float32)
    for restart in range(num_restarts):
        for row, example in enumerate(ids.tolist()):
            name: dict[str, Any] = {"seed": seed, "stream": Stream.ATTACK_START, "a": example, "b": restart, "c": epoch}
            if threat.norm == "linf":
                starts[restart, row] = threat.epsilon * (2.0 * uniform(size, **name) - 1.0)
            else:
                starts[restart, row] = _in_l2_ball(size, threat.epsilon, name)
    return sent(torch.from_numpy(starts).view(num_restarts, len(ids), *shape), device)


def words_of(start: Tensor, count: int, *, turn: int = 0) -> npt.NDArray[np.uint64]:
    """`count` random 64-bit words that belong to a start, for attacks that draw numbers on their way.

    An attack is given starts and no ids. Equal starts have equal words, so these too are a function of seed, example
    and restart alone.

    Args:
        start: (C, H, W) on the CPU, one example's.
        count: how many words.
        turn: other words each turn.
    """
    name = hashlib.sha256(start.contiguous().numpy().tobytes()).digest()
    return raw_words(count, seed=int.from_bytes(name[:8], "little"), stream=Stream.ATTACK_NOISE, a=turn)


def _in_l2_ball(size: int, epsilon: float, name: dict[str, Any]) -> npt.NDArray[np.float64]:
    direction = gaussian(size, **name)
    # The word after the Gaussians of the same generator gives the length.
    length = uniform(size + size % 2 + 1, **name)[-1]
    scaled: npt.NDArray[np.float64] = epsilon * length * direction / np.linalg.norm(direction)
    return scaled
