from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

import pytest
import torch
from torch import nn

from landscape.devices import arithmetic, default_batch_size, find_device, sent
from landscape.errors import InputError

CPU = torch.device("cpu")


def _new_switch() -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"


@pytest.fixture
def _switches_restored() -> object:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(lambda: None, id="nothing"),
        pytest.param(lambda: torch.set_float32_matmul_precision("medium"), id="medium"),
        pytest.param(lambda: torch.set_float32_matmul_precision("high"), id="high"),
        pytest.param(_new_switch, id="the switch of one operation"),
    ],
)
@pytest.mark.usefixtures("_switches_restored")
@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="a torch with old switches only")
def test_fp32_is_fp32_whatever_the_caller_chose_and_the_choice_comes_back(chosen: Callable[[], None]) -> None:
    chosen()

    def state() -> list[str]:
        names = ("cuda.matmul", "cudnn.conv", "mkldnn.matmul", "mkldnn.conv")
        return [str(attrgetter(f"{name}.fp32_precision")(torch.backends)) for name in names]

    before = state()
    with arithmetic("fp32", CPU):
        assert state() == ["ieee"] * 4
    assert state() == before
    with arithmetic("tf32", CPU):
        assert state() == ["tf32", "tf32", "ieee", "ieee"]
    assert state() == before
    if chosen is not _new_switch:
        torch.get_float32_matmul_precision()


def test_bf16_follows_weights_that_move_in_place() -> None:
    linear, inputs = nn.Linear(4, 2).requires_grad_(False), torch.ones(1, 4)
    with arithmetic("bf16", CPU):
        first = linear(inputs)
        linear.weight.add_(1.0)
        assert first.dtype == torch.bfloat16
        assert not torch.equal(linear(inputs), first)


def test_batch_size_follows_the_size_of_the_activations() -> None:
    small = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    large = nn.Sequential(nn.Conv2d(1, 2048, 1), nn.Conv2d(2048, 2048, 1, groups=2048), nn.Flatten(), nn.LazyLinear(2))
    assert default_batch_size(small, torch.zeros(1, 1, 4, 4), CPU) == 512
    assert 16 <= default_batch_size(large.eval(), torch.zeros(1, 1, 32, 32), CPU) < 32


@pytest.mark.parametrize(
    ("num_examples", "size"),
    [(50_000, 3125), (10_000, 2500), (4096, 4096), (500, 4096), (8192, 4096), (4099, 4096), (None, 4096)],
)
def test_batches_on_cuda_are_equal_where_that_costs_no_more_than_half_their_size(
    num_examples: int | None, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (139 * 2**30, 140 * 2**30))
    model, example = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), torch.zeros(1, 1, 4, 4)
    assert default_batch_size(model, example, torch.device("cuda"), num_examples=num_examples) == size
    assert default_batch_size(model, example, CPU, num_examples=num_examples) == 512


def test_what_is_sent_arrives_whatever_its_strides() -> None:
    assert torch.equal(sent(torch.arange(6).view(3, 2)[:, 0], CPU), torch.tensor([0, 2, 4]))


def test_devices_by_name() -> None:
    assert find_device("cpu") == CPU
    with pytest.raises(InputError, match=r"a device is auto, cpu, cuda or cuda:N, got 'mps'\."):
        find_device("mps")
    with pytest.raises(InputError, match=r"there is no device cuda:99 here"):
        find_device("cuda:99")
