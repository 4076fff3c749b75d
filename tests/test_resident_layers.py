from __future__ import annotations

import copy
import os
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.checkpoint import checkpoint

from landscape import folds, winograd, winograd_kernel
from landscape.models.registry import build_model
from landscape.resident_layers import ResidentConv
from landscape.tiles import MIN_CHANNELS
from landscape.weights import ResidentModel, parameters_of

MANY = MIN_CHANNELS

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="the program needs a C++ compiler"
)


def deep_net(**convolution: Any) -> nn.Sequential:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"padding": 1, "bias": False, **convolution}
    net = nn.Sequential(
        nn.Conv2d(3, MANY, 3, padding=1), nn.BatchNorm2d(MANY), nn.ReLU(), nn.Conv2d(MANY, MANY, 3, **settings)
    )
    net(torch.rand(8, 3, 8, 8))
    return net.eval()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The batches that were convolved in Winograd's way."""
    seen: list[int] = []
    plain = winograd.convolution

    def convolution(inputs: Tensor, kernels: Tensor, **turned: bool) -> Tensor:
        seen.append(len(inputs))
        return plain(inputs, kernels, **turned)

    monkeypatch.setattr(winograd, "convolution", convolution)
    return seen


@pytest.mark.parametrize("bias", [False, True], ids=["without bias", "with bias"])
def test_the_resident_computes_the_models_logits_and_gradients(bias: bool, counted: list[int]) -> None:
    net, inputs = deep_net(bias=bias).double(), torch.rand(8, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    resident = ResidentModel(net)
    made, expected = resident(inputs), net(inputs)
    torch.testing.assert_close(made, expected, rtol=1e-10, atol=1e-10)
    gradients = [torch.autograd.grad(logits.pow(2).sum(), inputs)[0] for logits in (made, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)
    assert counted == [8]


def test_a_default_device_of_the_caller_changes_nothing(counted: list[int]) -> None:
    winograd.kronecker.cache_clear()
    winograd._KEPT.buffers.clear()
    winograd._KEPT.benches.clear()
    net, inputs = deep_net().double(), torch.rand(8, 3, 8, 8, dtype=torch.float64)
    resident = ResidentModel(net)
    with torch.device("meta"):
        made = resident(inputs)
    torch.testing.assert_close(made, net(inputs), rtol=1e-10, atol=1e-10)
    assert counted == [8]


def test_every_way_to_change_the_weights_is_seen() -> None:
    net, inputs = deep_net().double(), torch.rand(8, 3, 8, 8, dtype=torch.float64)
    center = parameters_of(net)
    d = {name: torch.randn_like(weight) for name, weight in center.items()}
    resident = ResidentModel(net)

    def compare(factor: float) -> None:
        moved = copy.deepcopy(net)
        with torch.no_grad():
            for name, parameter in moved.named_parameters():
                parameter.add_(d[name], alpha=factor)
        for forward in (resident, resident.module):
            torch.testing.assert_close(forward(inputs), moved(inputs), rtol=1e-10, atol=1e-10)

    compare(0.0)
    resident.move(center, (0.5, d))
    compare(0.5)
    resident.load({name: weight - d[name] for name, weight in center.items()})
    compare(-1.0)
    with torch.no_grad():
        for name, parameter in resident.module.named_parameters():
            parameter.copy_(center[name] + 2 * d[name])
    compare(2.0)


OTHERS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "stride 2": ({"stride": 2}, (8, 3, 8, 8)),
    "no border": ({"padding": 0}, (8, 3, 8, 8)),
    "reflected border": ({"padding_mode": "reflect"}, (8, 3, 8, 8)),
    "dilated": ({"dilation": 2, "padding": 2}, (8, 3, 8, 8)),
    "grouped": ({"groups": 2}, (8, 3, 8, 8)),
    "height of no whole tiles": ({}, (8, 3, 6, 8)),
    "width of no whole tiles": ({}, (8, 3, 8, 10)),
    "few tiles": ({}, (3, 3, 8, 8)),
    "one picture without a batch": ({}, (3, 8, 8)),
}


@pytest.mark.parametrize(("settings", "shape"), OTHERS.values(), ids=list(OTHERS))
def test_other_convolutions_stay_torchs(settings: dict[str, Any], shape: tuple[int, ...], counted: list[int]) -> None:
    convolution = deep_net(**settings)[3:]
    inputs = torch.rand(*shape[:-3], MANY, *shape[-2:])
    torch.testing.assert_close(ResidentModel(convolution)(inputs), convolution(inputs), rtol=1e-4, atol=1e-5)
    assert counted == []


def test_same_padding_is_a_border_of_one_zero(counted: list[int]) -> None:
    net, inputs = deep_net(padding="same"), torch.rand(8, 3, 8, 8)
    torch.testing.assert_close(ResidentModel(net)(inputs), net(inputs), rtol=1e-4, atol=1e-5)
    assert counted == [8]


def test_autocast_and_weights_that_want_gradients_go_torchs_way(counted: list[int]) -> None:
    net, inputs = deep_net(), torch.rand(8, 3, 8, 8)
    resident = ResidentModel(net)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert resident(inputs).dtype == torch.bfloat16
    resident.module.requires_grad_(True)
    resident(inputs).sum().backward()  # type: ignore[no-untyped-call]  # torch's stubs lack it
    assert resident.module.get_parameter("3.weight").grad is not None
    assert counted == []


def test_a_weight_that_hooks_compute_is_left_alone(counted: list[int]) -> None:
    net = deep_net()
    nn.utils.parametrizations.weight_norm(net[3])
    inputs = torch.rand(8, 3, 8, 8)
    torch.testing.assert_close(ResidentModel(net)(inputs), net(inputs), rtol=1e-4, atol=1e-5)
    assert counted == []


def test_models_made_for_inference_only_are_left_alone(counted: list[int]) -> None:
    with torch.inference_mode():
        net, inputs = deep_net(), torch.rand(8, 3, 8, 8)
        torch.testing.assert_close(ResidentModel(net)(inputs), net(inputs), rtol=1e-4, atol=1e-5)
    assert counted == []


def test_a_first_call_in_inference_mode_does_not_spoil_later_gradients() -> None:
    net, inputs = deep_net(), torch.rand(8, 3, 8, 8)
    resident = ResidentModel(net)
    with torch.inference_mode():
        first = resident(inputs)
    made = resident(inputs.requires_grad_())
    torch.autograd.grad(made.sum(), inputs)
    assert torch.equal(made.detach(), first)
    resident.load({name: weight + 1 for name, weight in parameters_of(net).items()})
    assert not torch.equal(resident(inputs), made)


def test_the_copy_keeps_names_and_the_callers_model_its_classes() -> None:
    net = deep_net()
    resident = ResidentModel(net)
    assert [name for name, _ in resident.module.named_parameters()] == list(parameters_of(net))
    assert set(resident.module.state_dict()) == set(net.state_dict())
    assert isinstance(resident.module.get_submodule("3"), ResidentConv) and type(net[3]) is nn.Conv2d


class Residual(nn.Module):
    """A convolution whose output is seen by a BatchNorm, and by somebody else if `twice`."""

    def __init__(self, *, twice: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.twice = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), twice

    def forward(self, inputs: Tensor) -> Tensor:
        made: Tensor = self.conv(inputs)
        normalized: Tensor = self.norm(made)
        return normalized.relu() + made if self.twice else normalized.relu()


class Asking(Residual):
    """It looks at its inputs, so no symbol can pass through it."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) if float(inputs.detach().sum()) > 0 else inputs


@pytest.fixture
def traced_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models of this file count as the package's own."""
    monkeypatch.setattr(folds, "TRACED_PACKAGES", ("torch", "landscape", __name__.partition(".")[0]))


def settled(net: nn.Module) -> nn.Module:
    """With running statistics and an affine map away from their start."""
    net.double().train()(torch.rand(8, 3, 8, 8, dtype=torch.float64))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return net.eval()


def folding(resident: ResidentModel) -> list[bool]:
    """Of each convolution that feeds one norm alone, whether it does the work of that norm now."""
    norms = [layer.norm for layer in resident.module.modules() if isinstance(layer, ResidentConv)]
    with resident._layers.used():
        return [norm.is_done_before and norm.switch.on for norm in norms if norm is not None]


NETS: dict[str, tuple[Callable[[], nn.Module], list[bool]]] = {
    "followed by a norm alone": (lambda: Residual(twice=False), [True]),
    "seen by two": (lambda: Residual(twice=True), []),
    "not to be traced": (lambda: Asking(twice=False), []),
    "small_cnn": (lambda: build_model("small_cnn", in_channels=3), [True, True, True]),
    "called twice": (lambda: nn.Sequential(*[nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)] * 2), []),
}


@pytest.mark.usefixtures("traced_here")
@pytest.mark.parametrize(("make", "expected"), NETS.values(), ids=list(NETS))
def test_a_norm_is_folded_into_the_convolution_that_feeds_it_alone(
    make: Callable[[], nn.Module], expected: list[bool]
) -> None:
    torch.manual_seed(0)
    net, inputs = settled(make()), torch.rand(8, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    resident = ResidentModel(net)
    assert folding(resident) == expected
    made, plain = resident(inputs), net(inputs)
    torch.testing.assert_close(made, plain, rtol=1e-10, atol=1e-10)
    gradients = [torch.autograd.grad(logits.pow(2).sum(), inputs)[0] for logits in (made, plain)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("traced_here")
def test_a_fold_follows_the_norms_weights_and_statistics_and_its_mode() -> None:
    torch.manual_seed(0)
    net, inputs = settled(Residual(twice=False)), torch.rand(8, 3, 8, 8, dtype=torch.float64)
    resident = ResidentModel(net)

    def compare(state: dict[str, Tensor]) -> None:
        net.load_state_dict(state)
        torch.testing.assert_close(resident(inputs), net(inputs), rtol=1e-10, atol=1e-10)

    for name in ("conv.weight", "conv.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"):
        state = net.state_dict()
        state[name] = state[name] + torch.rand_like(state[name])
        resident.load({name: state[name]})
        compare(state)
    norm = resident.module.norm
    assert isinstance(norm, nn.BatchNorm2d)
    norm.train()
    assert folding(resident) == [False]
    torch.testing.assert_close(resident(inputs), copy.deepcopy(net).train()(inputs), rtol=1e-10, atol=1e-10)
    norm.eval()
    net.load_state_dict(resident.module.state_dict())
    torch.testing.assert_close(resident(inputs), net(inputs), rtol=1e-10, atol=1e-10)
    norm.running_mean = norm.running_var = None
    assert folding(resident) == [False]
    torch.testing.assert_close(resident(inputs), copy.deepcopy(net).train()(inputs), rtol=1e-10, atol=1e-10)


def test_the_forward_pass_of_a_strangers_model_is_not_called_with_symbols() -> None:
    torch.manual_seed(0)
    assert folding(ResidentModel(settled(Residual(twice=False)))) == []


@pytest.mark.usefixtures("traced_here")
def test_hooks_keep_seeing_what_a_layer_makes() -> None:
    torch.manual_seed(0)
    net, seen = settled(Residual(twice=False)), []
    net.get_submodule("conv").register_forward_hook(lambda module, inputs, output: seen.append(output))
    inputs = torch.rand(8, 3, 8, 8, dtype=torch.float64)
    resident = ResidentModel(net)
    resident(inputs), net(inputs)
    torch.testing.assert_close(seen[0], seen[1], rtol=1e-10, atol=1e-10)
    assert folding(resident) == []


class ByDefault(Residual):
    """It does something else with an argument, which a symbol for that argument looks like."""

    def forward(self, inputs: Tensor, alone: bool | None = None) -> Tensor:
        made: Tensor = self.conv(inputs)
        normalized: Tensor = self.norm(made)
        return normalized + made if alone is None else normalized


class ByType(Residual):
    """It does something else with a symbol than with a tensor."""

    def forward(self, inputs: Tensor) -> Tensor:
        made: Tensor = self.conv(inputs)
        normalized: Tensor = self.norm(made)
        return normalized + made if isinstance(inputs, Tensor) else normalized


class ByGradientMode(Residual):
    """It does something else where no gradients are made, unlike where the copy is."""

    def forward(self, inputs: Tensor) -> Tensor:
        made: Tensor = self.conv(inputs)
        normalized: Tensor = self.norm(made)
        return normalized if torch.is_grad_enabled() else normalized + made


class Counting(Residual):
    """It computes with the number of its calls, and keeps a tensor for all models of its class."""

    kept: Tensor | None = None
    calls: Tensor

    def __init__(self, *, twice: bool) -> None:
        super().__init__(twice=twice)
        self.register_buffer("calls", torch.zeros((), dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        if Counting.kept is None:
            Counting.kept = torch.rand(1).to(inputs) * inputs.new_ones(1)
        return super().forward(inputs) * self.calls * Counting.kept


@pytest.mark.parametrize("kind", [ByDefault, ByType, ByGradientMode, Counting])
def test_a_forward_of_somebody_else_never_meets_a_symbol(kind: type[Residual]) -> None:
    torch.manual_seed(0)
    net, inputs = kind(twice=False).double().eval(), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    nn.init.normal_(net.norm.bias)
    state = torch.get_rng_state()
    resident = ResidentModel(net)
    assert torch.equal(torch.get_rng_state(), state) and Counting.kept is None
    try:
        with torch.no_grad():
            torch.testing.assert_close(resident(inputs), net(inputs), rtol=1e-10, atol=1e-10)
    finally:
        Counting.kept = None


def test_hooks_of_a_part_of_the_model_never_meet_a_symbol() -> None:
    seen: list[Tensor] = []
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)).eval()
    net[0].register_forward_hook(lambda module, inputs, output: seen.append(output))
    resident, inputs = ResidentModel(net), torch.rand(2, 3, 8, 8)
    assert not seen
    resident(inputs), net(inputs)
    torch.testing.assert_close(seen[0], seen[1])


@pytest.mark.parametrize("place", [0, 1], ids=["conv", "norm"])
def test_a_layer_with_a_forward_of_its_own_is_left_alone(place: int) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    kept = type(net[place]).forward
    net[place].forward = lambda given: 2 * kept(net[place], given)
    inputs = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(ResidentModel(net)(inputs), net(inputs))


@pytest.mark.usefixtures("traced_here")
@pytest.mark.parametrize("place", ["conv", "norm"])
def test_hooks_that_come_later_see_what_goes_in_and_out(place: str) -> None:
    net, inputs = settled(Residual(twice=False)), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    resident, seen = ResidentModel(net), []
    resident(inputs)
    for model, part in ((resident, resident.module.get_submodule(place)), (net, net.get_submodule(place))):
        handle = part.register_forward_hook(lambda module, given, made: seen.append((*given, made)))
        model(inputs)
        handle.remove()
    torch.testing.assert_close(seen[0], seen[1], rtol=1e-10, atol=1e-10)
    assert folding(resident) == [True]


def test_hooks_of_a_container_that_come_later_see_what_it_makes() -> None:
    torch.manual_seed(0)
    net, inputs = settled(nested()), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    resident, seen = ResidentModel(net), []
    resident(inputs)
    for model, part in ((resident, resident.module.get_submodule("0")), (net, net.get_submodule("0"))):
        part.register_forward_hook(lambda module, given, made: seen.append(made))
        model(inputs)
    torch.testing.assert_close(seen[0], seen[1], rtol=1e-10, atol=1e-10)


def test_hooks_for_all_modules_see_what_torchs_layers_make_and_no_symbols() -> None:
    torch.manual_seed(0)
    net, inputs = settled(nested()), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    before, seen, found = ResidentModel(net), list[Tensor](), []
    before(inputs)
    handle = register_module_forward_hook(lambda module, given, made: seen.append(made))
    try:
        after = ResidentModel(net)
        assert not seen
        for model in (net, before, after):
            seen.clear()
            model(inputs)
            found.append(list(seen))
    finally:
        handle.remove()
    for others in found[1:]:
        torch.testing.assert_close(others, found[0], rtol=1e-10, atol=1e-10)


def nested() -> nn.Sequential:
    return nn.Sequential(nn.Sequential(nn.Conv2d(3, 6, 3)), nn.BatchNorm2d(6), nn.ReLU())


def replace(model: nn.Module, name: str, make: Callable[[nn.Module], nn.Module]) -> None:
    container = model.get_submodule(name.rpartition(".")[0])
    torch.manual_seed(1)
    setattr(container, name.rpartition(".")[2], make(model.get_submodule(name)).double().eval())


def patch_container(model: nn.Module) -> None:
    container = model.get_submodule("0")
    plain = container.forward
    vars(container)["forward"] = lambda inputs: plain(inputs).tanh()


def swap(model: nn.Module) -> None:
    norm, relu = model.get_submodule("1"), model.get_submodule("2")
    replace(model, "1", lambda module: relu)
    replace(model, "2", lambda module: norm)


def transpose(model: nn.Module) -> None:
    weight = model.get_parameter("0.0.weight")
    weight.data = weight.data.transpose(2, 3)


CHANGES: dict[str, Callable[[nn.Module], Any]] = {
    "another convolution": lambda model: replace(model, "0.0", lambda module: nn.Conv2d(3, 6, 3)),
    "a convolution with something behind it": lambda model: replace(
        model, "0.0", lambda module: nn.Sequential(module, nn.Tanh())
    ),
    "no norm": lambda model: replace(model, "1", lambda module: nn.Identity()),
    "another norm": lambda model: replace(model, "1", lambda module: nn.BatchNorm2d(6)),
    "another order": swap,
    "a patched container": patch_container,
    "another epsilon": lambda model: setattr(model.get_submodule("1"), "eps", 0.5),
    "another stride": lambda model: setattr(model.get_submodule("0.0"), "stride", (2, 2)),
    "another look at the same memory": transpose,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_copy_whose_parts_are_changed_computes_with_what_is_there(change: Callable[[nn.Module], Any]) -> None:
    torch.manual_seed(0)
    net, inputs = settled(nested()).requires_grad_(False), torch.rand(100, 3, 4, 4, dtype=torch.float64)
    resident, found = ResidentModel(net), []
    torch.autograd.grad(resident(inputs.requires_grad_()).sum(), inputs)
    for model, module in ((resident, resident.module), (net, net)):
        change(module)
        made = model(inputs)
        found.append((made.detach(), torch.autograd.grad(made.pow(2).sum(), inputs)[0]))
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10)


def test_a_weight_that_is_no_parameter_any_more_is_seen() -> None:
    torch.manual_seed(0)
    net, inputs = settled(nested()).requires_grad_(False), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    resident = ResidentModel(net)
    weight = net.get_parameter("0.0.weight").detach().clone()
    for model in (resident.module, net):
        del model.get_submodule("0.0").weight
    for factor in (1, 2):
        for model in (resident.module, net):
            vars(model.get_submodule("0.0"))["weight"] = factor * weight
        torch.testing.assert_close(resident(inputs), net(inputs), rtol=1e-10, atol=1e-10)


class Interrupted(Residual):
    """It calls something between its two layers."""

    between: Callable[[], Any] | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        made: Tensor = self.conv(inputs)
        if self.between is not None:
            between, self.between = self.between, None
            between()
        normalized: Tensor = self.norm(made)
        return normalized


@pytest.mark.usefixtures("traced_here")
@pytest.mark.parametrize("threads", [0, 1], ids=["in this thread", "in another one"])
def test_a_call_while_another_one_goes_on_disturbs_neither(threads: int) -> None:
    torch.manual_seed(0)
    net, inputs = settled(Interrupted(twice=False)), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    resident, found, expected = ResidentModel(net), [], net(inputs)
    assert folding(resident) == [True]
    copy_ = resident.module
    assert isinstance(copy_, Interrupted)

    def call() -> None:
        found.append(resident(inputs))

    with ThreadPoolExecutor(1) as pool:
        copy_.between = (lambda: pool.submit(call).result()) if threads else call
        found.append(resident(inputs))
    assert not resident._layers._switch.on
    for made in found:
        torch.testing.assert_close(made, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("traced_here")
def test_a_copy_that_is_made_within_a_call_has_torchs_layers() -> None:
    torch.manual_seed(0)
    net, inputs = settled(Interrupted(twice=False)), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    resident, copies = ResidentModel(net), []
    interrupted = resident.module
    assert isinstance(interrupted, Interrupted)
    interrupted.between = lambda: copies.append(copy.deepcopy(interrupted))
    resident(inputs)
    torch.testing.assert_close(copies[0].conv(inputs), net.get_submodule("conv")(inputs), rtol=1e-10, atol=1e-10)


def test_statistics_that_move_uncounted_are_seen() -> None:
    torch.manual_seed(0)
    net, inputs = settled(nested()), torch.rand(8, 3, 8, 8, dtype=torch.float64)
    net.get_submodule("1")._buffers["num_batches_tracked"] = None
    resident = ResidentModel(net)
    resident(inputs)
    for model in (resident.module, net):
        model.train()(inputs)
        model.eval()
    torch.testing.assert_close(resident(inputs), net(inputs), rtol=1e-10, atol=1e-10)


def test_statistics_made_for_inference_alone_go_torchs_way() -> None:
    torch.manual_seed(0)
    net, inputs = settled(nested()), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    resident = ResidentModel(net)
    for model in (resident.module, net):
        with torch.inference_mode():
            model.get_submodule("1").running_mean = torch.ones(6, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(resident(inputs), net(inputs), rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("traced_here")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("mixed", [False, True], ids=["all short", "a longer norm"])
def test_short_numbers_stay_torchs(dtype: torch.dtype, mixed: bool) -> None:
    net, inputs = settled(Residual(twice=False)).to(dtype), torch.rand(2, 3, 8, 8, dtype=dtype)
    if mixed:
        net.norm.float()
    assert torch.equal(ResidentModel(net)(inputs), net(inputs))


@pytest.mark.usefixtures("traced_here")
def test_a_bias_alone_gets_its_gradient(counted: list[int]) -> None:
    for net in (settled(Residual(twice=False)), deep_net(bias=True)[3:]):
        resident = ResidentModel(net)
        layer = next(module for module in resident.module.modules() if isinstance(module, nn.Conv2d))
        assert layer.bias is not None
        layer.bias.requires_grad_()
        inputs = torch.rand(8, layer.in_channels, 8, 8, dtype=layer.weight.dtype)
        torch.autograd.grad(resident(inputs).sum(), layer.bias)
    assert counted == []


@pytest.mark.usefixtures("traced_here")
def test_copies_may_be_made_while_other_threads_call_models_and_make_copies() -> None:
    net, other, inputs = Residual(twice=False).eval(), Residual(twice=False).eval(), torch.rand(1, 3, 8, 8)
    plain, finished, switching = nn.Module.__call__, threading.Event(), sys.getswitchinterval()

    def make() -> list[bool]:
        made = [folding(ResidentModel(net)) == [True] for _ in range(20)]
        finished.set()
        return made

    def call() -> None:
        while not finished.is_set():
            other(inputs)

    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(3) as pool:
            jobs = [pool.submit(make), pool.submit(make)]
            pool.submit(call).result()
            assert all(all(job.result()) for job in jobs)
    finally:
        sys.setswitchinterval(switching)
    assert nn.Module.__call__ is plain


@pytest.mark.usefixtures("traced_here")
def test_weights_in_memory_that_was_freed_are_seen() -> None:
    net, inputs = settled(Residual(twice=False)), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    resident = ResidentModel(net)
    for factor in range(10):
        net.get_parameter("conv.weight").data.fill_(factor)
        for _ in range(2):
            new = torch.full_like(resident.module.get_parameter("conv.weight"), factor)
            resident.module.get_parameter("conv.weight").data = new
            del new
        torch.testing.assert_close(resident(inputs), net(inputs), rtol=1e-10, atol=1e-10)


def test_the_types_of_a_copy_may_change_later() -> None:
    net, inputs = deep_net(), torch.rand(8, 3, 8, 8)
    resident = ResidentModel(net)
    resident(inputs)
    resident.module.double()
    torch.testing.assert_close(resident(inputs.double()), net.double()(inputs.double()), rtol=1e-10, atol=1e-10)


class Checkpointing(nn.Module):
    """It computes a part again on the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())

    def forward(self, inputs: Tensor) -> Tensor:
        made: Tensor = checkpoint(self.part, inputs, use_reentrant=False)
        return made


@pytest.mark.skipif(
    not hasattr(torch._C._autograd, "_top_saved_tensors_default_hooks"), reason="torch before 2.8 does not tell"
)
def test_a_part_that_is_computed_again_on_the_way_back_goes_torchs_way() -> None:
    net, inputs = settled(Checkpointing()), torch.rand(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    gradients = [torch.autograd.grad(model(inputs).pow(2).sum(), inputs)[0] for model in (ResidentModel(net), net)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


class Substituting(nn.Module):
    """It calls its layers with other weights than their own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)

    def forward(self, inputs: Tensor) -> Tensor:
        made = torch.func.functional_call(self.conv, {"weight": 2 * self.conv.weight}, inputs)
        mean = self.norm.get_buffer("running_mean")
        normalized: Tensor = torch.func.functional_call(self.norm, {"running_mean": mean + 1}, made)
        return normalized


def test_layers_that_are_called_with_other_tensors_use_them() -> None:
    net, inputs = settled(Substituting()), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(ResidentModel(net)(inputs), net(inputs), rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # torch's own, in forward mode
def test_transforms_of_functions_go_torchs_way() -> None:
    net, inputs = deep_net().double(), torch.rand(8, 3, 8, 8, dtype=torch.float64)
    resident = ResidentModel(net)

    def in_forward_mode(model: Callable[[Tensor], Tensor]) -> Any:
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(inputs, inputs + 1)  # type: ignore[no-untyped-call]  # torch's stubs lack it
            return forward_ad.unpack_dual(model(dual)).tangent  # type: ignore[no-untyped-call]  # the same

    ways: list[Callable[[Callable[[Tensor], Tensor]], Any]] = [
        in_forward_mode,
        lambda model: torch.func.jvp(model, (inputs,), (inputs + 1,))[1],
        lambda model: torch.func.grad(lambda given: model(given).pow(2).sum())(inputs),
        lambda model: torch.func.vmap(model)(inputs[None]),
    ]
    for way in ways:
        torch.testing.assert_close(way(resident), way(net), rtol=1e-10, atol=1e-10)


def test_numbers_that_are_none_are_not_kept() -> None:
    net, inputs = settled(nested()), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    resident = ResidentModel(net)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        resident(mode.from_tensor(inputs))
    torch.testing.assert_close(resident(inputs), net(inputs), rtol=1e-10, atol=1e-10)


def test_a_compiled_model_is_one_graph_and_sees_moved_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = torch.compile

    def without_code(model: nn.Module) -> Callable[[Tensor], Tensor]:
        made: Callable[[Tensor], Tensor] = compiled(model, backend="aot_eager", fullgraph=True)
        return made

    monkeypatch.setattr(torch, "compile", without_code)
    net, inputs = deep_net().double(), torch.rand(8, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    center, plain, resident = parameters_of(net), ResidentModel(net), ResidentModel(net)
    resident.compile()
    d = {name: torch.randn_like(weight) for name, weight in center.items()}
    for factor in (0.0, 0.3):
        gradients = []
        for model in (plain, resident):
            model.move(center, (factor, d))
            gradients.append(torch.autograd.grad(model(inputs).pow(2).sum(), inputs)[0])
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


@needs_compiler
def test_the_program_serves_a_model_that_torch_cannot_compile(
    monkeypatch: pytest.MonkeyPatch, counted: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(model: nn.Module) -> Callable[[Tensor], Tensor]:
        def run(inputs: Tensor) -> Tensor:
            raise RuntimeError("not this model")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    net, inputs = deep_net(bias=True), torch.rand(8, 3, 8, 8, dtype=torch.float64)
    resident = ResidentModel(net)
    resident.compile()
    for dtype in (torch.float64, torch.float32):  # the memory of the first kernels suits no others
        net, inputs = net.to(dtype), inputs.to(dtype)
        resident.module.to(dtype)
        torch.testing.assert_close(resident(inputs), net(inputs))
    assert counted == []
    assert caplog.messages == ["torch.compile failed, the model runs uncompiled: not this model"]


UNFIT = {
    "longer numbers": torch.zeros(8, MANY, 8, 8, dtype=torch.float64),
    "shorter numbers": torch.zeros(8, MANY, 8, 8, dtype=torch.bfloat16),
    "fewer channels": torch.zeros(8, MANY // 2, 8, 8),
    "more channels": torch.zeros(8, 2 * MANY, 8, 8),
}


@pytest.fixture(params=[False, pytest.param(True, marks=needs_compiler)], ids=["matrix products", "program"])
def made_ready(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[nn.Module], ResidentModel]:
    """Makes a copy of a model whose convolutions go Winograd's way."""
    monkeypatch.setattr(torch, "compile", lambda model: model)

    def make(net: nn.Module) -> ResidentModel:
        resident = ResidentModel(net)
        if request.param:
            resident.compile()
        return resident

    return make


@pytest.mark.parametrize("inputs", UNFIT.values(), ids=list(UNFIT))
def test_inputs_that_torch_refuses_are_refused_in_its_words(
    inputs: Tensor, made_ready: Callable[[nn.Module], ResidentModel]
) -> None:
    net = deep_net()[3:]
    with pytest.raises(RuntimeError) as expected:
        net(inputs)
    with pytest.raises(RuntimeError) as got:
        made_ready(net)(inputs)
    assert str(got.value) == str(expected.value)


class Shortening(nn.Module):
    """It computes with shorter numbers on its own account."""

    def __init__(self) -> None:
        super().__init__()
        self.net = deep_net()

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            made: Tensor = self.net(inputs)
        return made.float()


def test_a_model_may_shorten_its_numbers_itself(made_ready: Callable[[nn.Module], ResidentModel]) -> None:
    net, inputs = Shortening().eval(), torch.rand(8, 3, 8, 8)
    torch.testing.assert_close(made_ready(net)(inputs), net(inputs), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kept", [MANY // 2, MANY // 2 + 8], ids=["whole panels", "part of a panel"])
def test_a_layer_may_have_other_channels_than_it_says(
    kept: int, made_ready: Callable[[nn.Module], ResidentModel]
) -> None:
    convolution, inputs = deep_net()[3], torch.rand(8, kept, 8, 8)
    convolution.weight = nn.Parameter(convolution.get_parameter("weight").detach()[:, :kept].clone())
    torch.testing.assert_close(made_ready(convolution)(inputs), convolution(inputs), rtol=1e-4, atol=1e-5)


def test_without_the_program_convolutions_go_on_as_they_did(
    monkeypatch: pytest.MonkeyPatch, counted: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("no compiler\nmore lines")

    monkeypatch.setattr(winograd_kernel, "program", broken)
    monkeypatch.setattr(torch, "compile", lambda model: model)
    net, inputs = deep_net(), torch.rand(8, 3, 8, 8)
    resident = ResidentModel(net)
    resident.compile()
    assert caplog.messages == ["convolutions could not be compiled, they run as they are: no compiler"]
    torch.testing.assert_close(resident(inputs), net(inputs))
    assert counted == [8]


def test_that_there_is_no_compiler_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def without_compiler() -> None:
        raise RuntimeError("no compiler")

    def compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
        def run(inputs: Tensor) -> Tensor:
            raise ValueError("backend:\nInvalidCompiler: no compiler")

        return run

    monkeypatch.setattr(winograd_kernel, "program", without_compiler)
    monkeypatch.setattr(torch, "compile", compiled)
    net, inputs = deep_net(), torch.rand(8, 3, 8, 8)
    resident = ResidentModel(net)
    resident.compile()
    torch.testing.assert_close(resident(inputs), net(inputs))
    assert caplog.messages == ["convolutions could not be compiled, they run as they are: no compiler"]


def test_a_compiler_is_not_asked_for_a_model_that_it_does_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd_kernel, "program", lambda: pytest.fail("nothing here is for the program"))
    monkeypatch.setattr(torch, "compile", lambda model: model)
    ResidentModel(deep_net(stride=2)).compile()
