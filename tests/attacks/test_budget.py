"""The budget of any attack."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from landscape.attacks.budget import require_budget
from landscape.attacks.threat import ThreatModel
from landscape.errors import AttackError

INPUTS = torch.full((3, 1, 2, 2), 0.5)
LINF, L2 = ThreatModel(norm="linf", epsilon=0.1), ThreatModel(norm="l2", epsilon=0.1)


@pytest.mark.parametrize(
    ("adversarial", "threat"),
    [
        pytest.param(INPUTS + 0.1, LINF, id="on the face"),
        pytest.param(INPUTS + 0.05, L2, id="on the sphere"),
        pytest.param(INPUTS, ThreatModel(norm="linf", epsilon=0), id="epsilon 0"),
        pytest.param(INPUTS + 0.5, None, id="box alone"),
        pytest.param(INPUTS[:0], LINF, id="nobody"),
    ],
)
def test_what_is_in_the_budget_passes(adversarial: Tensor, threat: ThreatModel | None) -> None:
    require_budget(adversarial, INPUTS[: len(adversarial)], threat)


@pytest.mark.parametrize(
    ("adversarial", "threat", "message"),
    [
        pytest.param(INPUTS + 0.1001, LINF, "the attack mine must stay within linf 0.1 .* got 0.1001", id="linf"),
        pytest.param(INPUTS + 0.0501, L2, "must stay within l2 0.1 .* got 0.1002", id="l2"),
        pytest.param(INPUTS + 0.6, None, r"return inputs in \[0, 1\], got 1.1 to 1.1; clip", id="box"),
        pytest.param(INPUTS * torch.nan, LINF, r"return inputs in \[0, 1\], got nan", id="nan"),
        pytest.param(INPUTS[:, :, :1], LINF, r"given inputs of shape \(3, 1, 2, 2\) and returned", id="shape"),
    ],
)
def test_what_is_not_is_refused(adversarial: Tensor, threat: ThreatModel | None, message: str) -> None:
    with pytest.raises(AttackError, match=message):
        require_budget(adversarial, INPUTS, threat, name="mine")
