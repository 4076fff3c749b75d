"""Where and in which arithmetic tensors are computed; global switches are restored after use."""

from __future__ import annotations

import contextlib
import copy
import os
import platform
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import torch
from torch import nn

from landscape.errors import InputError

CPU_ACTIVATIONS = 256 * 2**20
"""Bytes of activations in one batch on the CPU."""

CUDA_SHARE = 0.25
"""Share of the free memory of a CUDA device for the activations of one batch."""


def find_device(name: str = "auto") -> torch.device:
    """The device that a user names: `auto` (CUDA if there is one), `cpu`, `cuda` or `cuda:N`.

    Raises:
        InputError: an unknown name, or a CUDA device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"a device is auto, cpu, cuda or cuda:N, got {name!r}.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"there is no device {name} here: {torch.cuda.device_count()} CUDA devices; use --device cpu.")
    return device


@contextlib.contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """Compute in a named precision within the block, whatever the caller's switches say, and put them back after it.

    `fp32` is IEEE single precision (TF32 off), `tf32` lets CUDA's products and convolutions use it, `bf16` is autocast.
    """
    wanted = {name: "tf32" if precision == "tf32" and "cu" in name else "ieee" for name in _switches()}
    before = {name: _switch(name) for name in wanted}
    try:
        for name, value in wanted.items():
            _set_switch(name, value)
        # Autocast would keep its first bf16 copy of a weight for the whole block, whatever happens to the weight.
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            yield
    finally:
        for name, value in before.items():
            _set_switch(name, value)


def without_autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """A block whose numbers keep their type, also within `arithmetic` of bf16."""
    if not torch.amp.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def _switches() -> tuple[str, ...]:
    """The switches of reduced precision of this torch: by operation since 2.9, by library before."""
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        return ("cuda.matmul", "cudnn.conv", "cudnn.rnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")
    return ("cuda.matmul", "cudnn")


def _switch(name: str) -> str:
    place = attrgetter(name)(torch.backends)
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        return str(place.fp32_precision)
    return "tf32" if place.allow_tf32 else "ieee"


def _set_switch(name: str, value: str) -> None:
    place = attrgetter(name)(torch.backends)
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        place.fp32_precision = value
    else:
        place.allow_tf32 = value == "tf32"


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the CPU on a device. On CUDA nobody waits; from memory that may be swapped, this process would."""
    kept = tensor.contiguous().pin_memory() if device.type == "cuda" else tensor
    return kept.to(device, non_blocking=True)


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Versions, device, threads and process, for the provenance of computed numbers."""
    import numpy as np

    import landscape

    return {
        "landscape": landscape.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "host": platform.node(),
        "pid": os.getpid(),
    }


def default_batch_size(
    model: nn.Module, example: torch.Tensor, device: torch.device, *, num_examples: int | None = None
) -> int:
    """Examples in one batch: as many as keep the activations in a part of the memory that was measured to be fast.

    Args:
        model: the model; only its layers' output sizes are looked at.
        example: (1, C, H, W) one input.
        device: where it will run.
        num_examples: how many there are in all, if that is known.

    Returns:
        A power of two from 16 to 512 on the CPU, to 4,096 on CUDA; there less, down to a half, where all batches can
        then be equal: another size would be compiled again, and other kernels be chosen for it.
    """
    sizes: list[int] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            sizes.append(output.numel() * output.element_size())

    private = copy.deepcopy(model).eval()
    for layer in private.modules():
        if not list(layer.children()):
            layer.register_forward_hook(note)
    with torch.no_grad():
        private(example.to(next((parameter.device for parameter in private.parameters()), torch.device("cpu"))))
    if device.type == "cuda":
        budget, largest = int(CUDA_SHARE * torch.cuda.mem_get_info(device)[0]), 4096
    else:
        budget, largest = CPU_ACTIVATIONS, 512
    fitting = max(1, budget // max(1, sum(sizes)))
    size = min(largest, max(16, 1 << (fitting.bit_length() - 1)))
    if device.type != "cuda" or num_examples is None or num_examples <= size:
        return size
    return next((equal for equal in range(size, size // 2, -1) if num_examples % equal == 0), size)
