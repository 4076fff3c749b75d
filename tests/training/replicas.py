"""What two processes do together in `test_process_group.py`; one process does the same as an oracle."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._C._distributed_c10d import FileStore

from landscape.datasets.registry import load_examples
from landscape.errors import DataError, Interrupted, TrainingError
from landscape.models.noisy import inject_noise
from landscape.training import process_group
from landscape.training.config import TrainConfig, effective
from landscape.training.fit import train
from landscape.training.objectives import Batch
from landscape.training.process_group import joined
from landscape.training.processes import Processes
from landscape.training.recipes import recipe_of
from landscape.training.step import Recipe, make_optimizer, update

LR, GAMMA, C_MIN, SHAPE = 0.1, 0.02, 1.5, (2, 5, 5)
SIZES = [6, 5, 6, 1, 7]
"""Of the batches: even, odd, and one that leaves nothing for the second process."""
LONG = ("at-awp", "at-rwp")
"""Cases of four times as many batches, also with BatchNorm."""
RST = {"method": "rst-awp", "labelled": 3, "unlabelled_weight": 0.3}
CASES: dict[str, dict[str, Any]] = {
    "at-awp": {"method": "at-awp"},
    "at-awp, alternating": {"method": "at-awp", "awp_alternations": 2, "awp_steps": 2},
    "at-rwp": {"method": "at-rwp", "c_min": C_MIN},
    "at-rwp, in parts": {"method": "at-rwp", "c_min": C_MIN, "accumulate": 2},
    "at-random": {"method": "at-random"},
    "at-pni": {"method": "at-pni"},
    "trades-awp": {"method": "trades-awp"},
    "rst-awp": RST,
    "rst-awp, in parts": {**RST, "accumulate": 3},
    "small losses removed": {"method": "at", "drop_below": 1.0},
    "small losses removed, in parts": {"method": "at", "drop_below": 1.0, "accumulate": 2},
}
LOPSIDED = {"second has none": [0, 1, 0, 1, 0, 2], "first has none": [1, 0, 2, 0, 1, 0], "none at all": [1, 2, 1, 2]}
"""Labels for a model that believes in class 0."""
EXAMPLES = (load_examples("digits", num_examples=22), load_examples("digits", split="test", num_examples=13))
RUN: dict[str, Any] = {
    "method": "trades-awp", "epochs": 2, "batch_size": 7, "attack_steps": 2, "eval_attack": "pgd-2",
    "eval_examples": 10, "augmentation": "crop-flip", "device": "cpu",
}  # fmt: skip


def make_model(norm: str) -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)

    def layer(channels: int) -> nn.Module:
        return nn.GroupNorm(1, channels) if norm == "group" else nn.BatchNorm2d(channels)

    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, bias=False), layer(3), nn.Softplus(),
        nn.Conv2d(3, 4, 3, stride=2, padding=1), layer(4), nn.Softplus(),
        nn.Flatten(), nn.Linear(36, 3),
    ).double()  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model.train()


def make_batch(step: int, size: int, *, weight: float | None = None) -> Batch:
    generator = torch.Generator().manual_seed(100 + step)
    starts = 0.15 * (2 * torch.rand((2, size, *SHAPE), generator=generator, dtype=torch.float64) - 1)
    inputs = torch.rand(size, *SHAPE, generator=generator, dtype=torch.float64)
    weights = None if weight is None else torch.tensor([1.0] * (size - size // 2) + [weight] * (size // 2)).double()
    return Batch(inputs=inputs, labels=torch.randint(3, (size,), generator=generator), starts=starts, weights=weights)


def make_recipe(**given: Any) -> Recipe:
    gamma: dict[str, Any] = {"gamma": GAMMA} if given["method"].endswith(("-awp", "-rwp", "-random")) else {}
    attack: dict[str, Any] = {"norm": "linf", "epsilon": 0.15, "step_size": 0.05, "attack_steps": 3}
    return recipe_of(effective(TrainConfig(**attack, **gamma, **given)))


def own_part(batch: Batch, processes: Processes) -> Batch:
    rows, borrowed = processes.part(len(batch.inputs))
    return dataclasses.replace(batch.take(rows), borrowed=borrowed)


def steps(processes: Processes, name: str, *, norm: str = "group", **given: Any) -> dict[str, Any]:
    """Weights, buffers and reported numbers after 5 or 20 updates."""
    given = CASES[name] | given
    model, recipe = make_model(norm), make_recipe(**given)
    if given["method"] == "at-pni":
        inject_noise(model)
    optimizer = make_optimizer(model, LR)
    numbers = []
    for step, size in enumerate(4 * SIZES if name in LONG else SIZES):
        batch = make_batch(step, size, weight=given.get("unlabelled_weight"))
        done = update(model, optimizer, own_part(batch, processes), recipe, epoch=0, batch=step, processes=processes)
        moved = done.perturbed
        numbers.append(torch.stack([done.loss, done.removed, moved.ratio, moved.inner_steps, moved.share]))
    return {"state": model.state_dict(), "numbers": torch.stack(numbers)}


def lopsided(processes: Processes, labels: list[int]) -> dict[str, Any]:
    """One step of RWP on a model that believes in class 0: only examples of class 0 have a loss below c_min."""
    model = make_model("group")
    with torch.no_grad():
        last = model[-1]
        assert isinstance(last, nn.Linear)
        last.bias.copy_(torch.tensor([30.0, 0.0, 0.0]))
    batch = dataclasses.replace(make_batch(0, len(labels)), labels=torch.tensor(labels))
    recipe = make_recipe(method="at-rwp", c_min=C_MIN)
    done = update(model, make_optimizer(model, LR), own_part(batch, processes), recipe, epoch=0, processes=processes)
    moved = done.perturbed
    return {"state": model.state_dict(), "numbers": torch.stack([moved.ratio, moved.inner_steps, moved.share])}


def all_steps(processes: Processes) -> dict[str, Any]:
    """Of one process, with whole batches."""
    whole: dict[str, Any] = {"accumulate": 1} if processes.size == 1 else {}
    return {
        **{name: steps(processes, name, **whole) for name in CASES},
        **{name: lopsided(processes, labels) for name, labels in LOPSIDED.items()},
    }


def halves(method: str, *, rwp_steps: int = 10) -> dict[str, Tensor]:
    """AWP and RWP with BatchNorm, written out for two replicas in one process, each with statistics of its own half."""
    replicas = [make_model("batch"), make_model("batch")]
    recipe = make_recipe(**CASES[method])
    crafting, decay = recipe.crafting, recipe.penalty.weight_decay
    momentum = [torch.zeros_like(p) for p in replicas[0].parameters()]
    for step, size in enumerate(4 * SIZES):
        whole = make_batch(step, size)
        parts = [whole.take(torch.arange(first, size, 2)) for first in (0, 1) if first < size]
        nets = replicas[: len(parts)]
        adversarial = [crafting(net, part, alternation=0) for net, part in zip(nets, parts, strict=True)]
        w = [p.detach().clone() for p in replicas[0].parameters()]

        def gradient(models: list[nn.Sequential], c_min: float) -> list[Tensor] | None:
            total = torch.zeros((), dtype=torch.float64)
            found = False
            for net, part, x in zip(models, parts, adversarial, strict=True):  # noqa: B023
                losses = nn.functional.cross_entropy(net(x), part.labels, reduction="none")
                below = losses < c_min
                found = found or bool(below.any())
                total = total + losses[below].sum() / size  # noqa: B023
            every = [p for net in models for p in net.parameters()]
            if not found:
                return None
            grads = torch.autograd.grad(total, every)
            count = len(w)  # noqa: B023
            return [torch.stack(grads[i::count]).sum(0) for i in range(count)]

        def place(values: list[Tensor], models: list[nn.Sequential]) -> None:
            with torch.no_grad():
                for net in models:
                    for p, value in zip(net.parameters(), values, strict=True):
                        p.copy_(value)

        copies = [copy.deepcopy(net) for net in nets]
        moved = [i for i, p in enumerate(w) if p.ndim > 1]
        v = [torch.zeros_like(p) for p in w]
        s = [torch.zeros_like(p) for p in w]
        for _ in range(rwp_steps if method == "at-rwp" else 1):
            g = gradient(copies, C_MIN if method == "at-rwp" else float("inf"))
            if g is None:
                break
            s = [a + b for a, b in zip(s, g, strict=True)]
            if method == "at-rwp":
                length = sum(float((s[i] ** 2).sum()) for i in moved) ** 0.5
                radius = GAMMA * sum(float((w[i] ** 2).sum()) for i in moved) ** 0.5
                v = [radius * s[i] / length if i in moved else v[i] for i in range(len(w))]
            else:
                v = [GAMMA * w[i].norm() * s[i] / s[i].norm() if i in moved else v[i] for i in range(len(w))]
            place([a + b for a, b in zip(w, v, strict=True)], copies)
        place([a + b for a, b in zip(w, v, strict=True)], nets)
        g = gradient(nets, float("inf"))
        assert g is not None
        for i in range(len(w)):
            momentum[i] = 0.9 * momentum[i] + g[i] + decay * (w[i] + v[i])
        place([w[i] - LR * momentum[i] for i in range(len(w))], replicas)
        for net, part in zip(nets, parts, strict=True):
            net(part.inputs)
        for ours, theirs in zip(replicas[1].buffers(), replicas[0].buffers(), strict=True):
            ours.copy_(theirs)
    return replicas[0].state_dict()


def stopped_and_resumed(processes: Processes, out: Path) -> None:
    """A whole run; and one in which the second process alone is asked to stop, twice, inside an epoch."""
    config = TrainConfig(**RUN)
    train(config, out / "whole", examples=EXAMPLES)
    for asked_at in (2, 3):
        answers = iter([processes.rank == 1 and batch == asked_at for batch in range(9)])
        with pytest.raises(Interrupted, match="Stopped in epoch"):
            train(config, out / "stopped", examples=EXAMPLES, should_stop=answers.__next__)
    if processes.rank == 0:
        (out / "kept.pt").write_bytes((out / "stopped" / "state.pt").read_bytes())
    train(config, out / "stopped", examples=EXAMPLES)


def mixed(out: Path) -> Path:
    """A run without BatchNorm whose examples are mixed over the whole batch; measured by all processes together."""
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(64, 10, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(10, 64, generator=generator))
    model = nn.Sequential(nn.Flatten(), linear)
    config = TrainConfig(**{**RUN, "method": "natural", "mixup": 1.0, "augmentation": "none"})
    return train(config, out / "mixed", model=model, examples=EXAMPLES)


def failing_batch(processes: Processes, out: Path) -> None:
    """The second process fails inside an epoch, while the first one waits for its part of a gradient."""

    def answer() -> bool:
        if processes.rank == 1:
            raise KeyError("unexpected")
        return False

    train(TrainConfig(**RUN), out / "failed", examples=EXAMPLES, should_stop=answer)


def infinite(processes: Processes, out: Path) -> None:
    """One example, which one process sees, is not finite."""
    broken = copy.deepcopy(EXAMPLES[0])
    broken.inputs[0] = float("nan")
    train(TrainConfig(**{**RUN, "method": "natural"}), out / "infinite", examples=(broken, EXAMPLES[1]))


def damaged(processes: Processes, out: Path) -> None:
    """Data that cannot be read by the second process."""

    def read() -> None:
        if processes.rank == 1:
            raise DataError("the file is missing; fetch it.")

    processes.each(read)


def busy(processes: Processes, out: Path) -> None:
    """A folder in which another process trains, which only the first one asks for."""

    def lock() -> None:
        raise TrainingError("another process is training here; wait for it.")

    processes.first(lock)


def other_settings(processes: Processes, out: Path) -> None:
    """Settings that do not belong to the run in the folder."""
    train(TrainConfig(**{**RUN, "epochs": 1}), out / "stopped", examples=EXAMPLES)


def silent(processes: Processes, out: Path) -> None:
    """The second process takes longer than the others wait."""
    if processes.rank == 1:
        time.sleep(2.5)
    processes.any(False)


FAILURES: dict[str, Callable[[Processes, Path], None]] = {
    "a defect of one": failing_batch,
    "not finite": infinite,
    "data of one": damaged,
    "a busy folder": busy,
    "other settings": other_settings,
    "no answer": silent,
}


def threads() -> list[str]:
    """Names of the threads of this process, where Linux tells them."""
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


def main(rank: int, out: Path) -> None:
    torch.set_num_threads(1)

    def group(name: str, seconds: float = 60.0) -> Any:
        store = FileStore(str(out / f"{name}.store"), 2)
        return joined(store, rank, 2, timeout=datetime.timedelta(seconds=seconds))

    with group("work") as processes:
        batchnorm = {f"{name}/batch": steps(processes, name, norm="batch") for name in LONG}
        torch.save(all_steps(processes) | batchnorm, out / f"{rank}.pt")
        stopped_and_resumed(processes, out)
        mixed(out)
    told = {}
    process_group._GRACE = 0.0
    for name, fail in FAILURES.items():
        try:
            with group(name, 1.0 if fail is silent else 60.0) as processes:
                fail(processes, out)
        except Exception as error:
            told[name] = (type(error).__name__, str(error))
    torch.save({**told, "threads": threads()}, out / f"told-{rank}.pt")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
