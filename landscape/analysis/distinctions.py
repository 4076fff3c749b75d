"""What sets a surface apart from the usual one of its model, in the few words that a list has room for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from landscape.analysis.directions import NONE
from landscape.analysis.settings import batchnorm_in_short, describe_attack, printable

USUAL_START = ", 1 random start"
"""Of an attack; others are said."""

USUAL_BATCH = 128
"""Examples whose statistics are taken together."""

DIGEST_LENGTH = 6
"""Characters that tell checkpoints and files apart, of which a specification holds only the content."""


def distinctions(spec: Mapping[str, Any]) -> str:
    """Attack and objective, then whatever else is not as usual: loss, BatchNorm, directions, range, how the
    number of examples was found, seed, precision.

    Two specifications with equal words differ in model, examples and numbers of directions and nodes at most.
    """
    parts = [_attack(spec), *_loss(spec), *_batchnorm(spec), *_directions(_mapping(spec.get("directions")))]
    parts += [] if is_evaluation(spec) else _range(_mapping(spec.get("grid")))
    until_se = _mapping(spec.get("data")).get("until_se")
    parts += [] if until_se is None else [f"examples until SE {_number(until_se)}"]
    parts += [f"seed {seed}" for seed in _seeds(spec)]
    parts += [printable(precision) for precision in [spec.get("precision", "fp32")] if precision != "fp32"]
    draws = _mapping(spec.get("noise")).get("draws", 1)
    return "; ".join([*parts, *([] if draws == 1 else [f"{printable(draws)} draws of noise"])])


def is_evaluation(spec: Mapping[str, Any]) -> bool:
    """Whether nothing is moved: the model is measured at its own weights alone."""
    return _mapping(spec.get("directions")).get("kind") == NONE


def _attack(spec: Mapping[str, Any]) -> str:
    objective = spec.get("objective", "adversarial")
    if objective == "clean":
        return "no attack"
    words = describe_attack(spec).replace(USUAL_START, "")
    return words if objective == "adversarial" else f"{printable(objective)} {words}"


def _loss(spec: Mapping[str, Any]) -> list[str]:
    loss = spec.get("loss", "cross-entropy")
    if isinstance(loss, Mapping):
        return [" ".join(_number(value) for value in loss.values())]
    return [] if loss == "cross-entropy" else [printable(loss)]


def _batchnorm(spec: Mapping[str, Any]) -> list[str]:
    words = batchnorm_in_short(spec)
    size = _mapping(spec.get("batchnorm")).get("batch_size", USUAL_BATCH)
    batches = "" if size == USUAL_BATCH else f" of {printable(size)}"
    return [] if words == "frozen" else [f"BatchNorm {words}{batches}"]


def _directions(recipe: Mapping[str, Any]) -> list[str]:
    kind = printable(recipe.get("kind", "random"))
    parts = [] if kind == "random" else [_kind(kind, recipe)]
    parts += [f"norm {printable(norm)}" for norm in [recipe.get("norm", "filter")] if norm != "filter"]
    parts += [f"one-dim {printable(rule)}" for rule in [recipe.get("one_dim", "zero")] if rule != "zero"]
    parts += [f"layers {printable(layers)}" for layers in [recipe.get("layers")] if layers is not None]
    return parts + (["orthogonal"] if "orthogonal" in recipe else [])


def _kind(kind: str, recipe: Mapping[str, Any]) -> str:
    """The kind, and what tells recipes of it apart."""
    if kind == NONE:
        return "evaluation"
    if kind == "worst-case":
        return f"{kind} γ {printable(recipe.get('gamma'))} {printable(recipe.get('num_steps'))} steps"
    made_of = next((recipe[name] for name in ("towards", "path", "directions") if name in recipe), None)
    if not isinstance(made_of, list):
        return kind
    if kind == "interpolation":
        return f"towards {', '.join(printable(digest)[:DIGEST_LENGTH] for digest in made_of)}"
    return f"{kind} {printable(made_of[0])[:DIGEST_LENGTH]} ({len(made_of)})" if made_of else kind


def _range(grid: Mapping[str, Any]) -> list[str]:
    """Where the nodes lie, unless they are those of equal steps from -1 to 1, and how far they are refined."""
    refine = grid.get("refine")
    refined = [] if refine is None else [f"refined {_number(refine)}"]
    ends = {symbol: grid.get(name) for name, symbol in (("alpha", "α"), ("beta", "β"))}
    return [
        f"{symbol} {_number(nodes[0])} to {_number(nodes[-1])}"
        for symbol, nodes in ends.items()
        if isinstance(nodes, list) and nodes and (nodes[0], nodes[-1]) != (-1, 1)
    ] + refined


def _seeds(spec: Mapping[str, Any]) -> list[str]:
    """Seeds of directions, attack and noise other than 0, each once."""
    found = [_mapping(spec.get(name)).get("seed", 0) for name in ("directions", "attack", "noise", "batchnorm")]
    return list(dict.fromkeys(printable(seed) for seed in found if seed != 0))


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else printable(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
