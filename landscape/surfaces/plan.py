"""What a surface will be, decided and checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from operator import index
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from landscape.attacks.pgd import NoAttack
from landscape.checkpoints import Checkpoint
from landscape.datasets.examples import Examples
from landscape.devices import default_batch_size, find_device
from landscape.errors import InputError
from landscape.files import digest_json
from landscape.models.noisy import NoiseDraws, is_noisy
from landscape.numerics import NUMERICS
from landscape.protocols import Attack, DirectionRecipe, StateRecipe
from landscape.surfaces.batchnorm import BatchNormPolicy, find_policy
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.grid import require_countable
from landscape.surfaces.measured_losses import MeasuredLoss, find_loss
from landscape.surfaces.recipes.hessian import as_many_as_drawn
from landscape.surfaces.store import key_of
from landscape.surfaces.subjects import identify, own_examples, require_fit
from landscape.surfaces.surface import CENTRE, Grid, Point
from landscape.surfaces.sweep import Sweep, SweepSettings
from landscape.weights import digest_weights, parameters_of, state_of

if TYPE_CHECKING:
    from torch import Tensor


NUM_DIRECTIONS = 10

LARGEST_NODE = 1e30
"""Beyond it, single precision has no numbers for displaced weights."""


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
        label: what figures call the model; not part of the key.
        device: where it runs.
        sampling: the rule by which the number of examples was found, for the key; empty if it was given.
    """

    model: nn.Module
    identity: dict[str, Any]
    examples: Examples
    settings: SweepSettings
    num_directions: int
    label: str
    device: torch.device
    sampling: Mapping[str, Any] = field(default_factory=dict)

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
                **self.sampling,
            },
            "attack": {**self.settings.attack.settings(), "seed": self.settings.seed, **self._warm_starts()},
            "objective": self.settings.objective,
            "loss": self.settings.loss.settings(),
            "directions": self.settings.directions.settings(),
            "batchnorm": self.settings.batchnorm.settings(),
            "precision": self.settings.precision,
            "grid": self.settings.grid.to_spec(),
            "num_directions": self.num_directions,
            **({"noise": self.settings.noise.settings()} if is_noisy(self.model) else {}),
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

    @property
    def num_drawn(self) -> int:
        """How many directions of the recipe are drawn: one for each line, two for each plane."""
        return self.num_directions * len(self.settings.grid.shape)

    def ready(self) -> SurfacePlan:
        """The plan with its batch size chosen, its model tried on one example, and its loss ready to be measured.

        A cached surface needs none of it. A model that is random in eval mode is warned of, not refused.

        Raises:
            InputError: the model does not fit the examples, or its logits cannot be normalised.
        """
        require_fit(self.model, self.examples, label=self.label)
        asked = self.settings.batchnorm.batch_size(len(self.examples)) or self.settings.batch_size
        size = asked or default_batch_size(
            self.model, self.examples.inputs[:1], self.device, num_examples=len(self.examples)
        )
        return replace(self, settings=replace(self.settings, batch_size=size, loss=self.ready_loss()))

    def ready_loss(self) -> MeasuredLoss:
        """The loss with what has to be measured for it at the centre.

        Raises:
            InputError: the logits there cannot be normalised.
        """
        return self.settings.loss.at_centre(self._mean_logit_norm)

    def points(self, shard: Shard | None = None) -> list[Point]:
        """The centre and all nodes, line by line; of a shard, every N-th, the centre always.

        A refined grid asks for some of them, see `Surface.asked_points`.
        """
        nodes = [(line, *index) for line in range(self.num_directions) for index in self.settings.grid.indices()]
        if shard is not None:
            nodes = nodes[shard.number - 1 :: shard.count]
        return [CENTRE, *nodes]

    def _warm_starts(self) -> dict[str, Any]:
        """Settings of warm starts, whose numbers belong to the nodes of their line; none without."""
        if self.settings.warm_steps is None:
            return {}
        return {"warm_steps": self.settings.warm_steps, "warm_along": digest_json(self.settings.grid.to_spec())}

    def _mean_logit_norm(self) -> float:
        plain = replace(self.settings, objective="adversarial", compiled=False)  # nothing is made beforehand
        return Sweep(self.model, self.examples, plain, self.device).mean_logit_norm()


def plan_surface(
    model: nn.Module | Checkpoint,
    examples: Examples | tuple[Tensor, Tensor],
    *,
    attack: Attack | None,
    directions: int | DirectionRecipe = NUM_DIRECTIONS,
    num_directions: int | None = None,
    grid: Grid | str = "-1:1:21",
    objective: str = "adversarial",
    loss: str | MeasuredLoss = "ce",
    batchnorm: str | BatchNormPolicy = "frozen",
    precision: str = "fp32",
    compiled: bool = False,
    seed: int = 0,
    noise_draws: int = 1,
    batch_size: int | None = None,
    device: str = "auto",
    label: str | None = None,
    refine: float | None = None,
) -> SurfacePlan:
    """Decide everything about a surface; arguments as in `compute_surface`.

    Raises:
        InputError: an argument is out of range.
    """
    recipe = directions if isinstance(directions, DirectionRecipe) else RandomDirections(seed=seed)
    if num_directions is None:
        num_directions = NUM_DIRECTIONS if isinstance(directions, DirectionRecipe) else directions
    count = _whole("the number of directions", num_directions)
    policy = find_policy(batchnorm, seed=seed)
    if batch_size is not None:
        batch_size = _whole("the batch size", batch_size)
    if attack is not None and not isinstance(attack, Attack):
        raise InputError(f"an attack is a landscape.PGD, another Attack or None, got {attack!r}.")
    network, identity, name = identify(model)
    recipe.moving(parameters_of(network))
    chosen = examples.to(torch.device("cpu")) if isinstance(examples, Examples) else own_examples(examples)
    place = find_device(device)
    chosen_attack = NoAttack() if attack is None or objective == "clean" else attack
    policy.require(network, len(chosen), attacked=not isinstance(chosen_attack, NoAttack))
    together = getattr(chosen_attack, "batch_size", None)
    if together is not None:
        # An attack that draws its random numbers for whole batches has their size in its settings.
        if batch_size not in (None, together):
            raise InputError(
                f"this attack works in batches of {together}, got the batch size {batch_size}; leave it out."
            )
        batch_size = _whole("the batch size of an attack", together)
    if batch_size is not None and policy.batch_size(len(chosen)) not in (None, batch_size):
        raise InputError(
            f"the policy batch measures in the batches whose statistics it takes, got the batch size {batch_size}; "
            "leave it out, or give --batchnorm-batch-size."
        )
    nodes = _checked_grid(grid) if refine is None else _checked_grid(grid).refined(refine)
    require_countable(math.prod(nodes.shape), count)
    settings = SweepSettings(
        attack=chosen_attack,
        objective=objective,
        directions=as_many_as_drawn(recipe, count * len(nodes.shape)),
        grid=nodes,
        seed=seed,
        batch_size=batch_size,
        precision=precision,
        compiled=compiled,
        loss=find_loss(loss, model.training if isinstance(model, Checkpoint) else None),
        batchnorm=policy,
        noise=NoiseDraws(seed=seed, count=_whole("the number of noise draws", noise_draws)),
    )
    _require_states(network, settings, count)
    return SurfacePlan(
        model=network,
        identity=identity,
        examples=chosen,
        settings=settings,
        num_directions=count,
        label=label or name,
        device=place,
    )


def _require_states(model: nn.Module, settings: SweepSettings, num_directions: int) -> None:
    recipe, last = settings.directions, [size - 1 for size in settings.grid.shape]
    if isinstance(recipe, StateRecipe):
        ends = [(line, *end) for line in range(num_directions) for end in product(*((0, size) for size in last))]
        state = {name: tensor.cpu() for name, tensor in state_of(model).items()}
        recipe.require_states(state, [settings.moves(point) for point in ends])


def _whole(what: str, value: Any) -> int:
    try:
        number = index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise InputError(f"{what} is a whole number of at least 1, got {value!r}.")
    return number


def _checked_grid(grid: Grid | str) -> Grid:
    nodes = Grid.parse(grid) if isinstance(grid, str) else grid
    if not isinstance(nodes, Grid):
        raise InputError(f"a grid is a landscape.Grid or FROM:TO:NUM such as -1:1:21, got {grid!r}.")
    if max(map(abs, (*nodes.alpha, *(nodes.beta or ())))) > LARGEST_NODE:
        raise InputError(f"the nodes of a grid are at most {LARGEST_NODE:g} in size, got {nodes.alpha[-1]:g}.")
    return nodes
