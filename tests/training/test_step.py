from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.attacks.threat import ThreatModel
from landscape.models.noisy import inject_noise
from landscape.randomness import Stream, gaussian
from landscape.training.config import TrainConfig, effective
from landscape.training.objectives import Batch
from landscape.training.recipes import recipe_of
from landscape.training.regularizers import Penalty
from landscape.training.step import Recipe, Updated, make_optimizer, update
from tests.oracles import (
    LiteralMethods,
    LiteralNoise,
    literal_awp,
    literal_none,
    literal_random,
    literal_rwp,
)

LR, DECAY, GAMMA, C_MIN, SEED = 0.1, 0.5, 0.3, 2.0, 3
ATTACKS: Mapping[str, dict[str, Any]] = {
    "linf": {"norm": "linf", "epsilon": 0.15, "step_size": 0.04, "num_steps": 10},
    "l2": {"norm": "l2", "epsilon": 0.6, "step_size": 0.1, "num_steps": 10},
}
SHAPE = (2, 5, 5)
STEPS = 3


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    # Threads cost more than they bring on nets of this size, above all beside other work.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_model(seed: int = 0) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, bias=False),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(36, 3),
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model.train()


def make_batch(step: int, epsilon: float, *, gaussian_starts: bool = False, alternations: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(100 + step)
    shape = (alternations, 6, *SHAPE)
    if gaussian_starts:
        starts = 0.001 * torch.randn(shape, generator=generator, dtype=torch.float64)
    else:
        starts = epsilon * (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1)
    inputs = torch.rand(6, *SHAPE, generator=generator, dtype=torch.float64)
    return Batch(inputs=inputs, labels=torch.randint(3, (6,), generator=generator), starts=starts)


def make_recipe(method: str, *, norm: str = "linf", decay: float = DECAY, **given: Any) -> Recipe:
    attack = ATTACKS[norm]
    threat = ThreatModel(norm=attack["norm"], epsilon=attack["epsilon"])
    chosen: dict[str, Any] = {"labelled": 3} if method.startswith("rst") else {}
    if method.endswith(("-awp", "-rwp", "-random")):
        chosen |= {"gamma": GAMMA, "awp_warmup": 0}
    if method.endswith("-rwp"):
        chosen |= {"c_min": C_MIN}
    config = TrainConfig(
        method=method,
        norm=norm,
        epsilon=threat.epsilon,
        step_size=attack["step_size"],
        attack_steps=attack["num_steps"],
        weight_decay=decay,
        seed=SEED,
        **{**chosen, **given},
    )
    return recipe_of(effective(config))


def weight_noise(step: int) -> list[Tensor]:
    shapes = [p.shape for p in make_model().parameters() if p.ndim > 1]
    name: dict[str, Any] = {"seed": SEED, "stream": Stream.WEIGHT_NOISE, "a": step, "c": 0}
    return [torch.from_numpy(gaussian(s.numel(), b=b, **name)).view(s) for b, s in enumerate(shapes)]


AWP = literal_awp(gamma=GAMMA)
RWP = literal_rwp(gamma=GAMMA, c_min=C_MIN, steps=10)
RWP_3 = literal_rwp(gamma=GAMMA, c_min=C_MIN, steps=3)
THREE = {"rwp_steps": 3}

CASES = [
    # method, settings, norm of the attack, literal objective, literal perturbation, BatchNorm updates in a step
    pytest.param("natural", {}, "linf", "natural", literal_none, 1, id="natural"),
    pytest.param("natural-awp", {}, "linf", "natural", AWP, 1, id="natural-awp"),
    pytest.param("at", {}, "linf", "at", literal_none, 13, id="at"),
    pytest.param("at", {}, "l2", "at", literal_none, 13, id="at-l2"),
    pytest.param("at-awp", {}, "linf", "at", AWP, 13, id="at-awp"),
    pytest.param("at-awp", {}, "l2", "at", AWP, 13, id="at-awp-l2"),
    pytest.param("at-awp", {"awp_size": "l1"}, "linf", "at", literal_awp(gamma=GAMMA, size="l1"), 13, id="at-awp-l1"),
    pytest.param(
        "at-awp", {"awp_norm": "global"}, "linf", "at", literal_awp(gamma=GAMMA, norm="global"), 13, id="at-awp-global"
    ),
    pytest.param(
        "at-awp",
        {"awp_norm": "global", "awp_size": "l1", "awp_steps": 2},
        "linf",
        "at",
        literal_awp(gamma=GAMMA, norm="global", size="l1", steps=2),
        13,
        id="at-awp-global-l1-2-steps",
    ),
    pytest.param("at-awp", {"awp_steps": 3}, "linf", "at", literal_awp(gamma=GAMMA, steps=3), 13, id="at-awp-3-steps"),
    pytest.param(
        "at-awp",
        {"awp_steps": 2, "awp_alternations": 2},
        "linf",
        "at",
        literal_awp(gamma=GAMMA, steps=2, alternations=2),
        24,
        id="at-awp-2-steps-2-alternations",
    ),
    pytest.param(
        "at-awp",
        {"lsc_range": "1:2.5"},
        "linf",
        "at",
        literal_awp(gamma=GAMMA, selected=lambda training, ordinary: 1 <= ordinary < 2.5),
        13,
        id="at-awp-lsc-range",
    ),
    pytest.param(
        "trades-awp",
        {"lsc_range": "1:2.5"},
        "linf",
        "trades-awp",
        literal_awp(gamma=GAMMA, selected=lambda training, ordinary: 1 <= ordinary < 2.5),
        3,
        id="trades-awp-lsc-range",
    ),
    pytest.param("at-rwp", {}, "linf", "at", RWP, 13, id="at-rwp"),
    pytest.param(
        "at-rwp",
        {"rwp_accumulation": "paper"},
        "linf",
        "at",
        literal_rwp(gamma=GAMMA, c_min=C_MIN, steps=10, accumulation="paper"),
        13,
        id="at-rwp-paper",
    ),
    pytest.param("at-rwp", THREE, "linf", "at", RWP_3, 13, id="at-rwp-3-steps"),
    pytest.param("at-random", {}, "linf", "at", "random", 13, id="at-random"),
    pytest.param("trades", {}, "linf", "trades-upstream", literal_none, 3, id="trades"),
    pytest.param("trades", {}, "l2", "trades-upstream", literal_none, 3, id="trades-l2"),
    pytest.param("trades-awp", {}, "linf", "trades-awp", AWP, 3, id="trades-awp"),
    pytest.param("trades-awp", {}, "l2", "trades-awp", AWP, 3, id="trades-awp-l2"),
    pytest.param(
        "trades-awp",
        {"awp_alternations": 2},
        "linf",
        "trades-awp",
        literal_awp(gamma=GAMMA, alternations=2),
        3,
        id="trades-awp-2-alternations",
    ),
    pytest.param("trades-rwp", THREE, "linf", "trades-awp", RWP_3, 3, id="trades-rwp"),
    pytest.param(
        "trades-rwp",
        {**THREE, "rwp_mask_loss": "objective", "c_min": 3.0},
        "linf",
        "trades-awp",
        literal_rwp(gamma=GAMMA, c_min=3.0, steps=3, by_objective=True),
        3,
        id="trades-rwp-mask-by-objective",
    ),
    pytest.param("trades-random", {}, "linf", "trades-awp", "random", 3, id="trades-random"),
    pytest.param("mart", {}, "linf", "mart", literal_none, 2, id="mart"),
    pytest.param("mart", {}, "l2", "mart", literal_none, 2, id="mart-l2"),
    pytest.param("mart-awp", {}, "linf", "mart", AWP, 2, id="mart-awp"),
    pytest.param("mart-rwp", THREE, "linf", "mart", RWP_3, 2, id="mart-rwp"),
    pytest.param("rst", {}, "linf", "rst", literal_none, 2, id="rst"),
    pytest.param("rst-awp", {}, "linf", "rst", AWP, 2, id="rst-awp"),
    pytest.param("rst-rwp", THREE, "linf", "rst", RWP_3, 2, id="rst-rwp"),
    pytest.param("rst-awp", {"rst_base": "mart"}, "linf", "mart", AWP, 2, id="rst-awp-on-mart"),
]


@pytest.mark.parametrize(("method", "given", "norm", "literal", "perturb", "passes"), CASES)
def test_three_steps_are_those_of_a_literal_trainer(
    method: str, given: dict[str, Any], norm: str, literal: str, perturb: Any, passes: int
) -> None:
    model = make_model()
    attack = ATTACKS[norm]
    oracle = LiteralMethods(model.state_dict(), literal, attack)
    optimizer = make_optimizer(model, LR)
    recipe = make_recipe(method, norm=norm, **given)
    for step in range(STEPS):
        batch = make_batch(
            step,
            attack["epsilon"],
            gaussian_starts=literal != "at",
            alternations=given.get("awp_alternations", 1),
        )
        starts = None if literal == "natural" else batch.starts
        there = literal_random(gamma=GAMMA, noise=weight_noise(step)) if perturb == "random" else perturb
        expected = oracle.run(batch.inputs, batch.labels, starts, there, lr=LR, decay=DECAY)
        done = update(model, optimizer, batch, recipe, epoch=0, batch=step)
        assert done.loss.item() == pytest.approx(expected.item(), abs=1e-12)
        if method.endswith("-rwp"):
            assert done.perturbed.share.item() == pytest.approx(oracle.inner_counts[0] / 6)
            assert done.perturbed.inner_steps.item() == sum(count > 0 for count in oracle.inner_counts)
    assert_same_state(model, optimizer, oracle)
    assert int(model.state_dict()["1.num_batches_tracked"]) == STEPS * passes


@pytest.mark.parametrize(("given", "passes"), [({}, 2), ({"attack_mode": "train"}, 13)], ids=["eval", "train"])
def test_three_steps_of_parametric_noise_are_those_of_a_literal_trainer(given: dict[str, Any], passes: int) -> None:
    """New noise in each pass, the steps of the attack included; no decay on the scales."""
    epoch = 2
    model = inject_noise(make_model(), alpha=0.3)
    oracle = LiteralNoise(model.state_dict(), ATTACKS["linf"], training_attack=given.get("attack_mode") == "train")
    optimizer = make_optimizer(model, LR)
    recipe = make_recipe("at-pni", **given)
    for step in range(STEPS):

        def noise(number: int, layer: int, shape: torch.Size, step: int = step) -> Tensor:
            name: dict[str, Any] = {"seed": SEED, "stream": Stream.PARAMETRIC_NOISE, "b": layer, "c": 1 + epoch}
            return torch.from_numpy(gaussian(shape.numel(), a=step + 2**32 * number, **name)).view(shape)

        batch = make_batch(step, 0.15)
        expected = oracle.run_with(noise, batch.inputs, batch.labels, batch.starts, lr=LR, decay=DECAY)
        done = update(model, optimizer, batch, recipe, epoch=epoch, batch=step)
        assert done.loss.item() == pytest.approx(expected.item(), abs=1e-12)
    assert_same_state(model, optimizer, oracle)
    assert int(model.state_dict()["1.num_batches_tracked"]) == STEPS * passes
    assert all(abs(model.get_parameter(f"{layer}.alpha").item() - 0.3) > 1e-3 for layer in (0, 3, 7))


def updated_twice(change: Callable[[dict[str, Any]], None] = lambda state: None) -> dict[str, Tensor]:
    """The weights after two updates, with the optimizer's state stored, changed and restored between them."""
    model, recipe = make_model(), make_recipe("at")
    optimizer = make_optimizer(model, LR)
    update(model, optimizer, make_batch(0, 0.15), recipe, epoch=0)
    state = copy.deepcopy(optimizer.state_dict())
    change(state)
    optimizer = make_optimizer(model, LR)
    optimizer.load_state_dict(state)
    update(model, optimizer, make_batch(1, 0.15), recipe, epoch=0)
    return model.state_dict()


def test_a_run_that_was_begun_with_the_fused_optimizer_of_a_cuda_device_goes_on_here() -> None:
    fused = updated_twice(lambda state: state["param_groups"][0].update(fused=True))
    for name, weight in updated_twice().items():
        torch.testing.assert_close(fused[name], weight, rtol=1e-12, atol=1e-12)


@pytest.mark.cuda
def test_an_update_on_a_cuda_device_is_that_of_the_cpu() -> None:
    here, there = make_model(), make_model().cuda()
    for model in (here, there):
        optimizer = make_optimizer(model, LR)
        assert bool(optimizer.param_groups[0]["fused"]) is (model is there)
        for step in range(2):
            batch = make_batch(step, 0.15)
            device = next(model.parameters()).device
            moved: dict[str, Any] = {
                name: value.to(device) for name, value in vars(batch).items() if isinstance(value, Tensor)
            }
            update(model, optimizer, dataclasses.replace(batch, **moved), make_recipe("at"), epoch=0, batch=step)
    for name, weight in here.state_dict().items():
        torch.testing.assert_close(there.state_dict()[name].cpu(), weight, rtol=1e-8, atol=1e-8)


def test_the_selection_of_rwp_changes_between_its_steps() -> None:
    """Otherwise the comparison with the literal trainer would not see a mask that is made only once."""
    oracle = LiteralMethods(make_model().state_dict(), "at", ATTACKS["linf"])
    counts = []
    for step in range(STEPS):
        batch = make_batch(step, 0.15)
        oracle.run(batch.inputs, batch.labels, batch.starts, RWP_3, lr=LR, decay=DECAY)
        counts.append(oracle.inner_counts)
    assert any(len(set(inner)) > 1 and inner[1] > 0 for inner in counts), counts


def assert_same_state(model: nn.Module, optimizer: torch.optim.Optimizer, oracle: LiteralMethods) -> None:
    state = model.state_dict()
    for name, tensor in {**oracle.weights, **oracle.buffers}.items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=1e-12, msg=name)
    for name, parameter in model.named_parameters():
        buffer = optimizer.state[parameter]["momentum_buffer"]
        torch.testing.assert_close(buffer, oracle.momentum[name], rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize(
    ("method", "ratio"),
    [("at", 0.0), ("at-awp", GAMMA), ("trades-awp", GAMMA), ("at-random", GAMMA), ("at-rwp", GAMMA)],
)
def test_the_relative_size_of_v_is_gamma(method: str, ratio: float) -> None:
    done = one_update(method)
    assert done.perturbed.ratio.item() == pytest.approx(ratio, rel=1e-12)


def one_update(method: str, model: nn.Module | None = None, **given: Any) -> Updated:
    model = model or make_model()
    alternations = given.get("awp_alternations", 1)
    batch = make_batch(0, 0.15, gaussian_starts=not method.startswith("at"), alternations=alternations)
    return update(model, make_optimizer(model, LR), batch, make_recipe(method, **given), epoch=0)


PASSES = [
    # method, settings, forward passes, gradients to the inputs, gradients to the weights
    pytest.param("natural", {}, 1, 0, 1, id="natural"),
    pytest.param("at", {}, 13, 10, 1, id="at"),
    pytest.param("at", {"attack_mode": "eval"}, 12, 10, 1, id="at-eval-mode"),
    pytest.param("at-awp", {}, 14, 10, 2, id="at-awp-is-one-more-of-each"),
    pytest.param("at-awp", {"awp_warmup": 1}, 13, 10, 1, id="at-awp-warming-up"),
    pytest.param("at-awp", {"awp_steps": 2, "awp_alternations": 2}, 13 + 4 + 11, 20, 5, id="at-awp-2-2"),
    pytest.param("at-random", {}, 13, 10, 1, id="at-random"),
    pytest.param("at-rwp", {"c_min": 100.0}, 23, 10, 11, id="at-rwp"),
    pytest.param("at-rwp", {"c_min": 1e-9}, 14, 10, 1, id="at-rwp-nothing-below-c_min"),
    pytest.param("at-awp", {"lsc_range": "90:100"}, 14, 10, 1, id="at-awp-nothing-in-range"),
    pytest.param("at-pni", {}, 12, 10, 1, id="at-pni"),
    pytest.param("trades", {}, 11 + 3, 10, 1, id="trades"),
    pytest.param("trades-awp", {}, 11 + 3 + 2, 10, 2, id="trades-awp"),
    pytest.param("mart", {}, 10 + 2, 10, 1, id="mart"),
    pytest.param("mart-awp", {}, 10 + 2 + 2, 10, 2, id="mart-awp"),
    pytest.param("rst", {}, 11 + 2, 10, 1, id="rst"),
]


@pytest.mark.parametrize(("method", "given", "forward", "inputs", "weights"), PASSES)
def test_cost_in_passes(method: str, given: dict[str, Any], forward: int, inputs: int, weights: int) -> None:
    model = make_model()
    counts = {"forward": 0, "input": 0, "weight": 0}

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, tensor: Tensor) -> Tensor:
            return tensor.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            counts["input"] += 1
            return gradient

    def before(module: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
        counts["forward"] += 1
        return (Watched.apply(arguments[0]),)  # type: ignore[no-untyped-call]

    def on_gradient(gradient: Tensor) -> None:
        counts["weight"] += 1

    model.register_forward_pre_hook(before)
    weight: Any = model.get_parameter("0.weight")
    weight.register_hook(on_gradient)
    one_update(method, model, **given)
    assert counts["forward"] == forward
    assert counts["input"] == inputs
    assert counts["weight"] == weights


LIVE = [
    # passes that move BatchNorm's statistics: n at the start's neighbour, a adversarial, c clean; + at w + v
    pytest.param("natural", {}, "c", id="natural"),
    pytest.param("at", {}, "n" * 10 + "aac", id="at"),
    pytest.param("at-awp", {}, "n" * 10 + "aa+c", id="at-awp"),
    pytest.param("at-rwp", {"c_min": 100.0}, "n" * 10 + "aa+c", id="at-rwp"),
    pytest.param("at-random", {}, "n" * 10 + "aa+c", id="at-random"),
    pytest.param("at", {"attack_mode": "eval"}, "ac", id="at-eval-mode"),
    pytest.param("at-pni", {}, "ca", id="at-pni"),
    pytest.param("trades", {}, "cac", id="trades-upstream"),
    pytest.param("trades-awp", {}, "a+c+c+", id="trades-awp"),
    pytest.param("trades-rwp", {"c_min": 100.0}, "a+c+c+", id="trades-rwp"),
    pytest.param("mart", {}, "ca", id="mart"),
    pytest.param("mart-awp", {}, "c+a+", id="mart-awp"),
    pytest.param("rst", {}, "ac", id="rst"),
    pytest.param("rst-awp", {}, "a+c+", id="rst-awp"),
]


@pytest.mark.parametrize(("method", "given", "expected"), LIVE)
def test_which_passes_move_the_running_statistics(method: str, given: dict[str, Any], expected: str) -> None:
    model = make_model()
    statistics = model.get_buffer("1.running_mean")
    weight = model.get_parameter("0.weight")
    start = weight.detach().clone()
    batch = make_batch(0, 0.15, gaussian_starts=not method.startswith("at"))
    seen: list[tuple[Tensor, bool]] = []

    def before(module: nn.Module, arguments: tuple[Tensor]) -> None:
        # Passes of the perturbation see copies of the buffers.
        if module.training and model.get_buffer("1.running_mean") is statistics:
            moved = len(seen) < len(expected.replace("+", "")) and not torch.equal(weight, start)
            seen.append((arguments[0].detach().clone(), moved))

    model.register_forward_pre_hook(before)
    update(model, make_optimizer(model, LR), batch, make_recipe(method, **given), epoch=0)
    final = next((x for x, _ in reversed(seen) if not torch.equal(x, batch.inputs)), batch.inputs)
    words = []
    for position, (x, moved) in enumerate(seen):
        kind = "c" if torch.equal(x, batch.inputs) else "a" if torch.equal(x, final) else "n"
        after_update = method.startswith("at") and position == len(seen) - 1
        words.append(kind + ("+" if moved and not after_update else ""))
    assert "".join(words) == expected


def test_weight_decay_reaches_every_parameter_that_has_a_gradient() -> None:
    plain, decayed = make_model(), make_model()
    for model, decay in ((plain, 0.0), (decayed, 0.5)):
        one_update("natural", model, decay=decay)
    start = dict(make_model().named_parameters())
    for (name, a), b in zip(plain.named_parameters(), decayed.parameters(), strict=True):
        torch.testing.assert_close(a - b, LR * 0.5 * start[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["at-awp", "trades-awp", "mart-random", "rst-rwp", "at-pni"])
def test_the_step_does_not_draw_global_random_numbers_nor_change_the_mode(method: str) -> None:
    model, before = make_model(), torch.get_rng_state()
    one_update(method, model)
    assert torch.equal(before, torch.get_rng_state())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("method", ["at", "at-awp", "trades-awp", "mart-rwp"])
def test_a_batch_in_parts_gives_the_same_step_where_there_is_no_batchnorm(method: str) -> None:
    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)).double()

    whole, parts = network(), network()
    recipe = make_recipe(method)
    batch = make_batch(0, 0.15, gaussian_starts=True)
    losses = [
        update(model, make_optimizer(model, LR), batch, used, epoch=0).loss
        for model, used in ((whole, recipe), (parts, dataclasses.replace(recipe, num_parts=4)))
    ]
    torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=1e-12)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "given", "weighted"),
    [
        pytest.param("rst-awp", {"unlabelled_weight": 0.25}, True, id="rst-awp"),
        pytest.param("rst-rwp", {"unlabelled_weight": 0.25}, True, id="rst-rwp"),
        pytest.param("at-awp", {"drop_below": 1.93}, False, id="small losses removed"),
        pytest.param("at", {"drop_below": 1e6}, False, id="all removed"),
    ],
)
@pytest.mark.parametrize("num_parts", [2, 4])
def test_parts_weigh_as_their_examples_do(method: str, given: dict[str, Any], weighted: bool, num_parts: int) -> None:
    """Also where parts differ in weight: here the first one holds the labelled examples, the last one the others."""

    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)).double()

    batch = make_batch(0, 0.15, gaussian_starts=True)
    if weighted:
        batch = dataclasses.replace(batch, weights=torch.tensor([1.0, 1.0, 1.0, 0.25, 0.25, 0.25]).double())
    recipe, whole, parts = make_recipe(method, **given), network(), network()
    done = [
        update(model, make_optimizer(model, LR), batch, used, epoch=0)
        for model, used in ((whole, recipe), (parts, dataclasses.replace(recipe, num_parts=num_parts)))
    ]
    torch.testing.assert_close(done[0].loss, done[1].loss, rtol=0, atol=1e-12)
    torch.testing.assert_close(done[0].removed, done[1].removed, rtol=0, atol=1e-12)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_removed_examples_do_not_count() -> None:
    """As if they were not there, for a net in which examples do not see each other."""

    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(50, 3)).double()

    batch = make_batch(0, 0.15)
    recipe = make_recipe("at", drop_below=1.1)
    whole, rest = network(), network()
    (adversarial,) = [make_recipe("at").crafting(network(), batch, alternation=0)]
    kept = nn.functional.cross_entropy(network()(adversarial), batch.labels, reduction="none") >= 1.1
    assert 0 < int(kept.sum()) < 6
    done = update(whole, make_optimizer(whole, LR), batch, recipe, epoch=0)
    assert done.removed.item() == pytest.approx(1 - kept.double().mean().item())
    assert batch.starts is not None
    some = Batch(inputs=batch.inputs[kept], labels=batch.labels[kept], starts=batch.starts[:, kept])
    alone = update(rest, make_optimizer(rest, LR), some, make_recipe("at"), epoch=0)
    torch.testing.assert_close(done.loss, alone.loss, rtol=0, atol=1e-12)
    for a, b in zip(whole.parameters(), rest.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_all_examples_removed_leaves_the_decay() -> None:
    model = make_model()
    done = one_update("at", model, drop_below=1e6)
    assert done.removed.item() == 1.0
    assert done.loss.item() == 0.0
    start = make_model().get_parameter("7.weight")
    torch.testing.assert_close(model.get_parameter("7.weight"), start - LR * DECAY * start, rtol=0, atol=1e-15)


def test_penalties_are_those_of_the_settings() -> None:
    recipe = make_recipe("at", l1=0.1, nesterov=True)
    assert recipe.penalty == Penalty(weight_decay=DECAY, l1=0.1)
