from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.randomness import Stream, gaussian
from landscape.training.crafting import NoCrafting, NoiseCrafting, UniformCrafting, classification, divergence, in_mode
from landscape.training.objectives import Batch

LINF, L2 = ThreatModel(norm="linf", epsilon=0.1), ThreatModel(norm="l2", epsilon=0.5)
INPUTS = torch.rand(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0])


def make_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3)).train()


def noise(threat: ThreatModel = LINF) -> NoiseCrafting:
    return NoiseCrafting(threat=threat, step_size=0.03, num_steps=5, loss=divergence, num_alternations=2)


def test_noise_starts_belong_to_example_alternation_and_epoch() -> None:
    ids = torch.tensor([7, 3])
    starts = noise().starts(ids, (1, 3, 3), seed=5, epoch=2)
    assert starts.shape == (2, 2, 1, 3, 3)
    expected = 0.001 * gaussian(9, seed=5, stream=Stream.ATTACK_START, a=3, b=1, c=2)
    torch.testing.assert_close(starts[1, 1].flatten().double(), torch.from_numpy(expected), rtol=1e-6, atol=0)
    assert torch.equal(starts[:, :1], noise().starts(ids[:1], (1, 3, 3), seed=5, epoch=2))


@pytest.mark.parametrize("threat", [LINF, L2], ids=["linf", "l2"])
def test_examples_stay_in_the_ball_and_the_box_and_raise_the_divergence(threat: ThreatModel) -> None:
    model, crafting = make_model(), noise(threat)
    starts = crafting.starts(torch.arange(4), (1, 3, 3), seed=0, epoch=1)
    batch = Batch(inputs=INPUTS, labels=LABELS, starts=starts)
    adversarial = crafting(model, batch, alternation=1)
    delta = (adversarial - INPUTS).flatten(1)
    length = delta.abs().amax(dim=1) if threat.norm == "linf" else delta.norm(dim=1)
    assert float(length.max()) <= threat.epsilon * (1 + 1e-5)
    assert float(adversarial.min()) >= 0.0
    assert float(adversarial.max()) <= 1.0
    model.eval()
    with torch.no_grad():
        loss_at = divergence(model, INPUTS, LABELS)
        assert bool((loss_at(adversarial) > loss_at(INPUTS + starts[1])).all())


@pytest.mark.parametrize("threat", [LINF, L2], ids=["linf", "l2"])
def test_a_gradient_of_zero_gives_no_step_and_no_nan(threat: ThreatModel) -> None:
    class Constant(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return torch.zeros(len(inputs), 3) + 0.0 * inputs.flatten(1).sum(dim=1, keepdim=True)

    crafting = noise(threat)
    starts = crafting.starts(torch.arange(4), (1, 3, 3), seed=0, epoch=1)
    adversarial = crafting(Constant(), Batch(inputs=INPUTS, labels=LABELS, starts=starts), alternation=0)
    torch.testing.assert_close(adversarial, (INPUTS + starts[0]).clamp(0, 1))


def test_mixed_labels_are_attacked_by_the_mixed_loss() -> None:
    """One step along the sign of the gradient of l CE(y) + (1 - l) CE(y'), which that of CE(y) alone is not."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 3))
    labels = torch.tensor([[0.6, 0.4, 0.0], [0.0, 0.55, 0.45], [0.5, 0.0, 0.5], [0.4, 0.6, 0.0]])
    crafting = UniformCrafting(attack=PGD(threat=LINF, step_size=0.1, num_steps=1))
    batch = Batch(inputs=INPUTS, labels=labels, starts=torch.zeros(1, *INPUTS.shape))
    adversarial = crafting(model, batch, alternation=0)
    seen = INPUTS.clone().requires_grad_()
    p = model(seen).softmax(dim=1)
    (mixed,) = torch.autograd.grad(-(labels * p.log()).sum(), [seen], retain_graph=True)
    (first,) = torch.autograd.grad(-p[torch.arange(4), labels.argmax(dim=1)].log().sum(), [seen])
    assert torch.equal(adversarial, (INPUTS + 0.1 * mixed.sign()).clamp(0, 1))
    assert not torch.equal(mixed.sign(), first.sign())


@pytest.mark.parametrize("training", [True, False])
def test_modes(training: bool) -> None:
    model = make_model()
    model[1].eval()  # frozen by the user
    seen = []
    model.register_forward_pre_hook(lambda module, arguments: seen.append(module.training))
    attack = PGD(threat=LINF, step_size=0.03, num_steps=2)
    uniform = UniformCrafting(attack=attack, training_mode=training)
    starts = uniform.starts(torch.arange(4), (1, 3, 3), seed=0, epoch=1)
    uniform(model, Batch(inputs=INPUTS, labels=LABELS, starts=starts), alternation=0)
    assert seen == [True] * 3 if training else seen == [False] * 2
    noisy = NoiseCrafting(threat=LINF, step_size=0.1, num_steps=2, loss=classification, training_mode=training)
    seen.clear()
    noisy(model, Batch(inputs=INPUTS, labels=LABELS, starts=starts), alternation=0)
    assert seen == [training] * 2
    assert model.training
    assert not model[1].training


def test_the_mode_comes_back_after_a_failure() -> None:
    model = make_model()
    with pytest.raises(KeyError), in_mode(model, training=False):
        raise KeyError
    assert all(module.training for module in model.modules())


def test_weaker_attacks_have_a_smaller_radius_and_step() -> None:
    uniform = UniformCrafting(attack=PGD(threat=LINF, step_size=0.04, num_steps=2)).weaker(0.5)
    assert (uniform.attack.threat.epsilon, uniform.attack.step_size) == (0.05, 0.02)
    assert (noise().weaker(0.5).threat.epsilon, noise().weaker(0.5).step_size) == (0.05, 0.015)
    none = NoCrafting()
    assert none.weaker(0.5) is none
    assert none.starts(torch.arange(2), (1, 3, 3), seed=0, epoch=1) is None


@pytest.mark.parametrize("training_mode", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("kind", ["uniform", "noise"])
def test_no_step_asks_for_gradients_of_parameters_and_all_ask_again_afterwards(kind: str, training_mode: bool) -> None:
    asked: list[bool] = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.still = nn.Linear(9, 3), nn.Parameter(torch.ones(()), requires_grad=False)

        def forward(self, inputs: Tensor) -> Tensor:
            if inputs.requires_grad:
                asked.append(any(parameter.requires_grad for parameter in self.parameters()))
            logits: Tensor = self.linear(inputs.flatten(1)) * self.still
            return logits

    if kind == "uniform":
        attack = PGD(threat=LINF, step_size=0.03, num_steps=2)
        crafting: UniformCrafting | NoiseCrafting = UniformCrafting(attack=attack, training_mode=training_mode)
    else:
        crafting = NoiseCrafting(
            threat=LINF, step_size=0.03, num_steps=2, loss=classification, training_mode=training_mode
        )
    model = Watched().train()
    starts = crafting.starts(torch.arange(4), (1, 3, 3), seed=0, epoch=1)
    crafting(model, Batch(inputs=INPUTS, labels=LABELS, starts=starts), alternation=0)
    assert asked == [False, False]
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, True, True]
