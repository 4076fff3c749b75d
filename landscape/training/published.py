"""The numbers of the published trainings; `presets.py` gives them their names and says what the sources mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One setting of a published training.

    Attributes:
        setting: name of a field of `TrainConfig`.
        value: its value.
        source: where it stands.
        only: part of a method's name without which it does not count, such as "awp"; None for all methods.
    """

    setting: str
    value: Any
    source: str
    only: str | None = None


Entries = tuple[Entry, ...]

Recipe = tuple[str, str, tuple[str, ...], tuple[Entries, ...]]
"""Name, title, methods, and parts, of which later ones win."""


def _entries(source: str, /, only: str | None = None, **values: Any) -> Entries:
    return tuple(Entry(name, value, source, only) for name, value in values.items())


_SGD = (
    *_entries("AWP, Rice code; AWP paper 5.1", epochs=200, batch_size=128, weight_decay=5e-4, schedule="piecewise"),
    *_entries("AWP, Rice code", attack_steps=10, seed=0),
)

_LINF = _entries("AWP, Rice code; log", norm="linf", epsilon=8 / 255, step_size=2 / 255)

_L2 = _entries(
    "AWP, Rice log (--norm l_2 --epsilon 128 --pgd-alpha 15)", norm="l2", epsilon=128 / 255, step_size=15 / 255
)

_CIFAR10 = (
    *_entries("AWP, Rice code", dataset="cifar10", model="preact_resnet18", lr=0.1),
    *_entries("AWP, Rice code: reflected borders", augmentation="crop-flip"),
    *_entries("AWP, Rice code: outside the network there", normalization="cifar10"),
)

_CIFAR100 = (
    *_entries("AWP, Rice code", dataset="cifar100", model="preact_resnet18", lr=0.1),
    *_entries("AWP, Rice code: black borders, rotation +-15 degrees; in no paper", augmentation="crop-flip-rotate"),
    *_entries("AWP, Rice code: outside the network there", normalization="cifar100"),
)

_SVHN = (
    *_entries("AWP, Rice code", dataset="svhn", model="preact_resnet18"),
    *_entries("AWP, Rice code and log; AWP paper 5.1 and RWP paper 5.1 say 0.1", lr=0.01),
    *_entries("AWP, Rice code: none; in no paper", augmentation="none"),
    *_entries("AWP, Rice code: mean and deviation 0.5", normalization="svhn"),
)

_SVHN_LINF = (
    *_entries("AWP, Rice code; log", norm="linf", epsilon=8 / 255),
    *_entries("AWP code; AWP, Rice log; the default of Rice's program is 2/255", step_size=1 / 255),
)

_TEST_20 = _entries("AWP, RWP code", eval_attack="pgd-20")

_TEST_10 = _entries("Rice code", eval_attack="pgd-10")

_AWP = _entries("AWP code and log; AWP paper 5.1 to 5.3 say 5e-3, 4.4 says 1e-2", only="awp", gamma=0.01, awp_warmup=0)

_RWP = (
    *_entries("RWP code", only="rwp", gamma=0.01, awp_warmup=0),
    *_entries("RWP code, a literal there", only="rwp", c_min=1.7),
    *_entries("RWP code; RWP paper", only="rwp", rwp_steps=10),
)

_AT_AWP = ("at-awp", "at")

_AWP_RECIPES: tuple[Recipe, ...] = (
    ("awp/cifar10-linf", "AT and AT-AWP, PreActResNet-18", _AT_AWP, (_SGD, _LINF, _CIFAR10, _TEST_20, _AWP)),
    ("awp/cifar10-l2", "AT and AT-AWP, PreActResNet-18", _AT_AWP, (_SGD, _L2, _CIFAR10, _TEST_20, _AWP)),
    ("awp/cifar100-linf", "AT and AT-AWP, PreActResNet-18", _AT_AWP, (_SGD, _LINF, _CIFAR100, _TEST_20, _AWP)),
    ("awp/cifar100-l2", "AT and AT-AWP, PreActResNet-18", _AT_AWP, (_SGD, _L2, _CIFAR100, _TEST_20, _AWP)),
    (
        "awp/svhn-linf",
        "AT and AT-AWP, PreActResNet-18",
        _AT_AWP,
        (_SGD, _SVHN_LINF, _SVHN, _TEST_20, _AWP, _entries("AWP code and log; in no paper", only="awp", awp_warmup=5)),
    ),
    (
        "awp/svhn-l2",
        "AT and AT-AWP, PreActResNet-18",
        _AT_AWP,
        (_SGD, _L2, _SVHN, _TEST_20, _AWP, _entries("AWP log; its code's default is 5", only="awp", awp_warmup=0)),
    ),
    (
        "awp/cifar10-linf-wrn34",
        "AT and AT-AWP, WideResNet-34-10",
        _AT_AWP,
        (
            _SGD, _LINF, _CIFAR10, _TEST_20,
            _entries("AWP log", model="wide_resnet34_10"),
            _entries("AWP log; AWP paper, Table 2 says 5e-3", only="awp", gamma=0.01, awp_warmup=0),
        ),
    ),
    (
        "awp/pretraining-cifar10",
        "Pre-training and Pre-training-AWP; --from names the pre-trained checkpoint",
        _AT_AWP,
        (
            _SGD, _LINF, _CIFAR10, _TEST_20,
            _entries("AWP paper; no code", epochs=50, lr=0.001),
            _entries("assumed: the paper names one rate", schedule="constant"),
            _entries("assumed: as its other methods", only="awp", gamma=5e-3, awp_warmup=0),
        ),
    ),
)  # fmt: skip

_TRADES = (
    *_entries("AWP code", epochs=200, batch_size=128, lr=0.1, weight_decay=5e-4, attack_steps=10, seed=1),
    *_entries("AWP code: 0.1 in epochs 1-99, 0.01 in 100-149, 0.001 in 150-200", schedule="piecewise-epoch"),
    *_entries("AWP code; TRADES itself has 0.031 and 0.007", norm="linf", epsilon=8 / 255, step_size=2 / 255),
    *_entries("AWP code: black borders", augmentation="crop-flip-zero"),
    *_entries("AWP code", normalization="none", beta_trades=6.0),
    *_entries("as the AWP code's AT: its TRADES measures natural accuracy alone", eval_attack="pgd-20"),
    *_entries("AWP code; the other networks of that program do not run", model="wide_resnet34_10"),
    *_entries("AWP code: perturbed from its epoch 10, counted from 1", only="awp", gamma=5e-3, awp_warmup=9),
)

_MART = (
    *_entries(
        "AWP paper 5.1; no code. MART itself: 90 or 120 epochs, drops at 75 and 90", epochs=200, schedule="piecewise"
    ),
    *_entries("AWP paper 5.1; MART itself: lr 0.01 or 0.1, decay 3.5e-3 or 7e-4", lr=0.1, weight_decay=5e-4),
    *_entries("MART code", batch_size=128, attack_steps=10, normalization="none", augmentation="crop-flip-zero"),
    *_entries("AWP paper; MART itself has 0.031 and 0.007", norm="linf", epsilon=8 / 255, step_size=2 / 255),
    *_entries("MART code for ResNet-18, 6 for WideResNet; not said for MART-AWP", mart_lambda=5.0),
    *_entries("AWP paper, Table 2", dataset="cifar10", model="wide_resnet34_10"),
    *_entries("as the AWP code's AT", eval_attack="pgd-20"),
    *_entries("AWP paper 5.1; no code", only="awp", gamma=5e-3),
    *_entries("assumed: no warm-up is named", only="awp", awp_warmup=0),
)

_RST = (
    *_entries("RWP code (RST of Carmon et al. 2019)", dataset="cifar10", model="wide_resnet28_10", lr=0.1),
    *_entries("RWP code: 200 epochs of half the labelled images, here an epoch has all of them", epochs=100),
    *_entries("RWP code: 128 labelled and 128 pseudo-labelled", batch_size=256),
    *_entries("RWP code; AWP paper 5.1 says drops at 100 and 150", schedule="cosine-epoch", nesterov=True),
    *_entries("RWP code", norm="linf", epsilon=0.031, step_size=0.007, attack_steps=10, weight_decay=5e-4),
    *_entries("RWP code: black borders", augmentation="crop-flip-zero"),
    *_entries("RWP code", normalization="none", beta_trades=6.0, seed=1),
    *_entries("RWP code: no random start there, robust after every step", eval_attack="pgd-20"),
    *_entries("RWP code", only="awp", gamma=5e-3),
    *_entries("RWP code", only="rwp", gamma=5e-3),
    *_entries("RWP code: perturbed from its epoch 10, counted from 1, after 4.5 epochs here", only="awp", awp_warmup=5),
    *_entries("RWP code: perturbed from its epoch 10, counted from 1, after 4.5 epochs here", only="rwp", awp_warmup=5),
    *_entries("RWP code, a literal there; it thresholds the loss of TRADES and does not run", only="rwp", c_min=1.7),
    *_entries("RWP code, which does not run", only="rwp", rwp_steps=10),
)

_OTHER_OBJECTIVES: tuple[Recipe, ...] = (
    (
        "trades-awp/cifar10",
        "TRADES and TRADES-AWP, WideResNet-34-10",
        ("trades-awp", "trades"),
        (_TRADES, _entries("AWP code", dataset="cifar10")),
    ),
    (
        "trades-awp/cifar100",
        "TRADES and TRADES-AWP, WideResNet-34-10",
        ("trades-awp", "trades"),
        (_TRADES, _entries("AWP code", dataset="cifar100")),
    ),
    ("mart-awp/cifar10", "MART and MART-AWP, WideResNet-34-10", ("mart-awp", "mart"), (_MART,)),
    (
        "rst/cifar10",
        "RST, RST-AWP and RST-RWP, WideResNet-28-10; --unlabelled names the images",
        ("rst", "rst-awp", "rst-rwp"),
        (_RST,),
    ),
)  # fmt: skip

_AT_RWP = ("at-rwp", "at")

_RWP_RECIPES: tuple[Recipe, ...] = (
    ("rwp/cifar10-linf", "AT and AT-RWP, PreActResNet-18", _AT_RWP, (_SGD, _LINF, _CIFAR10, _TEST_20, _RWP)),
    (
        "rwp/cifar100-linf",
        "AT and AT-RWP, PreActResNet-18",
        _AT_RWP,
        (_SGD, _LINF, _CIFAR100, _TEST_20, _RWP, _entries("RWP code (a literal there)", only="rwp", c_min=4.0)),
    ),
    (
        "rwp/svhn-linf",
        "AT and AT-RWP, PreActResNet-18",
        _AT_RWP,
        (
            _SGD, _SVHN_LINF, _SVHN, _TEST_20, _RWP,
            _entries("RWP code; RWP paper says 2.2", only="rwp", c_min=1.7),
            _entries("RWP code; in no paper", only="rwp", awp_warmup=5),
        ),
    ),
)  # fmt: skip

_RICE10 = (_SGD, _LINF, _CIFAR10, _TEST_10)

_RICE_RECIPES: tuple[Recipe, ...] = (
    ("rice/cifar10-linf", "AT, PreActResNet-18", ("at",), _RICE10),
    ("rice/cifar10-l2", "AT, PreActResNet-18", ("at",), (_SGD, _L2, _CIFAR10, _TEST_10)),
    ("rice/cifar100-linf", "AT, PreActResNet-18", ("at",), (_SGD, _LINF, _CIFAR100, _TEST_10)),
    ("rice/cifar100-l2", "AT, PreActResNet-18", ("at",), (_SGD, _L2, _CIFAR100, _TEST_10)),
    ("rice/svhn-linf", "AT, PreActResNet-18", ("at",), (_SGD, _SVHN_LINF, _SVHN, _TEST_10)),
    ("rice/svhn-l2", "AT, PreActResNet-18", ("at",), (_SGD, _L2, _SVHN, _TEST_10)),
    (
        "rice/cifar10-validation",
        "AT, best epoch chosen on 1,000 held-out images",
        ("at",),
        (*_RICE10, _entries("Rice code (--val)", validation=1000)),
    ),
    ("rice/cifar10-cosine", "AT, cosine schedule", ("at",), (*_RICE10, _entries("Rice log", schedule="cosine"))),
    (
        "rice/cifar10-cyclic",
        "AT, cyclic schedule",
        ("at",),
        (*_RICE10, _entries("Rice log; AWP appendix C.1 (the default peak is 0.1)", schedule="cyclic", lr=0.2)),
    ),
    ("rice/cifar10-l1", "AT with an L1 penalty", ("at",), (*_RICE10, _entries("Rice log; AWP appendix C.1", l1=5e-6))),
    (
        "rice/cifar10-l2-penalty",
        "AT with L2 on weights alone, in place of decay",
        ("at",),
        (*_RICE10, _entries("Rice log; AWP appendix C.1", l2=5e-3, weight_decay=0.0)),
    ),
    ("rice/cifar10-cutout", "AT with cutout", ("at",), (*_RICE10, _entries("Rice log; AWP appendix C.1", cutout=14))),
    ("rice/cifar10-mixup", "AT with mixup", ("at",), (*_RICE10, _entries("Rice log; AWP appendix C.1", mixup=1.4))),
)  # fmt: skip

_DRAFT = (
    *_entries("draft", model="resnet18", weight_decay=2e-4, epochs=100),
    *_entries("draft: drops at 75 and 90", schedule="piecewise-late"),
    *_entries("draft: K1", attack_steps=10),
    *_entries("draft", only="awp", gamma=5e-3),
    *_entries("assumed: no warm-up is named", only="awp", awp_warmup=0),
)

_DRAFT_K1 = _entries("draft: K1 = 1", attack_steps=1) + _entries(
    "assumed: one step of the whole radius", step_size=8 / 255
)

_DRAFT_RECIPES: tuple[Recipe, ...] = (
    ("awp-draft/cifar10", "AT and AT-AWP, ResNet-18, K1 = 10", _AT_AWP, (_SGD, _LINF, _CIFAR10, _TEST_20, _DRAFT)),
    (
        "awp-draft/cifar10-k1",
        "AT and AT-AWP, ResNet-18, K1 = 1",
        _AT_AWP,
        (_SGD, _LINF, _CIFAR10, _TEST_20, _DRAFT, _DRAFT_K1),
    ),
    (
        "awp-draft/mnist",
        "AT and AT-AWP, 4-layer CNN",
        _AT_AWP,
        (
            _SGD, _TEST_20, _DRAFT,
            _entries("draft", dataset="mnist", norm="linf", epsilon=0.3),
            _entries("draft: a 4-layer CNN, taken as two convolutions and two linear layers", model="mnist_cnn4"),
            _entries("assumed: not said", step_size=0.075, lr=0.1, augmentation="none", normalization="none"),
        ),
    ),
)  # fmt: skip

RECIPES: tuple[Recipe, ...] = (*_AWP_RECIPES, *_OTHER_OBJECTIVES, *_RWP_RECIPES, *_RICE_RECIPES, *_DRAFT_RECIPES)
