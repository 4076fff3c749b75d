"""Attacks by name, as users write them: `pgd-10`, `pgd-20:step=2/255,restarts=3`, `cw-100:kappa=10`, `transfer:CKPT`.

One table says which names there are, what their settings are called, and what makes the attack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from landscape.attacks.auto import STANDARD, AutoAttack
from landscape.attacks.averaged import AveragedPGD
from landscape.attacks.feature import FeatureAttack
from landscape.attacks.margin import MarginLoss
from landscape.attacks.pgd import FGSM, PGD, NoAttack
from landscape.attacks.spsa import SPSA
from landscape.attacks.transfer import Surrogate, Transfer
from landscape.errors import InputError
from landscape.names import ATTACKS

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.attacks.averaged import Redraws
    from landscape.attacks.threat import ThreatModel
    from landscape.protocols import Attack

KNOWN = f"{', '.join(ATTACKS[:-1])} or {ATTACKS[-1]}, with settings as in pgd-20:step=2/255,restarts=3"

PRESETS: Mapping[str, tuple[str, ...]] = {
    "awp": ("fgsm", "pgd-20", "pgd-100", "cw-100", "spsa", "autoattack"),
    "awp-draft": ("pgd-20:step=0.01", "pgd-100:step=epsilon/10", "feature-20:step=1/255,restarts=100"),
    "rwp": ("fgsm-rs:step=2*epsilon", "pgd-20", "pgd-100", "cw-100:kappa=10", "autoattack"),
}
"""The attacks of the papers' tables: AWP (Wu et al. 2020, Table 2), its draft, and RWP (Yu et al. 2022).

Steps that are not named here are the checkpoint's own, in the papers 2/255.
"""

TRANSFERRED = "pgd-20"
"""What is done to a surrogate if the user does not say."""


FEATURE_RESTARTS = 10
"""Of the feature attack, unless the user says: each goes towards another example."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What attacks may need beside their name.

    Attributes:
        threat: the ball; None if it is not known.
        step_size: step of those that take the checkpoint's; the threat model's default otherwise.
        num_restarts: random restarts of those that have any, unless the name says how many.
        batch_size: of attacks that work on whole batches; their own by default.
        targets: images (m, C, H, W) and labels (m,) for the feature attack.
        surrogate: loads the model that a name stands for.
        draws: a number of draws of the model's noise; None if it has none.
    """

    threat: ThreatModel | None
    step_size: float | None = None
    num_restarts: int = 1
    batch_size: int | None = None
    targets: Callable[[], tuple[Tensor, Tensor]] | None = None
    surrogate: Callable[[str], Surrogate] | None = None
    draws: Callable[[int], Redraws] | None = None


def parse_attack(
    text: str,
    threat: ThreatModel | None,
    *,
    step_size: float | None = None,
    num_restarts: int = 1,
    beside: Surroundings | None = None,
) -> Attack:
    """The attack that a name stands for.

    Args:
        text: the name, with settings after a colon; settings in the text win over the arguments.
        threat: the ball; may be None for `none` only.
        step_size: step of PGD and its relatives; the threat model's default otherwise.
        num_restarts: random restarts.
        beside: what else attacks may need, instead of the arguments before.

    Raises:
        InputError: an unknown name or setting, or no threat model.
    """
    around = beside or Surroundings(threat=threat, step_size=step_size, num_restarts=num_restarts)
    text = text.strip()
    name, _, tail = text.partition(":")
    for kind in _KINDS:
        if match := re.fullmatch(kind.pattern, name.lower()):
            if around.threat is None and kind.make is not _none:
                raise InputError(f"the attack {text} needs a threat model; give --norm and --epsilon.")
            settings = {} if kind.names_a_model else _settings(text, tail, kind, around.threat)
            return kind.make(_Asked(text=text, match=match, tail=tail, settings=settings, around=around))
    raise InputError(f"an attack is {KNOWN}, got {text!r}.")


def split_attacks(text: str) -> list[str]:
    """The names in a list with commas, presets replaced by what they stand for: `fgsm,pgd-20:step=2/255,restarts=3`.

    A part such as `restarts=3` belongs to the attack before it.
    """
    found: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if found and re.match(r"\w+\s*=", part):
            found[-1] += f",{part}"
        else:
            found += PRESETS.get(part.lower(), (part,))
    return found


def takes_restarts(text: str) -> bool:
    """Whether the number of restarts may be chosen for an attack of this name."""
    name = text.strip().lower().partition(":")[0]
    return any("restarts" in kind.takes and re.fullmatch(kind.pattern, name) for kind in _KINDS)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A name that a kind of attack recognizes, with its settings."""

    text: str
    match: re.Match[str]
    tail: str
    settings: Mapping[str, float]
    around: Surroundings

    @property
    def threat(self) -> ThreatModel:
        if self.around.threat is None:
            raise InputError(f"the attack {self.text} needs a threat model; give --norm and --epsilon.")
        return self.around.threat

    @property
    def steps(self) -> int:
        """The number in the name; the papers' 100 where it may be left out."""
        return 100 if self.match[1] is None else int(self.match[1])

    @property
    def step_size(self) -> float:
        size = self.settings.get("step", self.around.step_size)
        return self.threat.default_step_size if size is None else size

    @property
    def restarts(self) -> int:
        return self.whole("restarts", self.around.num_restarts)

    def whole(self, name: str, usual: int) -> int:
        number = self.settings.get(name, usual)
        if number != int(number):
            raise InputError(f"an attack has a whole number of {name}, got {self.text!r}.")
        return int(number)


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """Attacks of one kind: which names they have, what makes them, and what stands behind the colon.

    That is settings, or the name of another model.
    """

    pattern: str
    make: Callable[[_Asked], Attack]
    takes: Sequence[str] = ()
    names_a_model: bool = False


def _none(asked: _Asked) -> Attack:
    return NoAttack()


def _pgd(asked: _Asked) -> Attack:
    loss = MarginLoss(kappa=asked.settings.get("kappa", 0.0)) if asked.text.lower().startswith("cw") else None
    pgd = PGD(
        threat=asked.threat,
        step_size=asked.step_size,
        num_steps=asked.steps,
        num_restarts=asked.restarts,
        loss=loss,
    )
    if "draws" not in asked.settings:
        return pgd
    if asked.around.draws is None:
        raise InputError(f"the attack {asked.text} averages over noise, and this model has none; leave out draws.")
    return AveragedPGD(pgd=pgd, draws=asked.around.draws(asked.whole("draws", 1)))


def _fgsm(asked: _Asked) -> Attack:
    # The step of FGSM is epsilon: a step size that was meant for PGD does not change it.
    if asked.around.num_restarts > 1:
        raise InputError(f"the attack {asked.text} has no restarts, got {asked.around.num_restarts}; use pgd-K.")
    return FGSM(threat=asked.threat, random_start=bool(asked.match[1]), step_size=asked.settings.get("step"))


def _spsa(asked: _Asked) -> Attack:
    plain: dict[str, Any] = {name: asked.settings[name] for name in ("delta",) if name in asked.settings}
    if "lr" in asked.settings:
        plain["step_size"] = asked.settings["lr"]
    return SPSA(
        threat=asked.threat,
        num_steps=asked.steps,
        num_samples=asked.whole("samples", 256),
        num_restarts=asked.restarts,
        **plain,
    )


def _feature(asked: _Asked) -> Attack:
    if asked.around.targets is None:
        raise InputError(
            f"the attack {asked.text} goes towards other examples, which only landscape evaluate gives; take another."
        )
    steps = asked.steps
    size = asked.settings.get("step", min(1 / 255, asked.threat.epsilon))
    targets, labels = asked.around.targets()
    usual = asked.around.num_restarts if asked.around.num_restarts > 1 else FEATURE_RESTARTS
    pgd = PGD(threat=asked.threat, step_size=size, num_steps=steps, num_restarts=asked.whole("restarts", usual))
    return FeatureAttack(pgd=pgd, targets=targets, target_labels=labels)


def _auto(asked: _Asked) -> Attack:
    name = asked.match[0]
    parts = STANDARD if name == "autoattack" else (name,)
    if asked.around.num_restarts > 1:
        raise InputError(
            f"the attack {asked.text} has its own restarts, got {asked.around.num_restarts}; leave it out."
        )
    batch = {} if asked.around.batch_size is None else {"batch_size": asked.around.batch_size}
    return AutoAttack(threat=asked.threat, parts=parts, **batch)


def _transfer(asked: _Asked) -> Attack:
    if not asked.tail:
        raise InputError(f"a transfer attack names its surrogate, transfer:CKPT, got {asked.text!r}.")
    if asked.around.surrogate is None:
        raise InputError(
            f"the attack {asked.text} needs its surrogate, which only landscape evaluate loads; take another."
        )
    attack = parse_attack(asked.match[1] or TRANSFERRED, None, beside=asked.around)
    return Transfer(attack=attack, surrogate=asked.around.surrogate(asked.tail))


_KINDS = (
    _Kind(pattern="none", make=_none),
    _Kind(pattern=r"pgd-(\d+)", make=_pgd, takes=("step", "restarts", "draws")),
    _Kind(pattern=r"cw-(\d+)", make=_pgd, takes=("step", "restarts", "draws", "kappa")),
    _Kind(pattern="fgsm()", make=_fgsm),
    _Kind(pattern="fgsm(-rs)", make=_fgsm, takes=("step",)),
    _Kind(pattern=r"spsa(?:-(\d+))?", make=_spsa, takes=("lr", "delta", "samples", "restarts")),
    _Kind(pattern=r"feature(?:-(\d+))?", make=_feature, takes=("step", "restarts")),
    _Kind(pattern="|".join(("autoattack", *STANDARD)), make=_auto),
    _Kind(pattern=r"transfer(?:-(.+))?", make=_transfer, names_a_model=True),
)


def _settings(text: str, tail: str, kind: _Kind, threat: ThreatModel | None) -> dict[str, float]:
    settings: dict[str, float] = {}
    for part in filter(None, tail.split(",")):
        key, _, value = part.partition("=")
        settings[key.strip().lower()] = _number(text, value.strip().lower(), threat)
    if unknown := [key for key in settings if key not in kind.takes]:
        known = " and ".join(kind.takes) or "no settings"
        raise InputError(f"the attack {text!r} has no setting {', '.join(unknown)}; it takes {known}.")
    return settings


def _number(text: str, value: str, threat: ThreatModel | None) -> float:
    """A number, a fraction, or a multiple of epsilon: `0.01`, `2/255`, `epsilon/10`, `2*epsilon`."""
    multiple = re.fullmatch(r"(?:([\d.]+)\*)?epsilon(?:/([\d.]+))?", value)
    try:
        if multiple is None:
            return float(Fraction(value))
        factor, divisor = float(Fraction(multiple[1] or 1)), float(Fraction(multiple[2] or 1))
        return factor * (0.0 if threat is None else threat.epsilon) / divisor
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise InputError(f"an attack is {KNOWN}, got {text!r}.") from error
