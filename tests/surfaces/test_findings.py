from __future__ import annotations

import pytest
import torch

from landscape.datasets.examples import Examples
from landscape.models.noisy import inject_noise
from landscape.surfaces.compute import compute_surface
from landscape.surfaces.recipes.interpolation import Interpolation
from tests.surfaces.recipes.nets import network


@pytest.mark.parametrize("noise_draws", [1, 3], ids=["one draw", "three draws"])
def test_marked_models_are_averaged_over_draws_of_noise_as_nodes_are(noise_draws: int) -> None:
    generator = torch.Generator().manual_seed(0)
    examples = Examples(
        inputs=torch.rand(6, 1, 8, 8, generator=generator),
        labels=torch.arange(6) % 3,
        ids=torch.arange(6),
        dataset="own",
        split="all",
        num_classes=3,
    )
    here, there = (inject_noise(network(seed)) for seed in (0, 1))
    recipe = Interpolation(others=[there])
    surface = compute_surface(
        here, examples, attack=None, directions=recipe, num_directions=1, grid="0:1:2", noise_draws=noise_draws
    )
    (mark,) = surface.provenance[0]["directions"]["landmarks"]
    for quantity in ("loss", "robust-error", "natural-loss", "natural-error"):
        assert mark[quantity] == pytest.approx(surface.mean(quantity)[0, 1], rel=1e-6)
