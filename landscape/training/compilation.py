"""torch.compile for a live model: full batches run compiled, what it does not manage runs as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from torch import nn

from landscape.errors import first_line

logger = logging.getLogger(__name__)


class Compilation:
    """The calls of a live model, compiled in place; copies of the model are not.

    Attributes:
        applies: whether calls go to what is compiled. A last batch with fewer examples does not pay for graphs of its
            own: compiling each of them again takes longer than many epochs of such batches.
    """

    def __init__(self, model: nn.Module) -> None:
        """Compile at the first calls; keys of the model's state stay."""
        self.applies = True
        self._plain: Callable[..., Any] = model._call_impl
        model.compile()
        self._compiled = model._compiled_call_impl
        model._compiled_call_impl = self

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """What the model makes of them."""
        if self.applies and self._compiled is not None:
            try:
                return self._compiled(*arguments, **named)
            except Exception as error:  # compilers fail in their own ways; a fault of the model shows again below
                logger.warning("torch.compile failed, the model runs uncompiled: %s", first_line(error))
                self._compiled = None
        return self._plain(*arguments, **named)
