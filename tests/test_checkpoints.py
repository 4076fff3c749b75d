from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from landscape.errors import CheckpointError, InputError, LandscapeError, ModelError
from landscape.models.noisy import inject_noise, is_noisy, noise_scales
from landscape.models.normalize import NormalizedModel
from landscape.models.registry import build_model
from landscape.weights import digest_weights

State = dict[str, Tensor]

CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
SMALL = {"in_channels": 3, "image_size": 8, "num_classes": 4, "width": 2}


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    network = build_model("small_cnn", **SMALL)
    network(torch.rand(16, 3, 8, 8))  # BatchNorm's statistics and counters become nothing special
    return network


def saved(path: Path, network: nn.Module, **changes: Any) -> Path:
    fields: dict[str, Any] = {
        "network": network,
        "model_name": "small_cnn",
        "model_arguments": SMALL,
        "normalization": "cifar10",
        "dataset": "cifar10",
        "threat": ThreatModel(norm="linf", epsilon=8 / 255),
        "step_size": 2 / 255,
        "training": {"method": "at", "epoch": 3, "metrics": {"robust_accuracy": np.float64(0.5)}},
    }
    return save_checkpoint(path, **{**fields, **changes})


def assert_same_weights(checkpoint: Checkpoint, network: nn.Module) -> None:
    found, expected = checkpoint.network.state_dict(), network.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert all(found[name].dtype == expected[name].dtype for name in expected)


def test_round_trip_is_bit_equal(network: nn.Module, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(saved(tmp_path / "net.pt", network))
    assert_same_weights(checkpoint, network)
    assert checkpoint.weights_digest == digest_weights(network)
    assert checkpoint.model_name == "small_cnn"
    assert checkpoint.model_arguments == SMALL
    assert checkpoint.normalization == CIFAR10
    assert checkpoint.dataset == "cifar10"
    assert checkpoint.threat == ThreatModel(norm="linf", epsilon=8 / 255)
    assert checkpoint.step_size == 2 / 255
    assert checkpoint.training == {"method": "at", "epoch": 3, "metrics": {"robust_accuracy": 0.5}}
    assert checkpoint.path == tmp_path / "net.pt"
    assert checkpoint.name == "net"
    again = saved(tmp_path / "again.pt", checkpoint.network)
    assert again.read_bytes() == checkpoint.path.read_bytes()


def test_model_takes_pictures_in_the_unit_box(network: nn.Module, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(saved(tmp_path / "net.pt", network))
    inputs = torch.rand(3, 3, 8, 8)
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in CIFAR10)
    assert not any(module.training for module in checkpoint.model.modules())
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in checkpoint.model.parameters())
    assert torch.equal(checkpoint.model(inputs), network.eval()((inputs - mean) / std))


def test_saving_changes_nothing_in_the_network(network: nn.Module, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    saved(tmp_path / "net.pt", network)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_parametric_noise_comes_back(network: nn.Module, tmp_path: Path) -> None:
    plain = torch.load(saved(tmp_path / "plain.pt", network), weights_only=True)
    assert "noise" not in plain
    noisy = inject_noise(network, alpha=0.4)
    with torch.no_grad():
        noisy.get_parameter("conv2.alpha").fill_(-0.2)
    path = saved(tmp_path / "noisy.pt", noisy)
    assert torch.load(path, weights_only=True)["noise"] == "pni-w"
    checkpoint = load_checkpoint(path)
    assert_same_weights(checkpoint, noisy)
    assert is_noisy(checkpoint.model)
    scales = [round(scale.item(), 4) for scale in noise_scales(checkpoint.network).values()]
    assert scales == [0.4, -0.2, 0.4, 0.4]
    inputs = torch.rand(3, 3, 8, 8)
    assert torch.equal(checkpoint.network(inputs), noisy.eval()(inputs))
    assert torch.equal(checkpoint.model(inputs), load_checkpoint(path).model(inputs))
    assert saved(tmp_path / "again.pt", checkpoint.network).read_bytes() == path.read_bytes()


def test_noise_of_another_kind_is_refused(network: nn.Module, tmp_path: Path) -> None:
    path = saved(tmp_path / "noisy.pt", inject_noise(network))
    torch.save({**torch.load(path, weights_only=True), "noise": "pni-a"}, path)
    with pytest.raises(CheckpointError, match=r"has the noise 'pni-a', this version knows 'pni-w' alone; update the"):
        load_checkpoint(path)


def test_nothing_known_is_kept_as_nothing(network: nn.Module, tmp_path: Path) -> None:
    path = saved(tmp_path / "n.pt", network, normalization=None, dataset=None, threat=None, step_size=None, training={})
    checkpoint = load_checkpoint(path)
    assert checkpoint.model is checkpoint.network
    assert (checkpoint.normalization, checkpoint.dataset, checkpoint.threat, checkpoint.step_size) == (None,) * 4
    assert load_checkpoint(path, dataset="arrays").dataset == "arrays"


def test_loading_leaves_the_global_random_numbers(network: nn.Module, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", network)
    before = torch.get_rng_state()
    load_checkpoint(path)
    assert torch.equal(before, torch.get_rng_state())


def test_names_of_run_folders(network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "digits-at"
    for name in ("last", "best", "epoch-010", "other"):
        saved(run / f"{name}.pt", network)
    assert load_checkpoint(run).name == "digits-at/last"
    assert load_checkpoint(run / "best.pt").name == "digits-at/best"
    assert load_checkpoint(run / "other.pt").name == "other"
    monkeypatch.chdir(run)
    assert load_checkpoint("epoch-010.pt").name == "digits-at/epoch-010"


def test_normalized_model_is_not_saved_as_a_network(network: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"without its normalization, got a NormalizedModel; pass \.network\.$"):
        saved(tmp_path / "net.pt", NormalizedModel(network, *CIFAR10))
    with pytest.raises(InputError, match=r"^training\['folder'\] of a checkpoint should be a plain value, got "):
        saved(tmp_path / "net.pt", network, training={"folder": tmp_path})
    assert not (tmp_path / "net.pt").exists()


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "model": (
        {"model": "preact_resnet18"},
        r"net\.pt is a small_cnn, got --model preact_resnet18; leave the option out\.$",
    ),
    "classes": ({"num_classes": 10}, r"net\.pt has 4 classes, got 10; name the data it was trained on\.$"),
    "normalization": ({"normalization": "none"}, r"net\.pt says its normalization itself, and it is another one"),
}


@pytest.mark.parametrize(("arguments", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_own_files_are_not_contradicted(
    arguments: dict[str, Any], message: str, network: nn.Module, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved(tmp_path / "net.pt", network), **arguments)


def test_own_files_accept_what_they_say(network: nn.Module, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", network)
    load_checkpoint(path, model="small_cnn", num_classes=4, normalization=CIFAR10, dataset="cifar10")


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


DAMAGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "version": (
        lambda c: c.update(format="landscape-checkpoint/2"),
        r"has the format 'landscape-checkpoint/2', this ver",
    ),
    "no model": (lambda c: c.pop("model"), r"is damaged: a field is missing or wrong \('model'\); copy it again\.$"),
    "no arguments": (lambda c: c["model"].pop("arguments"), r"is damaged: .*'arguments'"),
    "model is text": (lambda c: c.update(model="small_cnn"), r"is damaged: a field is missing or wrong"),
    "no weights": (lambda c: c.pop("state_dict"), r"is damaged: .*'state_dict'"),
    "weights are text": (lambda c: c.update(state_dict="all"), r"is damaged: a field"),
    "threat": (lambda c: c["threat"].update(norm="l7"), r"is damaged: .*the norm of a threat model is one of linf, l2"),
    "step size": (lambda c: c["threat"].update(step_size="big"), r"is damaged: .*'big'"),
    "normalization": (lambda c: c["normalization"].update(std=[0, 1, 1]), r"is damaged: .*above 0"),
    "channels": (
        lambda c: c.update(normalization={"mean": [0, 0], "std": [1, 1]}),
        r"of 3 channels, got a normalization of 2",
    ),
    "training": (lambda c: c.update(training=None), r"is damaged: a field"),
    "unknown model": (lambda c: c["model"].update(name="vgg"), r"net\.pt cannot be built: the models are small_cnn,"),
    "huge model": (
        lambda c: c["model"]["arguments"].update(width=10**7),
        r"does not fit small_cnn \(.*width=10000000\): conv1",
    ),
    "absurd model": (
        lambda c: c["model"]["arguments"].update(width=10**30),
        r"cannot be built: small_cnn cannot be built with",
    ),
    "entry": (
        lambda c: c["state_dict"].update({"bn1.bias": [0, 0]}),
        r"the entry 'bn1\.bias' should be a tensor, it is list",
    ),
    "missing": (
        lambda c: c["state_dict"].pop("bn1.bias"),
        r"does not hold the weights of small_cnn \(.*\): missing bn1\.bias; ch",
    ),
    "nan": (
        lambda c: c["state_dict"]["bn2.bias"].fill_(torch.nan),
        r"bn2\.bias holds numbers that are not finite, so every",
    ),
    "infinite": (
        lambda c: c["state_dict"]["bn2.running_var"].fill_(torch.inf),
        r"bn2\.running_var holds numbers that are",
    ),
}


@pytest.mark.parametrize(("change", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_fields_are_refused(
    change: Callable[[dict[str, Any]], Any], message: str, network: nn.Module, tmp_path: Path
) -> None:
    path = rewritten(saved(tmp_path / "net.pt", network), change)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_changed_bit_in_a_weight_is_noticed(network: nn.Module, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", network)
    content = bytearray(path.read_bytes())
    place = content.find(network.get_parameter("conv3.weight").detach().numpy().tobytes())
    assert place > 0
    content[place + 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"net\.pt is damaged: the check sum of archive/data/\d+ is wrong; copy it"
    ):
        load_checkpoint(path)


def test_a_function_named_in_a_file_is_never_called(network: nn.Module, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = {"name": "os:system", "arguments": {"command": f"touch '{mark}'"}}
    path = rewritten(saved(tmp_path / "net.pt", network), lambda content: content.update(model=command))
    for model in (None, "small_cnn"):
        with pytest.raises(
            CheckpointError, match=r"was made with 'os:system', code outside this package, which is not"
        ):
            load_checkpoint(path, model=model)
    assert not mark.exists()


# Foreign files -------------------------------------------------------------------------------------------------------


def prefixed(prefix: str) -> Callable[[State], Any]:
    return lambda state: {prefix + name: value for name, value in state.items()}


LAYOUTS: dict[str, Callable[[State], Any]] = {
    "raw": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "test_robust_acc": 0.5, "test_acc": 0.8},
    "model": lambda state: {"model": state, "epoch": 3},
    "net": lambda state: {"net": state, "acc": 91.0, "optimizer": {"state": {}, "param_groups": []}},
    "model_state_dict": lambda state: {"model_state_dict": state},
    "nested": lambda state: {"model": {"state_dict": state}},
    "module.": prefixed("module."),
    "model.": prefixed("model."),
    "module.model.": prefixed("module.model."),
    "module.module.": prefixed("module.module."),
    "compiled": prefixed("_orig_mod."),
    "of a NormalizedModel": prefixed("network."),
    "contained and prefixed": lambda state: {"state_dict": prefixed("module.")(state), "num_classes": 4},
    "before torch 0.4.1": lambda state: {name: value for name, value in state.items() if "num_batches" not in name},
    "dead weights of RST": lambda state: {**state, "sub_block1.layer.0.conv1.weight": torch.zeros(2, 2)},
    "parameters": lambda state: {name: nn.Parameter(value, value.is_floating_point()) for name, value in state.items()},
}


def load_small(path: Path, **arguments: Any) -> Checkpoint:
    return load_checkpoint(path, model="small_cnn", **{"normalization": "none", **arguments})


@pytest.mark.parametrize("new", [True, False], ids=["zip", "format before torch 1.6"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_foreign_layouts(layout: Callable[[State], Any], new: bool, network: nn.Module, tmp_path: Path) -> None:
    torch.save(layout(network.state_dict()), tmp_path / "net.pth", _use_new_zipfile_serialization=new)
    checkpoint = load_small(tmp_path / "net.pth", dataset="cifar10")
    if layout is LAYOUTS["before torch 0.4.1"]:
        for name, value in network.named_buffers():
            if name.endswith("num_batches_tracked"):
                value.zero_()
    assert_same_weights(checkpoint, network)
    assert checkpoint.model_arguments == SMALL
    assert (checkpoint.dataset, checkpoint.threat, checkpoint.training) == ("cifar10", None, {})
    assert all(type(parameter) is nn.Parameter and parameter.is_leaf for parameter in checkpoint.network.parameters())


def test_safetensors(network: nn.Module, tmp_path: Path) -> None:
    safetensors.torch.save_file(network.state_dict(), tmp_path / "net.safetensors")
    assert_same_weights(load_small(tmp_path / "net.safetensors"), network)


def test_preact_resnet18_from_a_published_layout(tmp_path: Path) -> None:
    network = build_model("preact_resnet18", width=4, num_classes=100, in_channels=3)
    content = {"state_dict": prefixed("module.")(network.state_dict()), "test_robust_acc": 0.55}
    torch.save(content, tmp_path / "model_best.pth")
    checkpoint = load_checkpoint(tmp_path / "model_best.pth", model="preact_resnet18", normalization="cifar100")
    assert_same_weights(checkpoint, network)
    assert checkpoint.model_arguments == {"num_classes": 100, "in_channels": 3, "width": 4}
    assert checkpoint.normalization is not None
    assert checkpoint.normalization[0][0] == 0.5070751592371323


def test_network_behind_a_normalization_asks_for_it(network: nn.Module, tmp_path: Path) -> None:
    torch.save({"state_dict": prefixed("module.1.")(network.state_dict())}, tmp_path / "net.pt")
    with pytest.raises(
        CheckpointError, match=r"stands behind another layer, mostly a normalization, .* --normalization"
    ):
        load_small(tmp_path / "net.pt", normalization=None)
    assert_same_weights(load_small(tmp_path / "net.pt", normalization="svhn"), network)


def test_no_normalization_is_assumed_with_a_warning(
    network: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(network.state_dict(), tmp_path / "net.pt")
    assert load_small(tmp_path / "net.pt").normalization is None
    assert not caplog.records
    assert load_small(tmp_path / "net.pt", normalization=None).normalization is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no normalization is assumed" in caplog.text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_other_precisions_become_float32(
    dtype: torch.dtype, network: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(network.to(dtype).state_dict(), tmp_path / "net.pt")
    with caplog.at_level(logging.INFO):
        checkpoint = load_small(tmp_path / "net.pt")
    assert_same_weights(checkpoint, network.to(torch.float32))
    assert f"{dtype} weights are converted to torch.float32" in caplog.text


def test_loaded_tensors_share_no_memory(tmp_path: Path) -> None:
    network = build_model("small_cnn", **SMALL)
    state = network.state_dict()
    state["bn1.weight"] = torch.ones(1).expand(2)
    state["bn1.running_var"] = state["bn1.weight"]
    torch.save(state, tmp_path / "net.pt")
    loaded = load_small(tmp_path / "net.pt").network.state_dict()
    loaded["bn1.weight"][0] = 5.0
    assert loaded["bn1.weight"].tolist() == [5.0, 1.0]
    assert loaded["bn1.running_var"].tolist() == [1.0, 1.0]


MISFITS: dict[str, tuple[Callable[[State], Any], str]] = {
    "missing": (
        lambda s: {name: value for name, value in s.items() if not name.startswith("bn")},
        r"does not hold the weights of small_cnn \(in_channels=3, .*\): missing bn1\.weight, bn1\.bias, "
        r"bn1\.running_mean and 9 more; choose the model it was made with\.$",
    ),
    "extra": (lambda s: {**s, "mu": torch.zeros(4), "sigma": torch.ones(4)}, r": unexpected mu, sigma; choose"),
    "half a normalization": (lambda s: {**s, "mu": torch.zeros(3)}, r": unexpected mu; choose"),
    "a deviation of 0": (
        lambda s: {**s, "mu": torch.zeros(3), "sigma": torch.zeros(3)},
        r": unexpected mu, sigma; choose",
    ),
    "both": (lambda s: {"a": torch.zeros(1), **s, "bn1.bias": torch.zeros(3)}, r": unexpected a; choose"),
    "mixed prefixes": (
        lambda s: {**prefixed("module.")(s), "n_averaged": torch.tensor(1)},
        r"missing conv1\.weight, .*; un",
    ),
    "shape": (
        lambda s: {**s, "bn3.bias": torch.zeros(9)},
        r"does not fit .*: bn3\.bias is \(9,\) instead of \(8,\); choose",
    ),
    "whole numbers": (
        lambda s: {**s, "bn3.bias": torch.zeros(8).long()},
        r"bn3\.bias holds torch\.int64, expected torch\.float32",
    ),
    "complex": (
        lambda s: {**s, "bn3.bias": torch.zeros(8) * 1j},
        r"bn3\.bias holds torch\.complex64, expected torch\.float32",
    ),
    "sparse": (
        lambda s: {**s, "bn3.bias": torch.ones(8).to_sparse()},
        r"bn3\.bias is a sparse, quantized, nested or empty",
    ),
    "nan": (lambda s: {**s, "bn3.bias": torch.full((8,), torch.nan)}, r"bn3\.bias holds numbers that are not finite"),
    "too large": (
        lambda s: {**s, "bn3.bias": torch.full((8,), 1e300, dtype=torch.float64)},
        r"bn3\.bias holds numbers that are not",
    ),
    "not a tensor": (lambda s: {**s, "epoch": 3}, r"net\.pt: the entry 'epoch' should be a tensor, it is int\.$"),
    "optimizer": (
        lambda s: {"state": {}, "param_groups": []},
        r"holds no weights: expected a state dict, or one under 'state_dict', 'model', 'net', 'model_state_dict', "
        r"'rmodel', "
        r"found 'state', 'param_groups'\.$",
    ),
    "empty": (lambda s: {}, r"holds no weights: .*, found nothing\.$"),
    "empty inside": (lambda s: {"state_dict": {}}, r"holds no weights: .*, found nothing\.$"),
    "another network": (
        lambda s: build_model("preact_resnet18", width=2).state_dict(),
        r"does not hold the weights of small_cnn \(.*\): missing bn1\.weight, .* and \d+ more; unexpected layer1\.0",
    ),
}


@pytest.mark.parametrize(("layout", "message"), MISFITS.values(), ids=MISFITS)
def test_weights_that_do_not_fit_are_refused(
    layout: Callable[[State], Any], message: str, network: nn.Module, tmp_path: Path
) -> None:
    torch.save(layout(network.state_dict()), tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=message) as caught:
        load_small(tmp_path / "net.pt")
    assert "\n" not in str(caught.value)


def test_a_file_that_contains_itself_is_refused(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_small(tmp_path / "net.pt")


ARGUMENTS: dict[str, tuple[dict[str, Any], type[LandscapeError], str]] = {
    "no model": (
        {"model": None},
        CheckpointError,
        r"net\.pt does not say which network it holds; name it with --model \(model=\.\.\. in Python\): small_cnn, "
        r"preact_resnet18, .* or package\.module:factory\.$",
    ),
    "unknown model": ({"model": "vgg"}, ModelError, r"^the models are small_cnn, preact_resnet18, .*, got 'vgg'\.$"),
    "other model": (
        {"model": "preact_resnet18"},
        CheckpointError,
        r"missing layer1\.0\.bn1\.weight, .*; unexpected bn1\.",
    ),
    "classes": (
        {"num_classes": 10},
        CheckpointError,
        r"linear\.weight is \(4, 32\) instead of \(10, 32\), linear\.bias",
    ),
    "pictures": (
        {"image_shape": (1, 8, 8)},
        CheckpointError,
        r"conv1\.weight is \(2, 3, 3, 3\) instead of \(2, 1, 3, 3\)",
    ),
    "size": ({"image_shape": (3, 28, 28)}, CheckpointError, r"linear\.weight is \(4, 32\) instead of \(4, 392\)"),
    "normalization": ({"normalization": "imagenet"}, InputError, r"^a normalization is cifar10, "),
    "channels": (
        {"normalization": "0.5,0.5/1,1"},
        CheckpointError,
        r"pictures of 3 channels, got a normalization of 2\.$",
    ),
}


@pytest.mark.parametrize(("arguments", "error", "message"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_wrong_words_about_a_foreign_file(
    arguments: dict[str, Any], error: type[LandscapeError], message: str, network: nn.Module, tmp_path: Path
) -> None:
    torch.save(network.state_dict(), tmp_path / "net.pt")
    with pytest.raises(error, match=message):
        load_checkpoint(tmp_path / "net.pt", **{"model": "small_cnn", "normalization": "none", **arguments})


# A model of the user's -----------------------------------------------------------------------------------------------

OWN = """
import torch
from torch import nn

class Scale(nn.Module):
    def forward(self, inputs):
        return 2 * inputs - 1

def net(num_classes=3):
    torch.rand(7)
    return nn.Sequential(Scale(), nn.Sequential(nn.Flatten(), nn.Linear(12, num_classes)))
"""


@pytest.fixture
def own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "users_checkpoint_net.py").write_text(OWN)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    return "users_checkpoint_net:net"


@pytest.mark.parametrize("prefix", ["", "module.", "module.model."])
def test_own_models_keep_names_that_look_like_prefixes(prefix: str, own_name: str, tmp_path: Path) -> None:
    network = build_model(own_name, num_classes=5)
    assert list(network.state_dict()) == ["1.1.weight", "1.1.bias"]
    torch.save(prefixed(prefix)(network.state_dict()), tmp_path / "net.pt")
    before = torch.get_rng_state()
    checkpoint = load_checkpoint(tmp_path / "net.pt", model=own_name, image_shape=(3, 2, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert_same_weights(checkpoint, network)
    assert checkpoint.model_arguments == {"num_classes": 5}
    assert not checkpoint.model.training
    assert checkpoint.model(torch.rand(2, 3, 2, 2)).shape == (2, 5)


def test_own_models_are_saved_by_name_and_need_the_users_word(own_name: str, tmp_path: Path) -> None:
    network = build_model(own_name, num_classes=5)
    path = saved(tmp_path / "n.pt", network, model_name=own_name, model_arguments={"num_classes": 5})
    with pytest.raises(CheckpointError, match=re.escape(f"add --model {own_name} (model=... in Python).") + "$"):
        load_checkpoint(path)
    checkpoint = load_checkpoint(path, model=own_name)
    assert_same_weights(checkpoint, network)
    assert checkpoint.model_name == own_name
