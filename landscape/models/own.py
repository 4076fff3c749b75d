"""A user's own model, `package.module:factory`: import it, call it with what it takes, and check what it returns.

This runs the user's code. It is reached only with a name that the user gave, never with one that was read from a file.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from landscape.errors import ModelError


def build_own(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Call the factory with those of `arguments` that its signature takes.

    Args:
        name: `package.module:factory`; the working folder is importable meanwhile.
        arguments: what is known, such as num_classes, in_channels, image_size.

    Raises:
        ModelError: it cannot be imported, needs another argument, fails, or does not return a module.
    """
    with _working_folder_importable():
        factory = _imported(name)
        taken = _taken(factory, arguments)
        missing = [key for key in _required(factory) if key not in taken]
        if missing:
            raise ModelError(
                f"{name} needs the argument {missing[0]!r}, which is not known here; give it a default value "
                f"(known: {', '.join(arguments) or 'nothing'})."
            )
        try:
            network = factory(**taken)
        except Exception as error:
            raise ModelError(f"{name} failed with {type(error).__name__}: {_first_line(error)}.") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"{name} should return a torch.nn.Module, it returned {type(network).__name__}.")
    return network


def arguments_taken(name: str, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the `offered` arguments that the factory's signature takes.

    Raises:
        ModelError: it cannot be imported.
    """
    with _working_folder_importable():
        return _taken(_imported(name), offered)


def _imported(name: str) -> Callable[..., Any]:
    if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", name):
        raise ModelError(f"a model of your own is written package.module:factory, got {name!r}.")
    module_name, _, path = name.partition(":")
    try:
        importlib.invalidate_caches()
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise ModelError(
            f"cannot import {module_name!r} ({type(error).__name__}: {_first_line(error)}); "
            "install it, or run in the folder that holds it."
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise ModelError(f"the module {module_name!r} has no {path!r}; name a callable in it.")
        found = getattr(found, part)
    if not callable(found):
        raise ModelError(f"{name} should be a callable that returns a torch.nn.Module, it is {type(found).__name__}.")
    factory: Callable[..., Any] = found
    return factory


@contextlib.contextmanager
def _working_folder_importable() -> Iterator[None]:
    """Let Python import from the working folder, as `python -m` does and an installed command does not."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _taken(factory: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    parameters = _signature(factory)
    if any(entry.kind is inspect.Parameter.VAR_KEYWORD for entry in parameters.values()):
        return dict(offered)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {key: value for key, value in offered.items() if key in parameters and parameters[key].kind in by_name}


def _required(factory: Callable[..., Any]) -> list[str]:
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    entries = _signature(factory).items()
    return [key for key, entry in entries if entry.default is inspect.Parameter.empty and entry.kind not in open_ended]


def _signature(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):  # some callables written in C have none
        return {}


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else "no message"
