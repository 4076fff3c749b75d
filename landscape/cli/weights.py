"""`landscape weights`: histograms of the weights of each layer, for several checkpoints in the same bins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from landscape.cli import options
from landscape.cli.figure_file import REPLACED, save_over


@click.command("weights")
@click.argument("checkpoints", nargs=-1, required=True, metavar="CKPT...")
@click.option("--layers", metavar="REGEX", help="Only parameters whose name matches.  [default: all]")
@click.option("--together", is_flag=True, help="One panel for the weights of all these layers.")
@click.option(
    "--all-parameters", is_flag=True, help="Biases and BatchNorm parameters too, not only kernels and matrices."
)
@click.option(
    "--bins", type=click.IntRange(min=2, max=10_000), default=80, show_default=True, help="Bins of each panel."
)
@click.option(
    "--near-zero", type=options.Number(), default="0.001", show_default=True, help="The table counts |w| below it."
)
@click.option("--counts", is_flag=True, help="Weights per bin, rather than their density.")
@click.option("--log", is_flag=True, help="Logarithmic in the vertical direction, for the tails.")
@click.option("--epochs", type=options.Epochs(), help="Of a run folder, FROM:TO:STEP: one histogram per epoch.")
@options.foreign_options
@click.option("--title", help="A line above the figure.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write every bin to this file.")
@options.output_options
def command(checkpoints: tuple[str, ...], **given: Any) -> None:
    """Draw how the weights of each layer are distributed, for each CKPT in the same bins (AWP paper, Fig. 4).

    A CKPT is a checkpoint file, a run folder (its last checkpoint, or a series with --epochs), or the name of a bundled
    checkpoint such as digits-at. No data are needed. One layer: --layers 'conv3'; all as one: --together.
    """
    from landscape import files
    from landscape.analysis.weight_figure import weight_figure
    from landscape.analysis.weight_histograms import weight_histograms
    from landscape.analysis.weight_table import weight_csv, weight_numbers, weight_table
    from landscape.cli.report import figure_path
    from landscape.cli.sources import find_sources

    sources = find_sources(checkpoints, given["epochs"])
    run = sources[0].run
    named = [run.absolute().name] if run else [source.title for source in sources]
    out = figure_path(given["out"], named, "-".join(["weights", *_unusual(given)]))
    for place in filter(None, (out, given["csv_path"])):
        files.require_writable(place.absolute().parent)
    weights = [(source.title, _weights(source.path, given)) for source in sources]
    layers = weight_histograms(
        weights, num_bins=given["bins"], near_zero=given["near_zero"], together=given["together"]
    )
    title = given["title"] or (named[0] if run else None)
    figure = weight_figure(layers, counts=given["counts"], log=given["log"], series=run is not None, title=title)
    replaced = save_over(figure, out)
    places = {"figure": str(out)}
    if given["csv_path"] is not None:
        files.write_text(given["csv_path"], weight_csv(layers))
        places["csv"] = str(given["csv_path"])
    if given["as_json"]:
        click.echo(
            json.dumps({"layers": weight_numbers(layers), **places, "replaced": replaced}, indent=2, allow_nan=False)
        )
        return
    lines = [*(f"{name.ljust(9)}{place}" for name, place in places.items()), *([REPLACED] if replaced else [])]
    click.echo("\n\n".join([weight_table(layers), "\n".join(lines)]))


def _unusual(given: dict[str, Any]) -> list[str]:
    """What sets the figure of a call apart from the bare call's, for its name."""
    layers = [] if given["layers"] is None else [f"layers-{options.in_name(given['layers'])}"]
    return layers + [name.replace("_", "-") for name in ("together", "all_parameters", "counts", "log") if given[name]]


def _weights(path: Path, given: dict[str, Any]) -> Any:
    """The layers of one checkpoint, by name."""
    from landscape.checkpoints import load_checkpoint
    from landscape.surfaces.layer_weights import layer_weights

    checkpoint = load_checkpoint(
        path, model=given["model"], num_classes=given["num_classes"], normalization=given["normalization"]
    )
    return layer_weights(checkpoint.network, layers=given["layers"], one_dim=given["all_parameters"])
