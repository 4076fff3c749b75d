"""What the cases of `on_cuda.py` share: sizes, subjects, synchronized clocks, and one long table of results."""

from __future__ import annotations

import contextlib
import gc
import resource
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from harness import Row, Timed, facts, note
from subjects import SEED, cifar_shaped
from torch import nn

from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import load_checkpoint
from landscape.datasets.examples import Examples
from landscape.devices import arithmetic
from landscape.models.registry import build_model

CUDA_DIGITS = 4
"""Significant digits of a value in the printed table; the CSV file has all."""


class OutOfTime(BaseException):
    """The budget is spent; no `Exception`, which those catch who run a model uncompiled when a compiler fails."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is computed.

    Attributes:
        width: channels of the network's first convolution.
        points_examples: n of a whole point.
        contest_examples: n of a point where the baseline runs too.
        exact_examples: n of mean losses against double precision.
        gradient_examples: n of gradients against the CPU.
        num_steps: of PGD.
        repeats: of interleaved timings.
        pretraining: steps before anything is measured, so that weights are no random draw.
        product: edge of the matrix product that gives the ceiling.
        naive_batches: the baseline takes the fastest of these.
        digits: (directions, points, examples) of the comparison with the CPU.
        epoch_seconds: how long an epoch may run before the rest of it is scaled.
    """

    width: int = 64
    points_examples: int = 50_000
    contest_examples: int = 8_192
    exact_examples: int = 1_024
    gradient_examples: int = 32
    num_steps: int = 10
    repeats: int = 3
    pretraining: int = 100
    product: int = 8_192
    naive_batches: tuple[int, ...] = (128, 512, 2_048)
    digits: tuple[int, int, int] = (10, 21, 500)
    epoch_seconds: float = 20.0


TINY = Sizes(
    width=4,
    points_examples=24,
    contest_examples=16,
    exact_examples=16,
    gradient_examples=8,
    num_steps=2,
    repeats=2,
    pretraining=2,
    product=128,
    naive_batches=(8, 16),
    digits=(1, 3, 16),
    epoch_seconds=0.5,
)


@dataclass(kw_only=True)
class Bench:
    """The device, what runs on it, and what was found; rows are `case, quantity, variant, value, unit, basis`.

    Attributes:
        device: where everything runs.
        sizes: how much.
        examples: CIFAR-10, or noise of its shape.
        about: facts for every row.
        deadline: by `time.monotonic`.
        rows: what was measured so far.
        wrong: what was not equal, in sentences.
        ceilings: measured FLOP/s of a matrix product, by precision.
    """

    device: torch.device
    sizes: Sizes
    examples: Examples
    inputs: str
    checkpoint: str | None
    about: Row
    deadline: float
    rows: list[Row] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    ceilings: dict[str, float] = field(default_factory=dict)
    _subject: tuple[nn.Module, str] | None = None

    def say(
        self, case: str, quantity: str, variant: str, value: float | str, unit: str, basis: str = "measured"
    ) -> None:
        """Keep one result."""
        shown = f"{value:.{CUDA_DIGITS}g}" if isinstance(value, float) else value
        note(f"  {quantity} [{variant}]: {shown} {unit} ({basis})")
        found = {"case": case, "quantity": quantity, "variant": variant, "value": value, "unit": unit, "basis": basis}
        self.rows.append({**found, **self.about})

    def require(self, claim: bool, sentence: str) -> None:
        """Note a sentence as wrong unless the claim holds."""
        if not claim:
            note(f"  WRONG {sentence}")
            self.wrong.append(sentence)

    @contextlib.contextmanager
    def trying(self, case: str, variant: str = "all") -> Iterator[None]:
        """Note what fails within the block (memory, a compiler) as wrong: the others still count."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            said = next(iter(str(error).strip().splitlines()), "without a word")
            self.say(case, "the rest of it", variant, "failed", "", type(error).__name__)
            self.require(False, f"{case} [{variant}] failed: {type(error).__name__}, {said}.")

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.deadline - time.monotonic()

    def timed(self, task: Callable[[], Any]) -> Timed:
        """As `harness.timed`, with the device idle before and after."""
        gc.collect()
        self.synchronize()
        before = time.perf_counter()
        result = task()
        self.synchronize()
        return Timed(time.perf_counter() - before, result)

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def forget_memory(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    @property
    def peak_memory(self) -> float:
        """Largest GiB in use since `forget_memory`; of the whole process on the CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**30
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    def attack(self, num_steps: int | None = None) -> PGD:
        """PGD of CIFAR-10: epsilon 8/255, steps of 2/255."""
        threat = ThreatModel(norm="linf", epsilon=8 / 255)
        return PGD(threat=threat, step_size=2 / 255, num_steps=num_steps or self.sizes.num_steps)

    def some(self, count: int) -> Examples:
        """The first examples, on the CPU."""
        return self.examples.take(range(min(count, len(self.examples))))

    def subject(self) -> tuple[nn.Module, str]:
        """The network, on the CPU in eval mode, and where its weights come from."""
        if self._subject is None:
            self._subject = self._loaded() if self.checkpoint else self._pretrained()
        return self._subject

    def fresh(self) -> nn.Module:
        """A network with initial weights."""
        torch.manual_seed(SEED)
        return build_model("preact_resnet18", width=self.sizes.width)

    def _loaded(self) -> tuple[nn.Module, str]:
        loaded = load_checkpoint(str(self.checkpoint))
        return loaded.model.cpu().eval(), f"{loaded.model_name}, {loaded.name}"

    def _pretrained(self) -> tuple[nn.Module, str]:
        """A few steps of plain training: losses of a random draw say little about precision."""
        model = self.fresh().to(self.device).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        inputs, labels = self.examples.inputs, self.examples.labels
        with arithmetic("fp32", self.device):
            for step in range(self.sizes.pretraining):
                rows = torch.arange(128 * step, 128 * (step + 1)) % len(inputs)
                loss = F.cross_entropy(model(inputs[rows].to(self.device)), labels[rows].to(self.device))
                optimizer.zero_grad()
                torch.autograd.backward([loss])
                optimizer.step()
        name = f"preact_resnet18 of width {self.sizes.width}, {self.sizes.pretraining} steps of natural training"
        return model.cpu().eval(), name


def make_bench(
    device: torch.device, *, tiny: bool, budget: float, data_dir: str | None, checkpoint: str | None, commit: str | None
) -> Bench:
    """A bench with nothing measured; the budget runs from now on."""
    deadline = time.monotonic() + budget
    sizes = TINY if tiny else Sizes()
    examples, inputs = cifar_shaped(sizes.points_examples, data_dir, split="train")
    about = {**_device_facts(device), **facts(threads=torch.get_num_threads())}
    return Bench(
        device=device,
        sizes=sizes,
        examples=examples,
        inputs=inputs,
        checkpoint=checkpoint,
        about=about | ({"commit": commit} if commit else {}) | {"inputs": inputs, "tiny": tiny},
        deadline=deadline,
    )


def _device_facts(device: torch.device) -> Row:
    if device.type != "cuda":
        return {"device": "cpu", "driver": "none", "cuda": "none", "cudnn": "none"}
    return {
        "device": torch.cuda.get_device_name(device),
        "driver": _driver(),
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
    }


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"
