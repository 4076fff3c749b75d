"""What a surface will be, decided and checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from landscape.attacks.pgd import NoAttack
from landscape.checkpoints import Checkpoint
from landscape.datasets.examples import Examples
from landscape.devices import default_batch_size, find_device
from landscape.errors import InputError
from landscape.files import digest_json
from landscape.names import BATCHNORM_POLICIES
from landscape.numerics import NUMERICS
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.store import key_of
from landscape.surfaces.surface import CENTRE, Grid, Point
from landscape.surfaces.sweep import SweepSettings
from landscape.weights import bind, digest_weights

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.protocols import Attack


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Part I of N of a sweep's points, for job arrays; I from 1 to N.

    Raises:
        InputError: I is not in 1 ... N.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(f"a shard is I/N with I from 1 to N, got {self.number}/{self.count}.")

    @property
    def writer(self) -> str:
        """The name of its journal."""
        return f"shard-{self.number}-of-{self.count}"


@dataclass(frozen=True, kw_only=True)
class SurfacePlan:
    """Everything decided about a surface before anything is computed.

    Attributes:
        model: the model; takes inputs in [0, 1].
        identity: name, arguments and normalization of the model, for the key.
        examples: what is measured.
        settings: how it is measured.
        num_directions: D; planes when the grid has beta.
        batchnorm: policy for BatchNorm's running statistics; `frozen` keeps the checkpoint's.
        label: what figures call the model; not part of the key.
        device: where it runs.
    """

    model: nn.Module
    identity: dict[str, Any]
    examples: Examples
    settings: SweepSettings
    num_directions: int
    batchnorm: str
    label: str
    device: torch.device

    @cached_property
    def spec(self) -> dict[str, Any]:
        """What determines the numbers, as plain JSON values; its digest is the surface's key."""
        # The draws of a direction follow the order of the parameters, which the digest of the weights does not see.
        order = [name for name, _ in self.model.named_parameters()]
        shapes = [list(parameter.shape) for parameter in self.model.parameters()]
        return {
            "numerics": NUMERICS,
            "model": self.identity,
            "weights": digest_weights(self.model),
            "parameter_order": digest_json(order),
            "parameter_shapes": digest_json(shapes),
            "data": {
                "dataset": self.examples.dataset,
                "split": self.examples.split,
                "num_examples": len(self.examples),
                "digest": self.examples.digest(),
                "ids": digest_json(self.examples.ids.tolist()),
            },
            "attack": {**self.settings.attack.settings(), "seed": self.settings.seed},
            "objective": self.settings.objective,
            "loss": "cross-entropy",
            "directions": self.settings.directions.settings(),
            "batchnorm": self.batchnorm,
            "precision": self.settings.precision,
            "grid": self.settings.grid.to_spec(),
            "num_directions": self.num_directions,
        }

    @property
    def batch_size(self) -> int:
        """Examples in one batch, of a plan that is ready."""
        if self.settings.batch_size is None:
            raise InputError("the batch size of a plan is chosen by SurfacePlan.ready.")
        return self.settings.batch_size

    @property
    def key(self) -> str:
        """The surface's name in the cache."""
        return key_of(self.spec)

    def ready(self) -> SurfacePlan:
        """The plan with its batch size chosen and its model tried on one example; what a cached surface does not need.

        Raises:
            InputError: the model does not fit the examples.
        """
        _check_fit(self.model, self.examples)
        size = self.settings.batch_size or default_batch_size(self.model, self.examples.inputs[:1], self.device)
        return replace(self, settings=replace(self.settings, batch_size=size))

    def points(self, shard: Shard | None = None) -> list[Point]:
        """The centre and all nodes, line by line; of a shard, every N-th, the centre always."""
        nodes = [(line, *index) for line in range(self.num_directions) for index in self.settings.grid.indices()]
        if shard is not None:
            nodes = nodes[shard.number - 1 :: shard.count]
        return [CENTRE, *nodes]


def plan_surface(
    model: nn.Module | Checkpoint,
    examples: Examples | tuple[Tensor, Tensor],
    *,
    attack: Attack | None,
    directions: int | RandomDirections = 10,
    num_directions: int | None = None,
    grid: Grid | str = "-1:1:21",
    objective: str = "adversarial",
    batchnorm: str = "frozen",
    precision: str = "fp32",
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "auto",
    label: str | None = None,
) -> SurfacePlan:
    """Decide everything about a surface; arguments as in `compute_surface`.

    Raises:
        InputError: an argument is out of range.
    """
    recipe = directions if isinstance(directions, RandomDirections) else RandomDirections(seed=seed)
    count = num_directions if num_directions is not None else (directions if isinstance(directions, int) else 10)
    if count < 1:
        raise InputError(f"a surface needs at least 1 direction, got {count}.")
    if batchnorm not in BATCHNORM_POLICIES:
        raise InputError(f"a BatchNorm policy is one of {', '.join(BATCHNORM_POLICIES)}, got {batchnorm!r}.")
    if batch_size is not None and batch_size < 1:
        raise InputError(f"a batch has at least 1 example, got {batch_size}.")
    network, identity, name = _identify(model)
    chosen = examples if isinstance(examples, Examples) else _own_examples(*examples)
    place = find_device(device)
    settings = SweepSettings(
        attack=NoAttack() if attack is None or objective == "clean" else attack,
        objective=objective,
        directions=recipe,
        grid=Grid.parse(grid) if isinstance(grid, str) else grid,
        seed=seed,
        batch_size=batch_size,
        precision=precision,
    )
    return SurfacePlan(
        model=network,
        identity=identity,
        examples=chosen,
        settings=settings,
        num_directions=count,
        batchnorm=batchnorm,
        label=label or name,
        device=place,
    )


def _identify(model: nn.Module | Checkpoint) -> tuple[nn.Module, dict[str, Any], str]:
    if isinstance(model, Checkpoint):
        normalization = None if model.normalization is None else [list(part) for part in model.normalization]
        identity = {
            "name": model.model_name,
            "arguments": dict(model.model_arguments),
            "normalization": normalization,
            "own_code": ":" in model.model_name,
        }
        return model.model, identity, model.name
    if not isinstance(model, nn.Module):
        raise InputError(f"a model is a torch.nn.Module or a Checkpoint, got {type(model).__name__}.")
    name = f"{type(model).__module__}.{type(model).__qualname__}"
    return model, {"name": name, "arguments": {}, "normalization": None, "own_code": True}, type(model).__name__


def _own_examples(inputs: Tensor, labels: Tensor) -> Examples:
    count = len(inputs)
    classes = int(labels.max()) + 1 if len(labels) else 0
    return Examples(
        inputs=inputs.detach().float().cpu(),
        labels=labels.detach().long().cpu(),
        ids=torch.arange(count),
        dataset="own",
        split="own",
        num_classes=max(classes, 2),
    )


def _check_fit(model: nn.Module, examples: Examples) -> None:
    """One example through the model, before anything is spent."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    try:
        with torch.no_grad():
            logits = bind(model, {})(examples.inputs[:1].to(device))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        shape = "x".join(map(str, examples.image_shape))
        raise InputError(f"the model does not take inputs of {shape} ({examples.dataset}): {reason}.") from error
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != 1:
        raise InputError("a model gives logits (batch, classes) for inputs (batch, channels, height, width).")
    if logits.shape[1] <= int(examples.labels.max()):
        raise InputError(
            f"the model has {logits.shape[1]} classes, but the labels go up to {int(examples.labels.max())}."
        )
