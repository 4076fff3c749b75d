"""What attacks need beside their names; a surrogate is loaded when an attack asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from landscape.attacks.suite import Surroundings
    from landscape.attacks.threat import ThreatModel
    from landscape.attacks.transfer import Surrogate
    from landscape.checkpoints import Checkpoint
    from landscape.cli.evaluating import Evaluating
    from landscape.datasets.examples import Examples
    from landscape.datasets.registry import DatasetInfo

    LoadSurrogate = Callable[[str], tuple[Surrogate, Checkpoint]]


def surroundings_of(
    checkpoint: Checkpoint,
    info: DatasetInfo,
    examples: Examples,
    wanted: Evaluating,
    *,
    epsilon: float | None,
    load: LoadSurrogate,
) -> Surroundings:
    """What attacks on a checkpoint may need beside their names: its ball, other examples, other models, its noise.

    Args:
        checkpoint: the model.
        info: of its data set.
        examples: what is evaluated, and what the feature attack goes towards.
        wanted: the options of the call.
        epsilon: size of the ball; None for the checkpoint's.
        load: `load_surrogate` of a name, once for all checkpoints of a call.

    Raises:
        InputError: its threat model is not known.
    """
    from landscape.attacks.suite import Surroundings
    from landscape.cli.sources import threat_for
    from landscape.models.noisy import NoiseDraws, is_noisy

    threat: ThreatModel | None = None
    step: float | None = None
    if wanted.attacks != ("none",):
        threat, step = threat_for(checkpoint, info, norm=wanted.norm, epsilon=epsilon, step_size=wanted.step_size)
    return Surroundings(
        threat=threat,
        step_size=step,
        num_restarts=wanted.restarts,
        batch_size=wanted.batch_size,
        targets=lambda: (examples.inputs, examples.labels),
        surrogate=lambda name: _fitting(name, examples, load),
        draws=(lambda count: NoiseDraws(seed=wanted.seed, count=count)) if is_noisy(checkpoint.model) else None,
    )


def load_surrogate(named: str, wanted: Evaluating) -> tuple[Surrogate, Checkpoint]:
    """The model that transfer examples are made on, by its name, on the device.

    Raises:
        CheckpointError, InputError: there is no such checkpoint, or it does not say enough.
    """
    from landscape.attacks.transfer import Surrogate
    from landscape.cli.sources import find_sources
    from landscape.devices import find_device
    from landscape.files import digest_json
    from landscape.surfaces.subjects import identify
    from landscape.weights import ResidentModel, digest_weights

    checkpoint, _ = wanted.load(find_sources((named,), None)[0])
    digest = digest_json({"model": identify(checkpoint)[1], "weights": digest_weights(checkpoint.model)})
    forward = ResidentModel(checkpoint.model, device=find_device(wanted.device))
    return Surrogate(forward=forward, digest=digest, name=checkpoint.name), checkpoint


def _fitting(named: str, examples: Examples, load: LoadSurrogate) -> Surrogate:
    from landscape.surfaces.subjects import require_fit

    surrogate, checkpoint = load(named)
    require_fit(checkpoint.model, examples, label=checkpoint.name)
    return surrogate
