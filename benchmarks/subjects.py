"""What the benchmarks of sweeps are about: models and examples, and the complaint that two sides differ."""

from __future__ import annotations

import torch
from torch import nn

from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import Checkpoint, load_checkpoint
from landscape.datasets.examples import Examples
from landscape.datasets.registry import dataset_info, load_examples
from landscape.errors import CheckpointError, DataError, InputError
from landscape.models.registry import build_model

SEED = 0


class Disagreement(Exception):
    """The two sides did not compute the same."""


def digits_model() -> tuple[Checkpoint | nn.Module, nn.Module, PGD, str]:
    """What a user would hand over, the model itself, the attack, and where the weights come from."""
    info = dataset_info("digits")
    try:
        checkpoint = load_checkpoint("digits-at")
    except CheckpointError:
        if info.norm is None or info.epsilon is None or info.step_size is None:
            raise
        threat, step = ThreatModel(norm=info.norm, epsilon=info.epsilon), info.step_size
        torch.manual_seed(SEED)
        attack = PGD(threat=threat, step_size=step, num_steps=10)
        model = build_model("small_cnn").eval()
        return model, model, attack, "small_cnn, random weights"
    if checkpoint.threat is None or checkpoint.step_size is None:
        raise Disagreement("digits-at does not say its threat model.")
    attack = PGD(threat=checkpoint.threat, step_size=checkpoint.step_size, num_steps=10)
    return checkpoint, checkpoint.model, attack, f"{checkpoint.model_name}, {checkpoint.name}"


def cifar_shaped(num_examples: int, data_dir: str | None, split: str = "test") -> tuple[Examples, str]:
    try:
        examples = load_examples("cifar10", split=split, num_examples=num_examples, seed=SEED, data_dir=data_dir)
        return examples, f"CIFAR-10 folder, {split} split"
    except (DataError, InputError):  # nothing there, or a part with fewer pictures
        generator = torch.Generator().manual_seed(SEED)
        examples = Examples(
            inputs=torch.rand(num_examples, 3, 32, 32, generator=generator),
            labels=torch.randint(10, (num_examples,), generator=generator),
            ids=torch.arange(num_examples),
            dataset="noise",
            split="none",
            num_classes=10,
        )
        return examples, "uniform noise 3x32x32"
