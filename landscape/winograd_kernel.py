"""The convolutions of `winograd` by a program that this machine's C++ compiler makes: `--compile` on the CPU.

Written as matrix products of torch, the transforms of a tile cost as much as its products and pass through the memory.
In the program a block of tiles stays in the cache of a core from its cutting to its joining. torch.compile needs the
same compiler; its own cache keeps what is compiled.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from landscape import winograd
from landscape.winograd import NUM_PRODUCTS, TILE, Matrix

SOURCE = Path(__file__).with_name("winograd_kernel.cpp")

PANEL = 32
"""Channels of a column of packed kernels; the program takes multiples of it only."""

BLOCK = 12
"""Tiles of a block: as many rows as the program multiplies at once with AVX-512 in single precision, and a multiple of
those otherwise. With more, the blocks of many channels leave the caches."""

FUNCTIONS = {torch.float32: "convolve_float", torch.float64: "convolve_double"}
"""Of the program, by the type of its numbers."""


class Packed(NamedTuple):
    """Transformed kernels as the program reads them, (36, K / 32, C, 32), and those of the gradient."""

    forth: Tensor
    back: Tensor

    @property
    def dtype(self) -> torch.dtype:
        """Of both."""
        return self.forth.dtype


@cache
def program() -> ctypes.CDLL:
    """The compiled program, made at the first call of all on this machine.

    Raises:
        Exception: there is no compiler, or it fails; compilers do so in their own ways.
    """
    from torch._inductor.codecache import CppCodeCache  # loads the whole compiler

    # Without fused multiply-adds, which torch forbids its own programs, it would take twice as long.
    make = CppCodeCache.load_async(_source(), extra_flags=("-ffp-contract=fast",))
    made: ctypes.CDLL = make()
    for name in FUNCTIONS.values():
        getattr(made, name).argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_int64] * 7
        getattr(made, name).restype = None
    return made


def packed_kernels(weight: Tensor, out: Packed | None = None) -> Packed:
    """G g G^T of kernels (K, C, 3, 3), packed, and of the turned ones of the way back; written to `out` if given.

    Args:
        weight: K and C multiples of 32.
        out: of kernels of the same shape and type.
    """
    forth, back = (None, None) if out is None else out
    return Packed(
        forth=_packed(weight.permute(2, 3, 0, 1), False, forth), back=_packed(weight.permute(2, 3, 1, 0), True, back)
    )


def convolution(inputs: Tensor, kernels: Packed) -> Tensor:
    """The 3x3 convolution of stride 1 with a border of one zero, on the CPU.

    Args:
        inputs: (B, C, H, W), H and W multiples of 4; best in channels_last.
        kernels: of `packed_kernels`; they get no gradient.

    Returns:
        (B, K, H, W) in channels_last.
    """
    # As in `winograd.convolution`.
    kept = inputs if torch.compiler.is_compiling() else None
    made: Tensor = torch.ops.landscape.winograd_kernel(inputs, *kernels, kept)
    return made


def _convolve(inputs: Tensor, forth: Tensor, back: Tensor, kept: Tensor | None) -> Tensor:
    outputs = _outputs(inputs, forth, back, kept)
    # Kept by name: the program knows their memory only by its address.
    inputs, kernels = inputs.contiguous(memory_format=torch.channels_last), forth.contiguous()
    num, num_in, height, width = inputs.shape
    num_out = outputs.shape[1]
    threads = torch.get_num_threads()
    block = _block(num * height * width // TILE**2, threads)
    workspace = inputs.new_empty(threads, NUM_PRODUCTS * block * (num_in + num_out))
    pointers = (tensor.data_ptr() for tensor in (inputs, kernels, outputs, workspace))
    convolve = getattr(program(), FUNCTIONS[inputs.dtype])
    convolve(*pointers, num, height, width, num_in, num_out, block, threads)
    return outputs


def _outputs(inputs: Tensor, forth: Tensor, back: Tensor, kept: Tensor | None) -> Tensor:
    _require_fit(inputs, forth)
    return winograd.new_outputs(inputs, forth.shape[1] * PANEL)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, forth, back, kept = inputs
    ctx.save_for_backward(forth, back, kept)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    forth, back, kept = ctx.saved_tensors
    return torch.ops.landscape.winograd_kernel(gradient, back, forth, kept), None, None, None


# As in `winograd`.
OPERATION = "landscape::winograd_kernel"
torch.library.define(OPERATION, "(Tensor inputs, Tensor forth, Tensor back, Tensor? kept) -> Tensor")
torch.library.impl(OPERATION, "CPU", _convolve)
torch.library.register_fake(OPERATION, _outputs)
torch.library.register_autograd(OPERATION, _gradients, setup_context=_keep)


def _require_fit(inputs: Tensor, forth: Tensor) -> None:
    """The program itself checks nothing: it would read and write beside its memory."""
    if forth.dtype not in FUNCTIONS or inputs.dtype != forth.dtype:
        raise ValueError(f"the program takes inputs of the type of its kernels, {forth.dtype}, got {inputs.dtype}.")
    if inputs.dim() != 4 or inputs.shape[1] != forth.shape[2] or inputs.shape[2] % TILE or inputs.shape[3] % TILE:
        raise ValueError(
            f"the program takes inputs (B, {forth.shape[2]}, H, W) with H and W multiples of {TILE}, "
            f"got {tuple(inputs.shape)}."
        )


def _block(num_tiles: int, threads: int) -> int:
    """Tiles of a block, so that each thread gets as many blocks as the others."""
    blocks_of_each = max(1, -(-num_tiles // (threads * BLOCK)))
    return max(1, -(-num_tiles // (threads * blocks_of_each)))


def _packed(weight: Tensor, turned: bool, out: Tensor | None) -> Tensor:
    """G g G^T of kernels (3, 3, K, C), as (36, K / 32, C, 32)."""
    num_out, num_in = weight.shape[2:]
    columns = weight.view(3, 3, num_out // PANEL, PANEL, num_in).transpose(3, 4)
    kernels = columns.reshape(9, num_out * num_in)
    out = weight.new_empty(NUM_PRODUCTS, num_out // PANEL, num_in, PANEL) if out is None else out
    torch.mm(winograd.kronecker("kernel", turned, weight.dtype), kernels, out=out.view(NUM_PRODUCTS, -1))
    return out


def _source() -> str:
    transforms = winograd.transforms()
    matrices = {"INPUTS": transforms.inputs, "OUTPUTS": transforms.outputs}
    return "\n".join([*(_constant(name, matrix) for name, matrix in matrices.items()), SOURCE.read_text("utf-8")])


def _constant(name: str, matrix: Matrix) -> str:
    rows = ", ".join("{" + ", ".join(repr(float(entry)) for entry in row) + "}" for row in matrix)
    return f"constexpr double {name}[{len(matrix)}][{len(matrix[0])}] = {{{rows}}};"
