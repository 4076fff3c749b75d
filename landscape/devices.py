"""Where and in which arithmetic tensors are computed; global switches are restored after use."""

from __future__ import annotations

import contextlib
import copy
import os
import platform
from collections.abc import Iterator
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
    """Compute in a named precision within the block: `fp32` (TF32 off), `tf32`, or `bf16` (autocast)."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    allowed = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


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


def default_batch_size(model: nn.Module, example: torch.Tensor, device: torch.device) -> int:
    """Examples in one batch: as many as keep the activations in a part of the memory that was measured to be fast.

    Args:
        model: the model; only its layers' output sizes are looked at.
        example: (1, C, H, W) one input.
        device: where it will run.

    Returns:
        A power of two from 16 to 512 on the CPU, to 4,096 on CUDA.
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
    return min(largest, max(16, 1 << (fitting.bit_length() - 1)))
