"""The settings of a surface in words, read from its spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from landscape.analysis.directions import NONE, RANDOM, TOWARDS, describe_findings, describe_kind, kind_of, symbol_of
from landscape.analysis.loss_words import loss_words
from landscape.analysis.pairing import attack_seed
from landscape.analysis.warm_starts import describe_warm_starts
from landscape.surfaces.surface import MISSING

if TYPE_CHECKING:
    from landscape.surfaces.surface import Surface

NORMALIZATIONS = {
    "filter": "filter-normalized",
    "layer": "layer-normalized",
    "model": "normalized as a whole",
    "none": "not normalized",
}

ONE_DIM = {
    "zero": "one-dimensional parameters not moved",
    "copy": "one-dimensional parameters moved along themselves",
    "element": "one-dimensional parameters moved by their own size",
}

OBJECTIVES = {
    "adversarial": "attacked anew at every α",
    "fixed": "adversarial examples made once, at α = 0",
    "clean": "clean examples only",
}

BATCHNORM = {
    ("reestimate", "clean"): "statistics re-estimated at every point from clean examples",
    ("reestimate", "adversarial"): "statistics re-estimated at every point from adversarial examples made there",
    ("batch", ""): "statistics of each batch itself",
}

PLANE_OBJECTIVES = {
    "adversarial": "attacked anew at every (α, β)",
    "fixed": "adversarial examples made once, at the centre",
}
"""What the words for lines do not say well."""

ORTHOGONAL = {
    "filter": "the second orthogonal to the first in every filter",
    "model": "the second orthogonal to the first",
}

LARGEST_SIZE = 1e6
"""Beyond it a size is no size of pictures, and is shown as it is written."""

LARGEST_COSINE = 1 + 1e-9
"""With room for rounding; more is no cosine."""

THREATS = {"linf": "L∞", "l2": "L2"}


def describe_settings(surface: Surface) -> dict[str, str]:
    """Every setting that determines the numbers, in words, by topic."""
    spec = surface.spec
    recipe = _mapping(spec.get("directions"))
    described = {
        "Attack": f"{describe_attack(spec)}; {describe_objective(surface)}",
        "Loss": _describe_loss(surface),
        "Examples": _describe_examples(surface),
        "Directions": _describe_directions(surface, recipe),
        "BatchNorm": _describe_statistics(surface),
        "Precision": _plain(spec.get("precision")),
        "Seeds": _describe_seeds(surface, recipe),
    }
    if surface.grid.beta is not None:
        described["Cosine of the directions"] = _describe_cosines(surface)
    if surface.grid.refine is not None:
        described |= _describe_refinement(surface, surface.grid.refine)
    described |= describe_warm_starts(surface)
    if "noise" in spec:
        described["Noise"] = describe_noise(spec)
    described |= describe_findings(surface)
    if layers := recipe.get("layers"):
        described["Layers moved"] = _plain(layers)
    return described


def cosine_of(surface: Surface, plane: int) -> float | None:
    """Cosine of the two directions of a plane as they were used; None if the file does not say it."""
    # Points may come from several processes and surfaces; all of them used the same directions.
    for entry in surface.provenance:
        found = entry.get("cosines") if isinstance(entry, Mapping) else None
        value = found[plane] if isinstance(found, list) and len(found) > plane else None
        if isinstance(value, int | float) and abs(value) <= LARGEST_COSINE:
            return float(value)
    return None


def describe_attack(spec: Mapping[str, Any]) -> str:
    """The attack of a spec, for example `PGD-10, L∞, ε = 8/255, step 2/255, 1 random start`.

    Settings that this function does not know are listed as they are, so that none is hidden.
    """
    settings = dict(_mapping(spec.get("attack")))
    settings.pop("seed", None)
    name = printable(settings.pop("name", "not recorded"))
    if name in ("none", "not recorded"):
        return name.replace("none", "no attack")
    if name == "transfer":
        surrogate = _plain(settings.get("surrogate"))[:12]
        return f"transfer of {describe_attack(settings)}, made on another model ({surrogate})"
    parts = [_attack_title(name, settings)]
    if norm := settings.pop("norm", None):
        parts.append(THREATS.get(str(norm), _plain(norm)))
    if (epsilon := settings.pop("epsilon", None)) is not None:
        parts.append(f"ε = {in_pixels(epsilon)}")
    if (step := settings.pop("step_size", None)) is not None:
        parts.append(f"step {in_pixels(step)}")
    parts += _describe_starts(settings)
    settings.pop("warm_along", None)
    if (warm_steps := settings.pop("warm_steps", None)) is not None:
        steps = "1 step" if warm_steps == 1 else f"{_plain(warm_steps)} steps"
        parts.append(f"beside the centre {steps} from the neighbour's examples on")
    parts += [words(settings.pop(key)) for key, words in ATTACK_SETTINGS.items() if key in settings]
    return ", ".join([*parts, *(f"{key} {_plain(value)}" for key, value in settings.items())])


def describe_batchnorm(spec: Mapping[str, Any]) -> str:
    """The BatchNorm policy of a spec in words: which statistics, of which examples, in which batches and order."""
    setting = spec.get("batchnorm")
    settings = dict(_mapping(setting))
    words = BATCHNORM.get((_plain(settings.pop("name", "")), _plain(settings.pop("source", ""))))
    if words is None:
        return _plain(setting)
    size, seed = settings.pop("batch_size", "?"), settings.pop("seed", "?")
    batches = f"batches of at most {_plain(size)} in random order (seed {_plain(seed)})"
    return ", ".join([words, batches, *(f"{key} {_plain(value)}" for key, value in settings.items())])


def batchnorm_of(surface: Surface) -> str:
    """The BatchNorm policy of a surface in a few words for legends: `frozen`, `reestimate from clean`, `batch`."""
    return batchnorm_in_short(surface.spec)


def batchnorm_in_short(spec: Mapping[str, Any]) -> str:
    """As `batchnorm_of`, of a spec."""
    setting = spec.get("batchnorm", "frozen")
    parts = [setting.get("name"), setting.get("source")] if isinstance(setting, Mapping) else [setting]
    return " from ".join(_plain(part) for part in parts if part is not None)


def epsilon_of(surface: Surface) -> float | None:
    """The size of the attack of a surface; None if nothing was attacked or the file does not say it."""
    epsilon = _mapping(surface.spec.get("attack")).get("epsilon")
    return float(epsilon) if is_attacked(surface) and isinstance(epsilon, int | float) else None


def describe_noise(spec: Mapping[str, Any]) -> str:
    """The noise of a spec, for example `parametric, on weights, mean of 5 draws, seed 0`; `none` without."""
    noise = _mapping(spec.get("noise"))
    if not noise:
        return "none"
    kind = "parametric, on weights" if noise.get("kind") == "pni-w" else _plain(noise.get("kind"))
    draws = noise.get("draws")
    return f"{kind}, {'1 draw' if draws == 1 else f'mean of {_plain(draws)} draws'}, seed {_plain(noise.get('seed'))}"


def attacks_apart(surfaces: Sequence[Surface]) -> list[str]:
    """Of each attack what not all of them share, for example `PGD-10` and `PGD-20`; empty where that is nothing."""
    parts = [describe_attack(surface.spec).split(", ") for surface in surfaces]
    common = set(parts[0]).intersection(*parts)
    return [", ".join(part for part in own if part not in common) for own in parts]


def in_pixels(size: Any) -> str:
    """A size of inputs in [0, 1] as a fraction of 255 where it is one, else as a decimal number; others as they are."""
    # A file may hold anything here, and a listing of many files must not stumble over one of them.
    if not isinstance(size, int | float) or not 0 <= size <= LARGEST_SIZE:
        return _plain(size)
    pixels = size * 255
    whole = abs(pixels - round(pixels)) < 1e-6 and round(pixels) not in (0, 255)
    return f"{round(pixels)}/255" if whole else f"{size:.6g}"


def sizes_in_words(sizes: Sequence[float]) -> list[str]:
    """Several sizes alike: as fractions of 255 if all of them are, else as decimal numbers."""
    fractions = [in_pixels(size) for size in sizes]
    alike = all("/" in fraction or not size for fraction, size in zip(fractions, sizes, strict=True))
    return fractions if alike else [f"{size:.6g}" for size in sizes]


def objective_of(surface: Surface) -> str:
    """The objective of a surface, one of `names.OBJECTIVES`."""
    return str(surface.spec.get("objective", "adversarial"))


def describe_objective(surface: Surface) -> str:
    """The objective of a surface in words."""
    if not is_attacked(surface):
        return OBJECTIVES["clean"]
    if kind_of(surface) == NONE:
        return "at the model's own weights"
    words = OBJECTIVES if surface.grid.beta is None else OBJECTIVES | PLANE_OBJECTIVES
    said = words.get(objective_of(surface), objective_of(surface))
    return said if surface.grid.beta is not None else said.replace("α", symbol_of([surface]))


def is_attacked(surface: Surface) -> bool:
    """Whether a surface was measured on adversarial examples; else its `adversarial` numbers are natural ones."""
    return objective_of(surface) != "clean" and _mapping(surface.spec.get("attack")).get("name") != "none"


def measured_as(surface: Surface) -> str:
    """How the examples were made, in a word for legends: `on the fly`, `fixed` or `natural`."""
    if not is_attacked(surface):
        return "natural"
    return {"adversarial": "on the fly"}.get(objective_of(surface), objective_of(surface))


def split_of(surface: Surface) -> str | None:
    """The split that the examples are from; None if it was not recorded."""
    split = _mapping(surface.spec.get("data")).get("split")
    return None if split is None else printable(split)


def normalization_of(surface: Surface) -> str | None:
    """What the directions of a surface are normalized by, one of `names.DIRECTION_NORMS`; None if not recorded."""
    norm = _mapping(surface.spec.get("directions")).get("norm")
    return None if norm is None else str(norm)


def _describe_loss(surface: Surface) -> str:
    if "loss" not in surface.spec:
        return _plain(None)
    words = loss_words(surface)
    parts = [f"{words.name} ({words.meaning})" if words.meaning else words.name]
    ascended = _ascended(surface)
    if is_attacked(surface) and not (words.is_ascended and ascended == CROSS_ENTROPY):
        parts.append(f"the attack ascends {ascended}")
    return printable("; ".join(parts))


def _ascended(surface: Surface) -> str:
    attack = _mapping(surface.spec.get("attack"))
    if "loss" in attack:
        return "the margin"
    if "parts" in attack:
        return "losses of its own and stops where the model is wrong, so that the loss is not as large as it may be"
    return CROSS_ENTROPY if attack.get("name") == "pgd" else "a loss of its own"


def _describe_examples(surface: Surface) -> str:
    dataset, split, count = (
        _mapping(surface.spec.get("data")).get("dataset"),
        split_of(surface),
        len(surface.example_ids),
    )
    if dataset == split == "own":
        return f"{count} of the caller's own{_describe_rule(surface)}"
    origin = " ".join(filter(None, [dataset, split]))
    return f"{count} of {origin}{_describe_rule(surface)}" if origin else f"{count}{_describe_rule(surface)}"


def _describe_rule(surface: Surface) -> str:
    """By which rule there are as many examples as there are; nothing where the number was given."""
    data = _mapping(surface.spec.get("data"))
    if "until_se" not in data:
        return ""
    at_most, where = data.get("at_most"), "line" if surface.grid.beta is None else "plane"
    whole = at_most == len(surface.example_ids)
    # That there are no more does not say whether they were enough.
    said = "all there were, asked for" if whole else f"at random from {_plain(at_most)}, as many as needed for"
    error = f"a standard error of {_plain(data['until_se'])}"
    return f" ({said} {error} at the centre and the ends of the first {where})"


def _describe_directions(surface: Surface, recipe: Mapping[str, Any]) -> str:
    if kind_of(surface) != RANDOM:
        return printable(describe_kind(surface, recipe))
    norm, one_dim = recipe.get("norm", "?"), recipe.get("one_dim", "?")
    count = len(surface.direction_ids) * (1 if surface.grid.beta is None else 2)
    orthogonal = recipe.get("orthogonal")
    parts = [
        f"{count} random Gaussian",
        NORMALIZATIONS.get(norm, _plain(norm)),
        *([] if orthogonal is None else [ORTHOGONAL.get(orthogonal, f"orthogonal by {_plain(orthogonal)}")]),
        ONE_DIM.get(one_dim, f"one-dimensional parameters {_plain(one_dim)}"),
    ]
    return ", ".join(parts)


def _describe_refinement(surface: Surface, tolerance: float) -> dict[str, str]:
    measured = f"{int((surface.status != MISSING).sum())} of {surface.status.size}"
    rule = f"where the mean loss is off the cubic of its neighbours by more than {tolerance:g}"
    whole = surface.complete
    return {
        "Nodes measured": measured if whole else f"{measured}, not finished",
        "Refinement": f"every 4th node, and between them {rule}{'; the others interpolated' if whole else ''}",
    }


def _describe_cosines(surface: Surface) -> str:
    found = [cosine_of(surface, int(plane)) for plane in surface.direction_ids]
    return ", ".join("not recorded" if cosine is None else f"{cosine:.2g}" for cosine in found)


def _describe_statistics(surface: Surface) -> str:
    """The BatchNorm policy of a surface in words, and whether its line moves the running statistics."""
    moves = kind_of(surface) == TOWARDS and batchnorm_of(surface) == "frozen"
    return "running statistics interpolated with the weights" if moves else describe_batchnorm(surface.spec)


def _describe_seeds(surface: Surface, recipe: Mapping[str, Any]) -> str:
    seeds = [f"directions {recipe.get('seed', '?')}"] if kind_of(surface) == RANDOM else []
    seeds += [f"attack {_plain(attack_seed(surface.spec))}"] if is_attacked(surface) else []
    return ", ".join(seeds) or "none"


def _attack_title(name: str, settings: dict[str, Any]) -> str:
    if parts := settings.pop("parts", None):
        named = ", ".join(printable(part).upper() for part in parts) if isinstance(parts, list) else _plain(parts)
        return f"AutoAttack ({named})" if name == "autoattack" else named
    if name not in TITLES:
        return name.upper()
    steps = settings.pop("num_steps", "?")
    if name != "pgd":
        return f"{TITLES[name]}-{steps}"
    if _mapping(settings.get("loss")).get("name") == "margin":
        return f"CW-{steps}"
    if steps == 1 and "epsilon" in settings and settings["epsilon"] == settings.get("step_size"):
        return "FGSM-RS" if settings.get("random_start", True) else "FGSM"
    return f"PGD-{steps}"


def _describe_starts(settings: dict[str, Any]) -> list[str]:
    restarts, random = settings.pop("num_restarts", None), settings.pop("random_start", True)
    if not random:
        return ["no random start"]
    if restarts is None:
        return []
    return ["1 random start" if restarts == 1 else f"worst of {restarts} random starts"]


TITLES = {"pgd": "PGD", "spsa": "SPSA", "feature": "Feature"}
"""Attacks that are called by their number of steps."""

CROSS_ENTROPY = "the cross-entropy"
"""What PGD ascends unless its settings say otherwise."""

ATTACK_SETTINGS: Mapping[str, Callable[[Any], str]] = {
    "loss": lambda loss: f"κ = {_plain(loss['kappa'])}" if "kappa" in _mapping(loss) else f"loss {_plain(loss)}",
    "averaged_over": lambda draws: f"gradient averaged over {_plain(_mapping(draws).get('draws'))} draws of noise",
    "num_samples": lambda count: f"{_plain(count)} samples",
    "delta": lambda delta: f"δ = {_plain(delta)}",
    "targets": lambda digest: "towards random examples of other classes",
    "batch_size": lambda size: f"batches of {_plain(size)}",
    "package": lambda name: f"by {_plain(name)}",
}
"""What the settings of attacks other than PGD mean, in the order in which they are said."""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_plain(part)}" for key, part in value.items())
    return "not recorded" if value is None else printable(value)


def printable(value: Any) -> str:
    """Any value of a file as text that every terminal takes."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")
