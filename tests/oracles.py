"""Slow, independent truths that the fast code is compared with: closed forms and literal loops."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class LiteralTrainer:
    """Training steps written out line by line in float64, with its own SGD and its own BatchNorm bookkeeping.

    The net is conv(3x3, padding 1) - BN - ReLU - conv(3x3, stride 2, padding 1, bias) - BN - ReLU - linear; `weights`
    and `buffers` are plain tensors under torch's names (0, 1, 3, 4, 7). Nothing of `landscape` is used.
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        ours = {name: tensor.detach().clone() for name, tensor in state.items()}
        self.buffers = {name: ours.pop(name) for name in list(ours) if "running" in name or "num_batches" in name}
        self.weights = ours
        self.momentum: dict[str, Tensor] = {}

    def forward(self, weights: dict[str, Tensor], inputs: Tensor, *, count: bool, training: bool = True) -> Tensor:
        z = F.conv2d(inputs, weights["0.weight"], padding=1)
        z = F.relu(self._batchnorm(weights, z, "1", count, training))
        z = F.conv2d(z, weights["3.weight"], weights["3.bias"], stride=2, padding=1)
        z = F.relu(self._batchnorm(weights, z, "4", count, training))
        return z.reshape(len(z), -1) @ weights["7.weight"].T + weights["7.bias"]

    def _batchnorm(self, weights: dict[str, Tensor], z: Tensor, layer: str, count: bool, training: bool) -> Tensor:
        size = z.shape[0] * z.shape[2] * z.shape[3]
        mean = z.sum(dim=(0, 2, 3)) / size
        variance = ((z - mean[None, :, None, None]) ** 2).sum(dim=(0, 2, 3)) / size
        if not training:
            mean, variance = self.buffers[f"{layer}.running_mean"], self.buffers[f"{layer}.running_var"]
        elif count:
            for name, value in (("mean", mean), ("var", variance * size / (size - 1))):
                old = self.buffers[f"{layer}.running_{name}"]
                self.buffers[f"{layer}.running_{name}"] = 0.9 * old + 0.1 * value.detach()
            self.buffers[f"{layer}.num_batches_tracked"] = self.buffers[f"{layer}.num_batches_tracked"] + 1
        scaled = (z - mean[None, :, None, None]) / torch.sqrt(variance + 1e-5)[None, :, None, None]
        return weights[f"{layer}.weight"][None, :, None, None] * scaled + weights[f"{layer}.bias"][None, :, None, None]

    @staticmethod
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        total = torch.zeros((), dtype=logits.dtype)
        for row, label in zip(logits, labels.tolist(), strict=True):
            total = total + torch.log(torch.exp(row).sum()) - row[label]
        return total / len(labels)

    def attack(
        self,
        inputs: Tensor,
        labels: Tensor,
        start: Tensor,
        *,
        norm: str,
        epsilon: float,
        step_size: float,
        num_steps: int,
    ) -> Tensor:
        delta = torch.minimum(torch.maximum(start, 0 - inputs), 1 - inputs)
        for _ in range(num_steps):
            delta = delta.detach().requires_grad_()
            loss = self.loss(self.forward(self.weights, inputs + delta, count=True), labels) * len(labels)
            (gradient,) = torch.autograd.grad(loss, [delta])
            moved = delta.detach().clone()
            for i in range(len(inputs)):
                if norm == "linf":
                    moved[i] = torch.clamp(moved[i] + step_size * torch.sign(gradient[i]), -epsilon, epsilon)
                else:
                    moved[i] = moved[i] + step_size * gradient[i] / (torch.sqrt((gradient[i] ** 2).sum()) + 1e-10)
                    length = torch.sqrt((moved[i] ** 2).sum())
                    # torch.renorm, with which the reference projects, adds 1e-7 to the length.
                    moved[i] = moved[i] * (epsilon / (length + 1e-7)) if length > epsilon else moved[i]
            delta = torch.minimum(torch.maximum(moved, 0 - inputs), 1 - inputs)
        self.forward(self.weights, inputs + delta, count=True)
        return torch.clamp(inputs + delta, 0, 1).detach()


def probabilities(logits: Tensor) -> Tensor:
    """Softmax, literally."""
    return torch.exp(logits) / torch.exp(logits).sum(dim=1, keepdim=True)


def literal_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log of the label's probability, example by example."""
    p = probabilities(logits)
    return torch.stack([-torch.log(p[i, label]) for i, label in enumerate(labels.tolist())])


def literal_divergence(logits: Tensor, other: Tensor) -> Tensor:
    """sum_k p_k log(p_k / q_k), example by example, class by class."""
    p, q = probabilities(logits), probabilities(other)
    rows = []
    for i in range(len(p)):
        total = torch.zeros((), dtype=p.dtype)
        for k in range(p.shape[1]):
            total = total + p[i, k] * (torch.log(p[i, k]) - torch.log(q[i, k]))
        rows.append(total)
    return torch.stack(rows)


def literal_trades(clean: Tensor, again: Tensor, adversarial: Tensor, labels: Tensor, beta: float) -> Tensor:
    """TRADES with the two clean passes of the references; (B,)."""
    return literal_cross_entropy(clean, labels) + beta * literal_divergence(again, adversarial)


def literal_mart(clean: Tensor, adversarial: Tensor, labels: Tensor, weight: float) -> Tensor:
    """MART line by line, by sorting as the reference does; (B,)."""
    p, q = probabilities(clean), probabilities(adversarial)
    rows = []
    for i, label in enumerate(labels.tolist()):
        second, first = torch.argsort(q[i])[-2:].tolist()
        wrong = second if first == label else first
        boosted = -torch.log(q[i, label]) - torch.log(1.0001 - q[i, wrong] + 1e-12)
        divergence = torch.zeros((), dtype=p.dtype)
        for k in range(p.shape[1]):
            divergence = divergence + p[i, k] * (torch.log(p[i, k]) - torch.log(q[i, k] + 1e-12))
        rows.append(boosted + weight * divergence * (1.0000001 - p[i, label]))
    return torch.stack(rows)


class LiteralMethods(LiteralTrainer):
    """Updates of every method, written out: crafting, weight perturbation, update, in the references' order of passes.

    Attributes of the run: `objective`, one of natural, at, trades-upstream, trades-awp, rst, mart; `attack`, settings
    of `attack` or `ascend`.
    """

    def __init__(self, state: dict[str, Tensor], objective: str, attack: dict[str, Any]) -> None:
        super().__init__(state)
        self.objective = objective
        self.settings = attack
        self.inner_counts: list[int] = []

    def craft(self, weights: dict[str, Tensor], inputs: Tensor, labels: Tensor, start: Tensor | None) -> Tensor:
        if start is None:
            return inputs
        if self.objective == "at":
            kept, self.weights = self.weights, weights
            adversarial = self.attack(inputs, labels, start, **self.settings)
            self.weights = kept
            return adversarial
        return self.ascend(weights, inputs, labels, start, **self.settings)

    def ascend(
        self,
        weights: dict[str, Tensor],
        inputs: Tensor,
        labels: Tensor,
        start: Tensor,
        *,
        norm: str,
        epsilon: float,
        step_size: float,
        num_steps: int,
    ) -> Tensor:
        adversarial = inputs + start
        for _ in range(num_steps):
            seen = adversarial.detach().requires_grad_()
            logits = self.forward(weights, seen, count=False, training=False)
            if self.objective == "mart":
                loss = literal_cross_entropy(logits, labels).sum()
            else:
                clean = self.forward(weights, inputs, count=False, training=False).detach()
                loss = literal_divergence(clean, logits).sum()
            (gradient,) = torch.autograd.grad(loss, [seen])
            moved = adversarial.detach().clone()
            for i in range(len(inputs)):
                if norm == "linf":
                    moved[i] = moved[i] + step_size * torch.sign(gradient[i])
                    moved[i] = torch.minimum(torch.maximum(moved[i], inputs[i] - epsilon), inputs[i] + epsilon)
                    moved[i] = torch.clamp(moved[i], 0, 1)
                    continue
                length = torch.sqrt((gradient[i] ** 2).sum())
                if length > 0:
                    moved[i] = moved[i] + 2 * epsilon / num_steps * gradient[i] / length
                delta = torch.clamp(moved[i], 0, 1) - inputs[i]
                size = torch.sqrt((delta**2).sum())
                moved[i] = inputs[i] + (delta * (epsilon / (size + 1e-7)) if size > epsilon else delta)
            adversarial = moved
        return torch.clamp(adversarial, 0, 1).detach()

    def losses(
        self, weights: dict[str, Tensor], inputs: Tensor, adversarial: Tensor, labels: Tensor, *, count: bool
    ) -> tuple[Tensor, Tensor]:
        """Training losses and cross-entropies on x', each (B,), with the passes of the reference in their order."""

        def at(x: Tensor) -> Tensor:
            return self.forward(weights, x, count=count)

        if self.objective in ("natural", "at"):
            loss = literal_cross_entropy(at(adversarial), labels)
            return loss, loss
        if self.objective == "trades-upstream":
            clean, there, again = at(inputs), at(adversarial), at(inputs)
        elif self.objective == "trades-awp":
            there, again, clean = at(adversarial), at(inputs), at(inputs)
        elif self.objective == "rst":
            there, clean = at(adversarial), at(inputs)
            again = clean
        else:
            clean, there = at(inputs), at(adversarial)
            return literal_mart(clean, there, labels, 5.0), literal_cross_entropy(there, labels)
        return literal_trades(clean, again, there, labels, 6.0), literal_cross_entropy(there, labels)

    def gradients(
        self,
        weights: dict[str, Tensor],
        inputs: Tensor,
        adversarial: Tensor,
        labels: Tensor,
        *,
        count: bool,
        selected: Any = None,
    ) -> tuple[Tensor, dict[str, Tensor], int]:
        """Mean loss (losses not selected by `selected(training, cross_entropy)` are 0), its gradients, how many."""
        leaves = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
        training, ordinary = self.losses(leaves, inputs, adversarial, labels, count=count)
        total, number = torch.zeros((), dtype=training.dtype), 0
        for one, other in zip(training, ordinary, strict=True):
            if selected is None or selected(one.item(), other.item()):
                total, number = total + one, number + 1
        if number == 0:
            return total, {name: torch.zeros_like(w) for name, w in weights.items()}, 0
        total = total / len(training)
        return total.detach(), dict(zip(leaves, torch.autograd.grad(total, list(leaves.values())), strict=True)), number

    def run(
        self,
        inputs: Tensor,
        labels: Tensor,
        starts: Tensor | None,
        perturb: Any,
        *,
        lr: float,
        decay: float,
    ) -> Tensor:
        """One update; `perturb(self, inputs, labels, starts)` gives v by name and the final x'. The loss at w + v."""
        shift, adversarial = perturb(self, inputs, labels, starts)
        there = plus(self.weights, shift)
        loss, gradients, _ = self.gradients(there, inputs, adversarial, labels, count=True)
        for name, w in self.weights.items():
            old = self.momentum.get(name, torch.zeros_like(w))
            self.momentum[name] = 0.9 * old + gradients[name] + decay * there[name]
            self.weights[name] = w - lr * self.momentum[name]
        if self.objective == "at":
            self.forward(self.weights, inputs, count=True)
        return loss


class LiteralNoise(LiteralMethods):
    """Updates of adversarial training with parametric noise (He et al. 2019), written out; the attack is in L-inf.

    `weights` holds a scale for each of 0, 3 and 7, named as 0.alpha. `noise(number of the pass, layer, shape)` is eta.
    """

    def __init__(self, state: dict[str, Tensor], attack: dict[str, Any], *, training_attack: bool) -> None:
        super().__init__(state, "pni", attack)
        self.training_attack = training_attack
        self.passes = 0
        self.noise: Any = None

    def forward(self, weights: dict[str, Tensor], inputs: Tensor, *, count: bool, training: bool = True) -> Tensor:
        there = dict(weights)
        for layer, name in enumerate(("0", "3", "7")):
            w = weights[f"{name}.weight"]
            numbers = w.detach().reshape(-1).tolist()
            mean = sum(numbers) / len(numbers)
            sigma = math.sqrt(sum((x - mean) ** 2 for x in numbers) / (len(numbers) - 1))
            there[f"{name}.weight"] = w + weights[f"{name}.alpha"] * sigma * self.noise(self.passes, layer, w.shape)
        self.passes += 1
        return super().forward(there, inputs, count=count, training=training)

    def craft(self, weights: dict[str, Tensor], inputs: Tensor, labels: Tensor, start: Tensor | None) -> Tensor:
        assert start is not None
        epsilon, mode = self.settings["epsilon"], self.training_attack
        delta = torch.minimum(torch.maximum(start, -inputs), 1 - inputs)
        for _ in range(self.settings["num_steps"]):
            delta = delta.detach().requires_grad_()
            logits = self.forward(weights, inputs + delta, count=mode, training=mode)
            (gradient,) = torch.autograd.grad(literal_cross_entropy(logits, labels).sum(), [delta])
            moved = torch.clamp(delta.detach() + self.settings["step_size"] * torch.sign(gradient), -epsilon, epsilon)
            delta = torch.minimum(torch.maximum(moved, -inputs), 1 - inputs)
        if mode:
            self.forward(weights, inputs + delta, count=True)
        return torch.clamp(inputs + delta, 0, 1).detach()

    def run_with(
        self, noise: Any, inputs: Tensor, labels: Tensor, starts: Tensor | None, *, lr: float, decay: float
    ) -> Tensor:
        """One update: half the clean and half the adversarial loss, decay on everything but the scales."""
        self.noise, self.passes = noise, 0
        adversarial = self.craft(self.weights, inputs, labels, first_of(starts))
        leaves = {name: w.clone().requires_grad_() for name, w in self.weights.items()}
        clean = literal_cross_entropy(self.forward(leaves, inputs, count=True), labels)
        there = literal_cross_entropy(self.forward(leaves, adversarial, count=True), labels)
        loss = (clean.sum() + there.sum()) / (2 * len(labels))
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        for (name, w), gradient in zip(list(self.weights.items()), gradients, strict=True):
            old = self.momentum.get(name, torch.zeros_like(w))
            decayed = 0 if name.endswith("alpha") else decay * w
            self.momentum[name] = 0.9 * old + gradient + decayed
            self.weights[name] = w - lr * self.momentum[name]
        return loss.detach()


def plus(weights: dict[str, Tensor], shift: dict[str, Tensor]) -> dict[str, Tensor]:
    """w + v."""
    return {name: w + shift[name] if name in shift else w for name, w in weights.items()}


def length_of(tensors: list[Tensor], size: str = "l2") -> float:
    """Norm of all numbers together, one by one."""
    numbers: list[float] = [number for tensor in tensors for number in tensor.reshape(-1).tolist()]
    return sum(abs(x) for x in numbers) if size == "l1" else math.sqrt(sum(x * x for x in numbers))


def first_of(starts: Tensor | None, alternation: int = 0) -> Tensor | None:
    """The start of an alternation."""
    return None if starts is None else starts[alternation]


def literal_none(oracle: LiteralMethods, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> tuple[Any, Tensor]:
    """v = 0."""
    return {}, oracle.craft(oracle.weights, inputs, labels, first_of(starts))


def literal_awp(
    *, gamma: float, steps: int = 1, alternations: int = 1, norm: str = "layer", size: str = "l2", selected: Any = None
) -> Any:
    """Eq. 10 and 15 of AWP's paper with eta2 = gamma / (A K2)."""

    def perturb(oracle: LiteralMethods, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> tuple[Any, Tensor]:
        w = {name: weight for name, weight in oracle.weights.items() if weight.dim() > 1}
        v = {name: torch.zeros_like(weight) for name, weight in w.items()}
        adversarial = inputs
        for alternation in range(alternations):
            adversarial = oracle.craft(plus(oracle.weights, v), inputs, labels, first_of(starts, alternation))
            for _ in range(steps):
                there = plus(oracle.weights, v)
                g = oracle.gradients(there, inputs, adversarial, labels, count=False, selected=selected)[1]
                for name in w:
                    group = [name] if norm == "layer" else list(w)
                    radius = gamma * length_of([w[n] for n in group], size)
                    steepness = length_of([g[n] for n in group], size)
                    if steepness > 0:
                        v[name] = v[name] + radius / (alternations * steps) * g[name] / steepness
                for name in w:
                    group = [name] if norm == "layer" else list(w)
                    radius = gamma * length_of([w[n] for n in group], size)
                    assert length_of([v[n] for n in group], size) <= radius * (1 + 1e-9)
        return v, adversarial

    return perturb


def literal_rwp(
    *,
    gamma: float,
    c_min: float,
    steps: int,
    accumulation: str = "reference",
    closed: bool = False,
    by_objective: bool = False,
) -> Any:
    """Section 1.5 of the reference facts, with its ten steps whatever the mask is, or Algorithm 1 of RWP's paper."""

    def below(training: float, ordinary: float) -> bool:
        loss = training if by_objective else ordinary
        return loss <= c_min if closed else loss < c_min

    def perturb(oracle: LiteralMethods, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> tuple[Any, Tensor]:
        adversarial = oracle.craft(oracle.weights, inputs, labels, first_of(starts))
        w = {name: weight for name, weight in oracle.weights.items() if weight.dim() > 1}
        raw = {name: torch.zeros_like(weight) for name, weight in w.items()}
        v = dict(raw)
        counts = []
        for _ in range(steps):
            there = plus(oracle.weights, v)
            _, g, number = oracle.gradients(there, inputs, adversarial, labels, count=False, selected=below)
            counts.append(number)
            before = raw if accumulation == "reference" else v
            raw = {name: before[name] + g[name] for name in w}
            size = length_of(list(raw.values()))
            v = {name: gamma * length_of(list(w.values())) * raw[name] / (size + 1e-20) for name in w}
        oracle.inner_counts = counts
        return v, adversarial

    return perturb


def literal_random(*, gamma: float, noise: list[Tensor]) -> Any:
    """A given noise, scaled layer by layer."""

    def perturb(oracle: LiteralMethods, inputs: Tensor, labels: Tensor, starts: Tensor | None) -> tuple[Any, Tensor]:
        adversarial = oracle.craft(oracle.weights, inputs, labels, first_of(starts))
        w = {name: weight for name, weight in oracle.weights.items() if weight.dim() > 1}
        return {
            name: gamma * length_of([weight]) * n / length_of([n])
            for (name, weight), n in zip(w.items(), noise, strict=True)
        }, adversarial

    return perturb
