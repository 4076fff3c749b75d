"""3x3 convolutions with a quarter of the multiplications (Winograd 1980; Lavin and Gray 2015, arXiv 1509.09308).

A 4 x 4 tile of outputs needs a 6 x 6 tile d of inputs. With the one-dimensional identity below, for a kernel g,

    Y = A^T [ (G g G^T) * (B^T d B) ] A            (* by entries, summed over the input channels)

which takes 36 products for each pair of channels instead of 144. G, B and A are F(4, 3) of Toom and Cook: polynomials
of degree 2 and 3 are evaluated at the points 0, 5/8, -5/8, 8/5, -8/5 and infinity, multiplied there, and interpolated;
the transpose of that is a correlation. Rounding errors of one convolution are two to five times those of the direct
sum with these points, and twice that with 1 and 2. The points are closed under inversion, so a turned kernel is
evaluated at the same places in another order: the transposed convolution of the gradient uses the same transformed
kernels.
"""

from __future__ import annotations

import threading
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

TILE = 4
"""Outputs of a tile, along one axis."""

REACH = TILE + 2
"""Inputs of a tile, along one axis, and points of evaluation."""

NUM_PRODUCTS = REACH**2

WORKSPACE = 2**20
"""Entries of a buffer: 4 MB in single precision."""

MAX_BENCHES = 32
"""Shapes for which a thread keeps buffers."""

POINTS = tuple(Fraction(point) for point in ("0", "5/8", "-5/8", "8/5", "-8/5"))
"""Where polynomials are evaluated, beside infinity."""

Matrix = list[list[Fraction]]


class Transforms(NamedTuple):
    """G (6, 3), B^T (6, 6) and A^T (4, 6), exactly."""

    kernel: Matrix
    inputs: Matrix
    outputs: Matrix


@cache
def transforms() -> Transforms:
    """F(4, 3): A^T [(G g) * (B^T d)] is the correlation of d (6) with g (3)."""
    kernel, outputs = _evaluation(3), _evaluation(TILE)
    inputs = _transposed(_inverse(_evaluation(REACH)))
    # Any factor may move from a row of B^T to the same row of G; with rows of B^T of one size rounding is least.
    sizes = [max(abs(entry) for entry in row) for row in inputs]
    return Transforms(
        kernel=[[entry * size for entry in row] for row, size in zip(kernel, sizes, strict=True)],
        inputs=[[entry / size for entry in row] for row, size in zip(inputs, sizes, strict=True)],
        outputs=_transposed(outputs),
    )


@cache
def turned_transforms() -> Transforms:
    """B^T and A^T that turn the kernel around: A'^T [(G g) * (B'^T d)] is the correlation of d with g backwards.

    g backwards, evaluated at p, is p^2 times g at 1 / p, and 0 changes places with infinity. So G g is permuted and
    scaled; the same is done to A^T and B^T instead.
    """
    straight = transforms()
    turned: Matrix = [row[::-1] for row in straight.kernel]
    partners, scales = zip(*(_multiple_of(row, straight.kernel) for row in turned), strict=True)
    back = [partners.index(place) for place in range(REACH)]
    return Transforms(
        kernel=turned,
        inputs=[[scales[place] * entry for entry in straight.inputs[place]] for place in back],
        outputs=[[row[place] for place in back] for row in straight.outputs],
    )


def transformed_kernels(weight: Tensor, out: Tensor | None = None) -> Tensor:
    """G g G^T of kernels (K, C, 3, 3), as (36, C, K): one matrix for each product; written to `out` if given."""
    num_out, num_in = weight.shape[:2]
    kernels = weight.permute(2, 3, 1, 0).reshape(9, num_in * num_out)
    out = weight.new_empty(NUM_PRODUCTS, num_in, num_out) if out is None else out
    torch.mm(kronecker("kernel", False, weight.dtype), kernels, out=out.view(NUM_PRODUCTS, -1))
    return out


def convolution(inputs: Tensor, kernels: Tensor, *, turned: bool = False) -> Tensor:
    """The 3x3 convolution of stride 1 with a border of one zero, on the CPU.

    Args:
        inputs: (B, C, H, W), H and W multiples of 4; best in channels_last.
        kernels: (36, C, K) of `transformed_kernels`; they get no gradient.
        turned: whether the kernels are turned around: with `kernels.transpose(1, 2)` that is the transposed
            convolution, by which gradients go back.

    Returns:
        (B, K, H, W) in channels_last.
    """
    # A compiler that finds the inputs of a convolution kept for its gradient, as torch's own keep them, needs no mask
    # of bytes for a ReLU before it, which takes longer than all the rest of that ReLU.
    kept = inputs if torch.compiler.is_compiling() else None
    made: Tensor = torch.ops.landscape.winograd(inputs, kernels, turned, kept)
    return made


def _convolve(inputs: Tensor, kernels: Tensor, turned: bool, kept: Tensor | None) -> Tensor:
    outputs = _outputs(inputs, kernels, turned, kept)
    num_tiles = inputs.shape[2] * inputs.shape[3] // TILE**2
    # As many pictures at once as their transforms stay in the caches.
    num_parts = -(-len(inputs) * num_tiles * NUM_PRODUCTS * max(kernels.shape[1:]) // WORKSPACE)
    at_once = -(-len(inputs) // num_parts)
    given, made = (torch.split(pictures.permute(0, 2, 3, 1), at_once) for pictures in (inputs, outputs))
    for part, result in zip(given, made, strict=True):
        _KEPT.bench(tuple(part.shape), kernels.shape[2], inputs.dtype, turned).convolve(part, kernels, result)
    return outputs


def _outputs(inputs: Tensor, kernels: Tensor, turned: bool, kept: Tensor | None) -> Tensor:
    return new_outputs(inputs, kernels.shape[2])


def new_outputs(inputs: Tensor, num_out: int) -> Tensor:
    """New memory (B, K, H, W) in channels_last, for inputs (B, C, H, W) and K `num_out`."""
    num, _, height, width = inputs.shape
    shape = num, num_out, height, width
    return torch.empty(shape, dtype=inputs.dtype, device=inputs.device, memory_format=torch.channels_last)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, kernels, ctx.turned, kept = inputs
    ctx.save_for_backward(kernels, kept)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    kernels, kept = ctx.saved_tensors
    back = torch.ops.landscape.winograd(gradient, kernels.transpose(1, 2), not ctx.turned, kept)
    return back, None, None, None


# One operation for torch.compile, which cannot look into it. (`torch.library.custom_op` says the same in fewer lines,
# but loads the whole compiler at the first call.)
OPERATION = "landscape::winograd"
torch.library.define(OPERATION, "(Tensor inputs, Tensor kernels, bool turned, Tensor? kept) -> Tensor")
torch.library.impl(OPERATION, "CPU", _convolve)
torch.library.register_fake(OPERATION, _outputs)
torch.library.register_autograd(OPERATION, _gradients, setup_context=_keep)


class _Bench:
    """Buffers for pictures of one shape, and the views of them through which a convolution goes."""

    def __init__(
        self, shape: tuple[int, ...], num_out: int, buffers: tuple[Tensor, Tensor], into: Tensor, back: Tensor
    ) -> None:
        num, height, width, num_in = shape
        rows, columns = height // TILE, width // TILE
        tiles = num * rows * columns
        one, other = buffers
        self.is_one_tile = rows == columns == 1
        self.cut = _matrices(one, tiles, NUM_PRODUCTS, num_in)
        self.moved = _matrices(other, tiles, NUM_PRODUCTS, num_in)
        self.products = _matrices(one, NUM_PRODUCTS, tiles, num_out)
        self.sums = _matrices(other, tiles, TILE**2, num_out)
        if self.is_one_tile:
            # All the border of the one tile is zero, and pictures are tiles as they lie in memory.
            into = into.view(NUM_PRODUCTS, REACH, REACH)[:, 1:-1, 1:-1].reshape(NUM_PRODUCTS, TILE**2)
        else:
            bordered = one.new_zeros(num, height + 2, width + 2, num_in)
            self.inside = bordered[:, 1:-1, 1:-1]
            self.overlapping = bordered.unfold(1, REACH, TILE).unfold(2, REACH, TILE).permute(0, 1, 2, 4, 5, 3)
            self.split = self.cut.view(num, rows, columns, REACH, REACH, num_in)
            self.joined = self.sums.view(num, rows, columns, TILE, TILE, num_out).transpose(2, 3)
        self.into, self.back = into.expand(tiles, -1, -1), back.expand(tiles, -1, -1)

    def convolve(self, inputs: Tensor, kernels: Tensor, outputs: Tensor) -> None:
        """Fill outputs (b, H, W, K) from inputs (b, H, W, C)."""
        cut, sums = self.cut, self.sums
        if self.is_one_tile:
            cut, sums = inputs.reshape(len(cut), TILE**2, -1), outputs.view(sums.shape)
        else:
            self.inside.copy_(inputs)
            self.split.copy_(self.overlapping)
        torch.bmm(self.into, cut, out=self.moved)
        torch.bmm(self.moved.transpose(0, 1), kernels, out=self.products)
        torch.bmm(self.back, self.products.transpose(0, 1), out=sums)
        if not self.is_one_tile:
            outputs.view(self.joined.shape).copy_(self.joined)


class _Benches(threading.local):
    """What a thread keeps to be written again and again: new memory costs more than the sums."""

    def __init__(self) -> None:
        self.buffers: dict[torch.dtype, tuple[Tensor, Tensor]] = {}
        self.benches: dict[tuple[Any, ...], _Bench] = {}

    def bench(self, shape: tuple[int, ...], num_out: int, dtype: torch.dtype, turned: bool) -> _Bench:
        """That for pictures (b, H, W, C) and outputs of `num_out` channels."""
        place = shape, num_out, dtype, turned
        if place not in self.benches:
            with torch.inference_mode(False):  # what is kept must serve outside of that mode, too
                self.benches[place] = self._new_bench(shape, num_out, dtype, turned)
        return self.benches[place]

    def _new_bench(self, shape: tuple[int, ...], num_out: int, dtype: torch.dtype, turned: bool) -> _Bench:
        size = shape[0] * shape[1] * shape[2] // TILE**2 * NUM_PRODUCTS * max(shape[3], num_out)
        pair = self.buffers.get(dtype)
        if pair is None or len(pair[0]) < size or len(self.benches) == MAX_BENCHES:
            self.benches = {}
            pair = torch.empty(size, dtype=dtype, device="cpu"), torch.empty(size, dtype=dtype, device="cpu")
            self.buffers[dtype] = pair
        return _Bench(shape, num_out, pair, kronecker("inputs", turned, dtype), kronecker("outputs", turned, dtype))


_KEPT = _Benches()


def _matrices(buffer: Tensor, count: int, num_rows: int, num_columns: int) -> Tensor:
    return buffer[: count * num_rows * num_columns].view(count, num_rows, num_columns)


@cache
@torch.inference_mode(False)
def kronecker(which: str, turned: bool, dtype: torch.dtype) -> Tensor:
    """M (x) M of a transform M, which does both axes of a tile at once."""
    matrix: Matrix = getattr(turned_transforms() if turned else transforms(), which)
    entries = [[float(entry) for entry in row] for row in matrix]
    exact = torch.tensor(entries, dtype=torch.float64, device="cpu")
    return torch.kron(exact, exact).to(dtype)


def _evaluation(num_coefficients: int) -> Matrix:
    """Coefficients, from the constant up, to values at `POINTS` and at infinity, where only the last one counts."""
    finite = [[point**power for power in range(num_coefficients)] for point in POINTS]
    return [*finite, [Fraction(power == num_coefficients - 1) for power in range(num_coefficients)]]


def _transposed(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def _inverse(matrix: Matrix) -> Matrix:
    """By Gauss and Jordan, exactly."""
    size = len(matrix)
    rows = [[*row, *(Fraction(place == other) for other in range(size))] for place, row in enumerate(matrix)]
    for column in range(size):
        pivot = next(place for place in range(column, size) if rows[place][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [entry / rows[column][column] for entry in rows[column]]
        for place in set(range(size)) - {column}:
            factor = rows[place][column]
            rows[place] = [entry - factor * taken for entry, taken in zip(rows[place], rows[column], strict=True)]
    return [row[size:] for row in rows]


def _multiple_of(row: list[Fraction], rows: Matrix) -> tuple[int, Fraction]:
    """Which of `rows` this row is a multiple of, and by what factor."""
    for place, other in enumerate(rows):
        leading = next(entry for entry in range(len(other)) if other[entry])
        factor = row[leading] / other[leading]
        if factor and [factor * entry for entry in other] == row:
            return place, factor
    raise ValueError("the points of evaluation are not closed under inversion.")
