"""What `torchrun` says about this process, asked without torch."""

from __future__ import annotations

import os


def is_launched() -> bool:
    """Whether `torchrun` has started this process, alone or with others."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def speaks() -> bool:
    """Whether results and failures are printed here: of several processes the first one speaks for all."""
    return not is_launched() or os.environ.get("RANK", "0") == "0"
