"""Options that several commands share, spelled the same everywhere, and the parsers of their values."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any, TypeVar

import click

from landscape import names

NUM_EXAMPLES = 500
"""Examples of a surface when the user does not say how many; all, where there are fewer."""

Function = TypeVar("Function", bound=Callable[..., Any])


def was_said(name: str) -> bool:
    """Whether an option of the call in progress was given, rather than left at its default."""
    context = click.get_current_context(silent=True)
    return context is not None and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


class Number(click.ParamType):
    """A number above a bound, written as `0.03`, `1e-2` or `8/255`; `--help` names the bound."""

    def __init__(self, *, minimum: float = 0.0, inclusive: bool = False) -> None:
        self.minimum, self.inclusive = minimum, inclusive
        self.name = f"number{'>=' if inclusive else '>'}{minimum:g}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(Fraction(value))
        except (ValueError, ZeroDivisionError, OverflowError, TypeError):
            self.fail(f"{value!r} is not a number such as 0.03 or 8/255.", param, ctx)
        allowed = number >= self.minimum if self.inclusive else number > self.minimum
        if not (math.isfinite(number) and allowed):
            bound = "at least" if self.inclusive else "above"
            self.fail(f"{value} is not {bound} {self.minimum:g}.", param, ctx)
        return number


class Numbers(click.ParamType):
    """One number, or several with commas: `8/255` is a float, `0,2/255,4/255` a tuple in increasing order."""

    def __init__(self, *, minimum: float = 0.0, inclusive: bool = False) -> None:
        self.one = Number(minimum=minimum, inclusive=inclusive)
        self.name = f"{self.one.name}[,..]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | tuple[float, ...]:
        if isinstance(value, float | tuple):
            return value
        numbers = [self.one.convert(part.strip(), param, ctx) for part in str(value).split(",")]
        if len(set(numbers)) < len(numbers):
            self.fail(f"{value!r} names a number twice.", param, ctx)
        return numbers[0] if len(numbers) == 1 else tuple(sorted(numbers))


class Line(click.ParamType):
    """A line of equally spaced nodes, FROM:TO:NUM, for example `-1:1:21`."""

    name = "from:to:num"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        parts = str(value).split(":")
        try:
            start, stop, num = Fraction(parts[0]), Fraction(parts[1]), int(parts[2])
            float(start), float(stop)
        except (ValueError, ZeroDivisionError, IndexError, OverflowError):
            self.fail(f"{value!r} is not FROM:TO:NUM such as -1:1:21.", param, ctx)
        if len(parts) != 3 or num < 2 or start >= stop:
            self.fail(f"{value!r} needs FROM below TO and NUM of at least 2, such as -1:1:21.", param, ctx)
        return str(value)


class Levels(click.ParamType):
    """Contour levels: `auto`, `paper`, `log`, or increasing numbers such as `0.1,0.5,1,5`."""

    name = "auto|paper|log|a,b,.."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        if value in names.LEVELS:
            return str(value)
        try:
            levels = tuple(float(Fraction(part.strip())) for part in str(value).split(","))
        except (ValueError, ZeroDivisionError, OverflowError):
            self.fail(f"{value!r} is neither {', '.join(names.LEVELS)} nor numbers such as 0.1,0.5,1,5.", param, ctx)
        if len(levels) < 2 or any(low >= high for low, high in zip(levels, levels[1:], strict=False)):
            self.fail(f"{value!r} needs at least two increasing numbers such as 0.1,0.5,1,5.", param, ctx)
        return levels


class Count(click.ParamType):
    """A whole number of at least 1, or `all`."""

    name = "n|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value == "all":
            return "all"
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number or 'all'.", param, ctx)
        if number < 1:
            self.fail(f"{value} is below 1.", param, ctx)
        return number


class Edges(click.ParamType):
    """Edges of groups, for example `0,0.5,1`."""

    name = "edge,..,edge"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            edges = tuple(float(Fraction(part.strip())) for part in str(value).split(","))
        except (ValueError, ZeroDivisionError, OverflowError):
            self.fail(f"{value!r} is not a list of finite numbers such as 0,0.5,1.", param, ctx)
        if len(edges) < 2 or any(left >= right for left, right in pairwise(edges)):
            self.fail(f"{value!r} needs at least 2 edges, each above the one before, such as 0,0.5,1.", param, ctx)
        return edges


class Epochs(click.ParamType):
    """Epochs FROM:TO:STEP with both ends, for example `20:200:20`."""

    name = "from:to:step"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> range:
        if isinstance(value, range):
            return value
        try:
            start, stop, step = (int(part) for part in str(value).split(":"))
        except ValueError:
            self.fail(f"{value!r} is not FROM:TO:STEP such as 20:200:20.", param, ctx)
        if step < 1 or start < 0 or stop < start:
            self.fail(f"{value!r} needs FROM up to TO and STEP of at least 1, such as 20:200:20.", param, ctx)
        return range(start, stop + 1, step)


class Part(click.ParamType):
    """Part I of N, written I/N, for example `1/8`."""

    name = "i/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        try:
            number, count = (int(part) for part in str(value).split("/"))
        except ValueError:
            self.fail(f"{value!r} is not I/N such as 1/8.", param, ctx)
        if not 1 <= number <= count:
            self.fail(f"{value!r} needs I from 1 to N.", param, ctx)
        return number, count


class Arguments(click.ParamType):
    """Values by name, written `width=16` or `depth=28,widen_factor=10`."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        arguments: dict[str, Any] = {}
        for part in str(value).split(","):
            name, equals, text = (piece.strip() for piece in part.partition("="))
            if not (name.isidentifier() and equals and text) or name in arguments:
                self.fail(f"{value!r} is not NAME=VALUE,.. such as width=16.", param, ctx)
            arguments[name] = _plain(text)
        return arguments


def _plain(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def in_name(text: str) -> str:
    """A text as part of a file name; where characters were lost, four more tell it from others that lost them."""
    plain = re.sub(r"[^\w.=]+", "-", text).strip("-.")
    return plain if plain == text else "-".join(filter(None, [plain, hashlib.sha256(text.encode()).hexdigest()[:4]]))


def combined(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """One decorator for several options, listed in `--help` in the order given."""

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


foreign_options = combined(
    click.option("--model", help="Model of a foreign checkpoint: a name or package.module:factory."),
    click.option("--num-classes", type=click.IntRange(min=2), help="Classes of a foreign checkpoint's model."),
    click.option("--normalization", help="Of a foreign checkpoint: cifar10, none, or MEAN,..,MEAN/STD,..,STD."),
)


def examples_of(usual: int) -> Callable[[Function], Function]:
    """The options that say which examples; `usual` is how many there are by default."""
    return combined(
        click.option("--dataset", help="Data set: " + ", ".join(names.DATASETS) + ".  [default: the checkpoint's]"),
        click.option(
            "--data-dir",
            type=click.Path(),
            help="Folder of the data.  [default: $LANDSCAPE_DATA, else data in the cache]",
        ),
        click.option("--examples", type=Count(), help=f"How many examples, or 'all'.  [default: {usual}]"),
        click.option(
            "--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True, help="Seed of everything."
        ),
    )


example_options = examples_of(NUM_EXAMPLES)

restarts_option = click.option(
    "--restarts",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Random starts of the attack; each example counts under its worst.",
)

attack_options = combined(
    click.option("--norm", type=click.Choice(names.THREAT_NORMS), help="Norm of the attack.  [default: checkpoint's]"),
    click.option(
        "--epsilon",
        type=Numbers(inclusive=True),
        metavar="NUMBER>=0",
        help="Size of the attack on inputs in [0, 1], 8/255.  [default: checkpoint's]",
    ),
    click.option(
        "--step-size",
        type=Number(),
        help="Step of the attack, 2/255.  [default: checkpoint's; of another epsilon a quarter, l2 15/128]",
    ),
    click.option(
        "--attack",
        default="pgd-10",
        show_default=True,
        help=f"{', '.join(names.LINE_ATTACKS)}; settings after a colon, pgd-20:step=2/255.",
    ),
    restarts_option,
)

device_options = combined(
    click.option(
        "--device", default="auto", show_default=True, help="auto (CUDA where there is any), cpu, cuda or cuda:N."
    ),
    click.option(
        "--precision",
        type=click.Choice(names.PRECISIONS),
        default="fp32",
        show_default=True,
        help="Arithmetic; fp32 is without TF32.",
    ),
    click.option("--batch-size", type=click.IntRange(min=1), help="Examples in one batch.  [default: by memory]"),
    click.option(
        "--compile",
        "compiled",
        is_flag=True,
        help="Compile the model, once; on the CPU by a C++ compiler. Pays for large models, many points.",
    ),
)

cache_options = combined(
    click.option(
        "--cache-dir",
        type=click.Path(),
        help="Folder of the surfaces.  [default: $LANDSCAPE_CACHE, else ~/.cache/landscape]",
    ),
)

plane_options = combined(
    click.option(
        "--quantity", type=click.Choice(names.QUANTITIES), default="loss", show_default=True, help="What is drawn."
    ),
    click.option(
        "--levels", type=Levels(), default="auto", show_default=True, help="Contour levels; paper: 0.1 to 9.6."
    ),
)

output_options = combined(
    click.option(
        "--out", type=click.Path(), help="Figure file (.png, .pdf, .svg).  [default: <checkpoint>-<command>.png]"
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON."),
)
