"""Epochs on the screen: a bar with the robust accuracy on a terminal, one plain line for each in a pipe."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

Row = Mapping[str, "float | int | None"]


@dataclass(frozen=True)
class EpochDisplay:
    """What to call after each batch, with (epoch, batches done, batches), and after each epoch, with its row."""

    on_batch: Callable[[int, int, int], None]
    on_epoch: Callable[[Row], None]


@contextlib.contextmanager
def epoch_display(
    title: str, num_epochs: int, *, quiet: bool = False, to_stderr: bool = False
) -> Iterator[EpochDisplay]:
    """Show a training run.

    Args:
        title: name of the run.
        num_epochs: its length.
        quiet: show nothing.
        to_stderr: keep stdout free, for JSON.
    """
    if quiet:
        yield EpochDisplay(lambda epoch, batch, num_batches: None, lambda row: None)
    elif sys.stderr.isatty() and sys.stdout.isatty():
        with _bar(title, num_epochs) as display:
            yield display
    else:
        yield EpochDisplay(
            lambda epoch, batch, num_batches: None,
            lambda row: click.echo(f"epoch {row['epoch']}/{num_epochs}  {summary(row)}", err=to_stderr),
        )


def summary(row: Row) -> str:
    """The row of an epoch in a few words."""
    words = [f"lr {row['lr']:g}", f"loss {row['train_loss']:.3f}"]
    if row.get("test_robust_accuracy") is not None:
        words += [
            f"{kind} train {percent(row, 'train', kind)} test {percent(row, 'test', kind)}"
            for kind in ("robust", "natural")
        ]
    return "  ".join([*words, f"{row['seconds']:.1f} s"])


def percent(numbers: Mapping[str, Any], split: str, kind: str) -> str:
    """An accuracy as `83.1 %`."""
    return f"{100 * numbers[f'{split}_{kind}_accuracy']:.1f} %"


@contextlib.contextmanager
def _bar(title: str, num_epochs: int) -> Iterator[EpochDisplay]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.fields[epoch]}/" + str(num_epochs)),
        TextColumn("{task.fields[robust]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=num_epochs, epoch=1, robust="")

        def on_batch(epoch: int, batch: int, num_batches: int) -> None:
            bar.update(task, completed=epoch - 1 + batch / num_batches, epoch=epoch)

        def on_epoch(row: Row) -> None:
            if row.get("test_robust_accuracy") is not None:
                bar.update(
                    task, robust=f"robust train {percent(row, 'train', 'robust')} test {percent(row, 'test', 'robust')}"
                )

        yield EpochDisplay(on_batch, on_epoch)
