"""Attacks by name, as users write them: `pgd-10`, `pgd-20:step=2/255,restarts=3`, `fgsm`, `fgsm-rs`, `none`."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

from landscape.attacks.pgd import FGSM, PGD, NoAttack
from landscape.errors import InputError

if TYPE_CHECKING:
    from landscape.attacks.threat import ThreatModel
    from landscape.protocols import Attack

_KNOWN = "pgd-K, fgsm, fgsm-rs or none, with settings as in pgd-20:step=2/255,restarts=3"


def parse_attack(
    text: str, threat: ThreatModel | None, *, step_size: float | None = None, num_restarts: int = 1
) -> Attack:
    """The attack that a name stands for.

    Args:
        text: the name, with settings after a colon; settings in the text win over the arguments.
        threat: the ball; may be None for `none` only.
        step_size: step of PGD; the threat model's default otherwise.
        num_restarts: random restarts of PGD.

    Raises:
        InputError: an unknown name or setting, or no threat model.
    """
    name, _, tail = text.lower().partition(":")
    settings = _settings(text, tail)
    if name == "none" and not settings:
        return NoAttack()
    if threat is None:
        raise InputError(f"the attack {text} needs a threat model; give --norm and --epsilon.")
    if match := re.fullmatch(r"pgd-(\d+)", name):
        step = settings.pop("step", step_size)
        restarts = settings.pop("restarts", num_restarts)
        _require_no_more(text, settings, "step and restarts")
        if restarts != int(restarts):
            raise InputError(f"an attack restarts a whole number of times, got {text!r}.")
        step = threat.default_step_size if step is None else step
        return PGD(threat=threat, step_size=step, num_steps=int(match[1]), num_restarts=int(restarts))
    if name in ("fgsm", "fgsm-rs"):
        # The step of FGSM is epsilon: a step size that was meant for PGD does not change it.
        _require_no_more(text, settings, "no settings")
        if num_restarts > 1:
            raise InputError(f"the attack {text} has no restarts, got {num_restarts}; use pgd-K.")
        return FGSM(threat=threat, random_start=name == "fgsm-rs")
    raise InputError(f"an attack is {_KNOWN}, got {text!r}.")


def _require_no_more(text: str, settings: dict[str, float], known: str) -> None:
    if settings:
        raise InputError(f"the attack {text!r} has no setting {', '.join(settings)}; it takes {known}.")


def _settings(text: str, tail: str) -> dict[str, float]:
    settings: dict[str, float] = {}
    for part in filter(None, tail.split(",")):
        key, _, value = part.partition("=")
        try:
            settings[key.strip()] = float(Fraction(value))
        except (ValueError, ZeroDivisionError, OverflowError) as error:
            raise InputError(f"an attack is {_KNOWN}, got {text!r}.") from error
    return settings
