"""Published settings by name, each number with the place where it stands. Reads no torch.

Sources: "AWP" is Wu et al. (2020), "draft" its earlier draft, "RWP" is Yu et al. (2022), "Rice" is Rice et al. (2020),
"MART" and "TRADES" are those papers' own programs; "code" is the default of the published program, "log" a published
training log, "paper" and "appendix" the text. Where these disagree the source says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from landscape.errors import InputError
from landscape.training.published import RECIPES, Entry, Recipe


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Published settings of a training, for the methods that they were published for.

    Attributes:
        name: source, then data set and variant.
        title: what it is, in a line.
        methods: which methods it is for; the first is meant where none is named.
        entries: the settings; those of a weight perturbation count for methods that have it only.
    """

    name: str
    title: str
    methods: tuple[str, ...]
    entries: tuple[Entry, ...]

    def entries_for(self, method: str | None = None) -> tuple[Entry, ...]:
        """The entries that count for a method, its own name first; a later entry of one setting wins.

        Raises:
            InputError: the preset is not published for the method.
        """
        method = self.methods[0] if method is None else method
        if method not in self.methods:
            raise InputError(
                f"the preset {self.name} is published for {', '.join(self.methods)}, got {method}; "
                "take one of these, or name the settings one by one."
            )
        parts = method.split("-")
        counting = [entry for entry in self.entries if entry.only is None or entry.only in parts]
        named = Entry("method", method, "")
        return tuple({entry.setting: entry for entry in [named, *counting]}.values())

    def settings(self, method: str | None = None) -> dict[str, Any]:
        """The settings of a `TrainConfig`, by name."""
        return {entry.setting: entry.value for entry in self.entries_for(method)}


def find_preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        InputError: there is none; the message names them.
    """
    if name not in PRESETS:
        raise InputError(f"a preset is one of {', '.join(PRESETS)}, got {name!r}.")
    return PRESETS[name]


def written(entry: Entry) -> str:
    """The value as the sources write it: sizes of attacks in 255ths where they are some."""
    value = entry.value
    if isinstance(value, bool):
        return str(value).lower()
    if entry.setting in ("epsilon", "step_size") and round(255 * value) / 255 == value:
        return f"{round(255 * value)}/255"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _table(recipes: Iterable[Recipe]) -> Mapping[str, Preset]:
    return {
        name: Preset(name=name, title=title, methods=methods, entries=tuple(entry for part in parts for entry in part))
        for name, title, methods, parts in recipes
    }


PRESETS: Mapping[str, Preset] = _table(RECIPES)
"""In the order of `landscape train --list-presets`."""
