"""Numbers of the weights of layers as an aligned table, as plain JSON values, and as rows of a CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from landscape.analysis.tables import aligned, plain_values
from landscape.analysis.weight_histograms import Layer
from landscape.analysis.wording import ABSENT, percent

CSV_COLUMNS = ("layer", "checkpoint", "low", "high", "count", "density")


def weight_table(layers: Sequence[Layer]) -> str:
    """A row for each layer and checkpoint: how many weights, their deviation, largest size, skewness, share near 0."""
    near = layers[0].near_zero if layers else math.nan
    header = ["layer", "checkpoint", "weights", "std", "max |w|", "skewness", f"|w| < {near:g}"]
    rows = []
    for layer in layers:
        for number, one in enumerate(layer.histograms):
            name, mark = layer.name if number == 0 else "", "*" if one.num_not_finite else ""
            skewness = f"{one.skewness:+.2f}" if math.isfinite(one.skewness) else ABSENT
            sizes = [_number(one.deviation), _number(one.largest), skewness, percent(one.share_near_zero)]
            rows.append([name, one.checkpoint, f"{one.num_weights}{mark}", *sizes])
    lines = [
        aligned(header, rows, left=2),
        "std: over the weights of the layer; skewness: 0 for a symmetric distribution.",
    ]
    broken = {one.checkpoint for layer in layers for one in layer.histograms if one.num_not_finite}
    if broken:
        lines.append(f"* NaN and infinite weights are left out, of {', '.join(sorted(broken))}.")
    return "\n".join(lines)


def weight_numbers(layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """Edges, counts and statistics of every layer as plain JSON values; None where a number is absent."""
    return [plain_values(asdict(layer)) for layer in layers]


def weight_csv(layers: Sequence[Layer]) -> str:
    """A row for each bin of each layer and checkpoint, with the columns `CSV_COLUMNS`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for layer in layers:
        for one in layer.histograms:
            bins = zip(layer.edges.tolist(), layer.edges.tolist()[1:], one.counts.tolist(), strict=False)
            for (low, high, count), density in zip(bins, layer.density(one).tolist(), strict=True):
                writer.writerow([layer.name, one.checkpoint, low, high, count, density])
    return text.getvalue()


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else ABSENT
