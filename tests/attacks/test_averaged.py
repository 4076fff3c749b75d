"""PGD averaged over draws of noise."""

from __future__ import annotations

import torch

from landscape.attacks.averaged import AveragedPGD
from landscape.attacks.pgd import PGD, input_gradient
from landscape.attacks.threat import ThreatModel
from landscape.models.noisy import FIRST_BESIDE, NoiseDraws, NoiseName, NoisyLayer, inject_noise, set_noise
from tests.attacks.stages import examples_for, small_model

SHAPE = (1, 3, 3)
THREAT = ThreatModel(norm="l2", epsilon=0.5)


def test_a_step_goes_along_the_mean_gradient_of_fresh_draws_against_a_loop() -> None:
    model, (inputs, labels) = inject_noise(small_model(SHAPE)), examples_for(SHAPE)
    set_noise(model, NoiseName(seed=4, draw=1))
    pgd = PGD(threat=THREAT, step_size=0.1, num_steps=2, random_start=False)
    attack = AveragedPGD(pgd=pgd, draws=NoiseDraws(seed=7, count=3))
    (ours,) = attack.restarts(model, inputs, labels, None)
    assert all(layer.noise == NoiseName(seed=4, draw=1) for layer in model.modules() if isinstance(layer, NoisyLayer))
    delta = torch.zeros_like(inputs)
    for step in range(2):
        total = torch.zeros_like(inputs)
        for draw in range(3):
            set_noise(model, NoiseName(seed=7, draw=FIRST_BESIDE + 3 * step + draw))
            total += input_gradient(model, inputs + delta, labels) / 3
        delta = THREAT.step(delta, total, 0.1).clamp(-inputs, 1 - inputs)
    torch.testing.assert_close(ours, (inputs + delta).clamp(0, 1), rtol=0, atol=1e-6)


def test_without_noise_it_is_pgd() -> None:
    model, (inputs, labels) = small_model(SHAPE), examples_for(SHAPE)
    pgd = PGD(threat=THREAT, step_size=0.1, num_steps=3)
    starts = pgd.starts(torch.arange(6), SHAPE, seed=0)
    (plain,) = pgd.restarts(model, inputs, labels, starts)
    (averaged,) = AveragedPGD(pgd=pgd, draws=NoiseDraws(count=4)).restarts(model, inputs, labels, starts)
    assert torch.equal(plain, averaged)


def test_settings_name_the_draws() -> None:
    attack = AveragedPGD(pgd=PGD(threat=THREAT, step_size=0.1, num_steps=3), draws=NoiseDraws(seed=1, count=4))
    assert attack.settings()["averaged_over"] == {"kind": "pni-w", "seed": 1, "draws": 4}
