"""The module behind a model that is given as a function, for the few attacks that need more than its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from landscape.errors import AttackError

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.protocols import Forward


def module_of(forward: Forward, *, attack: str) -> nn.Module:
    """The module that computes `forward`: itself, or its `module` (as of `weights.ResidentModel`).

    Raises:
        AttackError: there is none to see.
    """
    module = forward if isinstance(forward, nn.Module) else getattr(forward, "module", None)
    if not isinstance(module, nn.Module):
        raise AttackError(
            f"the attack {attack} looks into the model and was given a plain function; give it a torch.nn.Module."
        )
    return module


class Features:
    """What goes into the last linear layer of a module, as a function of the inputs.

    Raises:
        AttackError: the module has no linear layer.
    """

    def __init__(self, module: nn.Module) -> None:
        layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        if not layers:
            raise AttackError(
                "the attack feature looks at what goes into the last linear layer, and this model has none; leave it "
                "out."
            )
        self._module, self._layer = module, layers[-1]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Features (B, F) of inputs (B, C, H, W)."""
        seen: list[Tensor] = []
        hook = self._layer.register_forward_pre_hook(lambda layer, arguments: seen.append(arguments[0]))
        try:
            self._module(inputs)
        finally:
            hook.remove()
        return seen[-1].flatten(1)
