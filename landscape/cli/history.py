"""`landscape history`: the learning curves of training runs. Reads no model, and torch is not needed."""

from __future__ import annotations

import json
from pathlib import Path

import click

from landscape.cli.figure_file import REPLACED, save_over


@click.command("history")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--column",
    "columns",
    multiple=True,
    help="robust-, natural- with -accuracy, -error or -loss, or a column of history.csv; may be repeated."
    "  [default: robust-accuracy]",
)
@click.option("--title", help="A line above the figure.")
@click.option("--out", type=click.Path(), help="Figure file (.png, .pdf, .svg).  [default: <run>-history.png]")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def command(
    runs: tuple[Path, ...], columns: tuple[str, ...], title: str | None, out: str | None, as_json: bool
) -> None:
    """Draw the learning curves of runs: training and test examples over the epochs, and the gap between them.

    RUN is a run folder, a history.csv, or a published log as CSV. Runs that differ in their seed alone become one
    curve with a band. The table has the best and the last epoch of each.
    """
    from landscape.analysis.history_figure import history_figure
    from landscape.analysis.history_table import history_numbers, history_table
    from landscape.analysis.run_history import group_runs, read_run
    from landscape.cli.report import figure_path

    histories = [read_run(run) for run in runs]
    groups = group_runs(histories)
    target = figure_path(out, [run.label for run in histories], "history")
    replaced = save_over(history_figure(groups, columns or ("robust-accuracy",), title=title), target)
    if as_json:
        written = {"figure": str(target), "replaced": replaced}
        click.echo(json.dumps({"runs": history_numbers(groups), **written}, indent=2, allow_nan=False))
        return
    click.echo("\n".join([history_table(groups), "", f"figure   {target}", *([REPLACED] if replaced else [])]))
