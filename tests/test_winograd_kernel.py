from __future__ import annotations

import os
import shutil

import pytest
import torch
from torch import Tensor

from landscape import winograd_kernel
from landscape.winograd_kernel import BLOCK, Packed, convolution, packed_kernels
from tests.convolutions import assert_any_layout, assert_little_rounding, assert_torchs_own, drawn

pytestmark = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="the program needs a C++ compiler"
)

SHAPES = {
    "one tile": (5, 32, 32, 4, 4),
    "one row of tiles": (2, 32, 64, 4, 12),
    "one column of tiles, many to few": (2, 96, 32, 16, 4),
    "blocks of unequal size": (3, 32, 32, 12, 20),
    "a picture in several blocks": (1, 64, 96, 32, 32),
}


def through(inputs: Tensor, weight: Tensor) -> Tensor:
    return convolution(inputs, packed_kernels(weight))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_convolution_and_both_derivatives_equal_torchs_own(shape: tuple[int, ...]) -> None:
    assert_torchs_own(through, shape, tolerance=1e-11)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "NHWC"])
def test_any_layout_gives_channels_last_and_the_same_numbers(layout: torch.memory_format) -> None:
    assert_any_layout(through, drawn(32, 32, 3, 3), layout)


def test_an_example_is_the_same_whatever_else_is_in_the_batch() -> None:
    inputs, kernels = drawn(7, 32, 12, 8).float(), packed_kernels(drawn(32, 32, 3, 3).float())
    alone = torch.cat([convolution(picture, kernels) for picture in torch.split(inputs, 1)])
    assert torch.equal(convolution(inputs, kernels), alone)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    inputs, kernels = drawn(5, 32, 8, 12), packed_kernels(drawn(32, 32, 3, 3))
    expected, before = convolution(inputs, kernels), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(convolution(inputs, kernels), expected)
    finally:
        torch.set_num_threads(before)


def test_inputs_that_begin_anywhere_in_memory_are_read() -> None:
    inputs, kernels = drawn(3, 32, 8, 8).float(), packed_kernels(drawn(32, 32, 3, 3).float())
    memory = torch.empty(inputs.numel() + 1)
    shifted = memory[1:].view(3, 8, 8, 32).permute(0, 3, 1, 2).copy_(inputs)
    assert torch.equal(convolution(shifted, kernels), convolution(inputs, kernels))


def test_kernels_may_lie_in_memory_in_any_order() -> None:
    inputs, kernels = drawn(3, 64, 8, 8), packed_kernels(drawn(96, 64, 3, 3))
    scattered = [part.transpose(0, 1).contiguous().transpose(0, 1) for part in kernels]
    assert torch.equal(convolution(inputs, Packed(*scattered)), convolution(inputs, kernels))


REFUSED = {
    "longer numbers": (torch.zeros(2, 32, 8, 8, dtype=torch.float64), "torch.float32, got torch.float64"),
    "shorter numbers": (torch.zeros(2, 32, 8, 8, dtype=torch.bfloat16), "torch.float32, got torch.bfloat16"),
    "fewer channels": (torch.zeros(2, 3, 8, 8), r"\(B, 32, H, W\) .* got \(2, 3, 8, 8\)"),
    "more channels": (torch.zeros(2, 64, 8, 8), r"got \(2, 64, 8, 8\)"),
    "part of a tile": (torch.zeros(2, 32, 8, 6), "multiples of 4, got"),
    "no batch": (torch.zeros(32, 8, 8), r"got \(32, 8, 8\)"),
}


@pytest.mark.parametrize(("inputs", "message"), REFUSED.values(), ids=list(REFUSED))
def test_inputs_that_do_not_fit_the_kernels_are_refused(inputs: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convolution(inputs, packed_kernels(drawn(64, 32, 3, 3, dtype=torch.float32)))


def test_numbers_that_are_none_stay_in_their_tiles() -> None:
    inputs, kernels = drawn(1, 32, 8, 12), packed_kernels(drawn(32, 32, 3, 3))
    plain = convolution(inputs, kernels)
    inputs[0, 5, 0, 0] = torch.nan
    made = convolution(inputs, kernels)
    assert made[0, :, :4, :4].isnan().all()
    assert torch.equal(made[0, :, 4:, 4:], plain[0, :, 4:, 4:])


def test_rounding_in_single_precision_is_a_few_times_that_of_the_direct_sum() -> None:
    assert_little_rounding(through)


def test_kernels_are_written_to_the_memory_that_is_given() -> None:
    weight = drawn(64, 32, 3, 3)
    out = packed_kernels(torch.zeros_like(weight))
    made = packed_kernels(weight, out=out)
    assert [part.data_ptr() for part in made] == [part.data_ptr() for part in out]
    for part, new in zip(made, packed_kernels(weight), strict=True):
        assert torch.equal(part, new)


@pytest.mark.parametrize("num_tiles", [1, 11, 12, 13, 25, 100, 2048])
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_every_thread_gets_as_many_blocks_as_the_others(num_tiles: int, threads: int) -> None:
    block = winograd_kernel._block(num_tiles, threads)
    assert 1 <= block <= BLOCK
    per_thread = -(-num_tiles // (threads * BLOCK))
    assert -(-num_tiles // block) <= threads * per_thread


def test_torch_finds_the_operation_well_formed() -> None:
    inputs = drawn(2, 32, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    torch.library.opcheck(torch.ops.landscape.winograd_kernel, (inputs, *packed_kernels(drawn(64, 32, 3, 3)), None))
