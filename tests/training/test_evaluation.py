from __future__ import annotations

import pytest
import torch

from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.datasets.registry import load_examples
from landscape.models.noisy import NoiseName, inject_noise, set_noise
from landscape.models.registry import build_model
from landscape.training.evaluation import Evaluation

ATTACK = PGD(threat=ThreatModel(norm="linf", epsilon=0.1), step_size=0.03, num_steps=2)
TRAIN, TEST = (load_examples("digits", split=split, num_examples=40) for split in ("train", "test"))


def make_evaluation(num_examples: int | None = None, batch_size: int = 16) -> Evaluation:
    return Evaluation.prepare(ATTACK, TRAIN, TEST, num_examples=num_examples, batch_size=batch_size)


def test_numbers_are_those_of_a_plain_evaluation_in_eval_mode() -> None:
    torch.manual_seed(0)
    model = build_model("small_cnn").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    numbers = make_evaluation()(model)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    model.eval()
    for split, examples in (("train", TRAIN), ("test", TEST)):
        adversarial = ATTACK(model, examples.inputs, examples.labels, ids=examples.ids, seed=0)
        for kind, inputs in (("natural", examples.inputs), ("robust", adversarial)):
            with torch.no_grad():
                logits = model(inputs)
            loss = torch.nn.functional.cross_entropy(logits, examples.labels).item()
            accuracy = (logits.argmax(1) == examples.labels).double().mean().item()
            assert numbers[f"{split}_{kind}_loss"] == pytest.approx(loss, rel=1e-4)
            assert numbers[f"{split}_{kind}_accuracy"] == pytest.approx(accuracy, abs=1e-9)
    assert numbers["robust_gap"] == numbers["train_robust_accuracy"] - numbers["test_robust_accuracy"]


def test_numbers_of_a_noisy_model_are_means_over_draws() -> None:
    torch.manual_seed(0)
    model = inject_noise(build_model("small_cnn"), alpha=0.5).eval()
    evaluation = Evaluation.prepare(ATTACK, TRAIN, TEST, num_examples=None, batch_size=16, num_draws=3)
    numbers = evaluation(model)
    losses, accuracies = [], []
    for draw in range(3):
        set_noise(model, NoiseName(seed=0, draw=draw))
        adversarial = ATTACK(model, TEST.inputs, TEST.labels, ids=TEST.ids, seed=0)
        with torch.no_grad():
            logits = model(adversarial)
        losses.append(torch.nn.functional.cross_entropy(logits, TEST.labels).item())
        accuracies.append((logits.argmax(1) == TEST.labels).double().mean().item())
    assert len(set(losses)) == 3
    assert numbers["test_robust_loss"] == pytest.approx(sum(losses) / 3, rel=1e-4)
    assert numbers["test_robust_accuracy"] == pytest.approx(sum(accuracies) / 3, abs=1e-9)
    assert evaluation(model) == numbers


def test_the_examples_are_those_of_load_examples() -> None:
    whole = load_examples("digits", split="test")
    evaluation = Evaluation.prepare(ATTACK, whole, whole, num_examples=40, batch_size=16)
    assert torch.equal(evaluation.splits["test"].ids, TEST.ids)


def test_fewer_examples_than_asked_for_are_all_taken() -> None:
    assert len(make_evaluation(num_examples=500).splits["train"]) == 40
