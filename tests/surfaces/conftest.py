from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.models.registry import build_model


@pytest.fixture(scope="session")
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_model("small_cnn").eval()


@pytest.fixture(scope="session")
def digits() -> Examples:
    return load_examples("digits", num_examples=12)
