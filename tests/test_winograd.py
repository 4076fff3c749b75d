from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor

from landscape import winograd
from landscape.winograd import TILE, convolution, transformed_kernels, transforms, turned_transforms
from tests.convolutions import assert_any_layout, assert_little_rounding, assert_torchs_own, drawn

SHAPES = {
    "one tile": (5, 3, 4, 4, 4),
    "one row of tiles": (2, 3, 4, 4, 12),
    "several tiles, few to many": (3, 2, 7, 8, 12),
    "one channel": (1, 1, 1, 8, 8),
    "many to few": (2, 9, 2, 12, 4),
}


def through(inputs: Tensor, weight: Tensor) -> Tensor:
    return convolution(inputs, transformed_kernels(weight))


def bilinear(transform: winograd.Transforms, kernel: list[Fraction], data: list[Fraction]) -> list[Fraction]:
    """A^T [(G g) * (B^T d)] by loops, exactly."""
    evaluated = [sum(g * k for g, k in zip(row, kernel, strict=True)) for row in transforms().kernel]
    moved = [sum(b * d for b, d in zip(row, data, strict=True)) for row in transform.inputs]
    products = [e * m for e, m in zip(evaluated, moved, strict=True)]
    return [sum((a * p for a, p in zip(row, products, strict=True)), Fraction(0)) for row in transform.outputs]


@pytest.mark.parametrize("backwards", [False, True], ids=["straight", "turned"])
def test_six_products_are_the_four_correlations_exactly(backwards: bool) -> None:
    kernel = [Fraction(3), Fraction(-1, 7), Fraction(5, 2)]
    data = [Fraction(place * place - 4, place + 1) for place in range(6)]
    taps = kernel[::-1] if backwards else kernel
    expected = [sum((taps[k] * data[j + k] for k in range(3)), Fraction(0)) for j in range(TILE)]
    assert bilinear(turned_transforms() if backwards else transforms(), kernel, data) == expected


def test_points_that_are_not_closed_under_inversion_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "POINTS", tuple(Fraction(point) for point in ("0", "1", "-1", "2", "-2")))
    transforms.cache_clear()
    try:
        with pytest.raises(ValueError, match="not closed under inversion"):
            turned_transforms.__wrapped__()
    finally:
        transforms.cache_clear()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_convolution_and_both_derivatives_equal_torchs_own(shape: tuple[int, ...]) -> None:
    assert_torchs_own(through, shape, tolerance=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "NHWC"])
def test_any_layout_gives_channels_last_and_the_same_numbers(layout: torch.memory_format) -> None:
    assert_any_layout(through, drawn(4, 8, 3, 3), layout)


def test_parts_of_a_batch_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, kernels = drawn(7, 4, 8, 8), transformed_kernels(drawn(4, 4, 3, 3))
    whole = convolution(inputs, kernels)
    monkeypatch.setattr(winograd, "WORKSPACE", 3 * 4 * 36 * 4)
    torch.testing.assert_close(convolution(inputs, kernels), whole, rtol=1e-13, atol=1e-13)


def test_what_is_left_in_the_workspace_does_not_matter() -> None:
    kernels = transformed_kernels(drawn(4, 4, 3, 3))
    first = convolution(drawn(3, 4, 8, 8), kernels)
    convolution(torch.full((9, 4, 8, 8), torch.inf, dtype=torch.float64), kernels)
    assert torch.equal(convolution(drawn(3, 4, 8, 8), kernels), first)


def test_rounding_in_single_precision_is_a_few_times_that_of_the_direct_sum() -> None:
    assert_little_rounding(through)


def test_kernels_are_written_to_the_memory_that_is_given() -> None:
    weight = drawn(4, 5, 3, 3)
    out = torch.zeros(36, 5, 4, dtype=torch.float64)
    assert transformed_kernels(weight, out=out).data_ptr() == out.data_ptr()
    assert torch.equal(out, transformed_kernels(weight))


def test_a_call_in_inference_mode_leaves_nothing_behind_that_gradients_stumble_over() -> None:
    winograd._KEPT.buffers.clear()
    winograd.kronecker.cache_clear()
    inputs, kernels = drawn(2, 4, 8, 8), transformed_kernels(drawn(4, 4, 3, 3))
    with torch.inference_mode():
        first = convolution(inputs, kernels)
    again = convolution(inputs.requires_grad_(), kernels)
    again.sum().backward()  # type: ignore[no-untyped-call]  # torch's stubs lack it
    assert torch.equal(first, again.detach())
    assert torch.equal(convolution(inputs.detach(), transformed_kernels(drawn(4, 4, 3, 3))), first)
