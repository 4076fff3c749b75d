"""`landscape train`: train a model and write a run folder, or go on with the run that the folder holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landscape import names
from landscape.cli import options
from landscape.errors import Interrupted

if TYPE_CHECKING:
    from landscape.training.config import Settings, TrainConfig

METHODS = ", ".join(names.METHODS)


@click.command("train")
@click.option("--method", help=f"One of {METHODS}.  [default: at]")
@click.option("--dataset", help=f"One of {', '.join(names.DATASETS)}, or the path of your own.  [default: digits]")
@click.option("--model", help=f"One of {', '.join(names.MODELS)}, or package.module:factory.  [default: by data set]")
@click.option("--epochs", type=int, help="Length of the run.  [default: digits 100, cifar10 200]")
@click.option("--lr", type=options.Number(), help="Largest learning rate.  [default: 0.1]")
@click.option("--batch-size", type=int, help="Examples in an update.  [default: 128]")
@click.option("--gamma", type=options.Number(), help="Size of the weight perturbation.  [default: 0.01, digits 0.02]")
@click.option("--awp-warmup", type=int, help="First epochs without weight perturbation.  [default: 0]")
@click.option("--norm", help=f"Norm of the attack: {' or '.join(names.THREAT_NORMS)}.  [default: the data set's]")
@click.option(
    "--epsilon", type=options.Number(inclusive=True), help="Size of the attack, 8/255.  [default: the data set's]"
)
@click.option("--step-size", type=options.Number(), help="Step of the attack, 2/255.  [default: the data set's]")
@click.option("--attack-steps", type=int, help="Steps of the attack in training.  [default: 10]")
@click.option("--schedule", help="Learning rate over time: piecewise or constant.  [default: piecewise]")
@click.option("--weight-decay", type=options.Number(inclusive=True), help="Of all parameters.  [default: 5e-4]")
@click.option("--seed", type=int, help="Seed of everything.  [default: 0]")
@click.option("--eval-every", type=int, help="Epochs from one evaluation to the next.  [default: 1]")
@click.option("--eval-attack", help="Attack of the history: pgd-K, fgsm, fgsm-rs or none.  [default: pgd-10]")
@click.option("--checkpoint-every", type=int, help="Epochs from one kept checkpoint to the next.  [default: 10]")
@click.option("--data-dir", type=click.Path(), help="Folder of the data.  [default: $LANDSCAPE_DATA]")
@click.option("--device", help="auto, cpu, cuda or cuda:N.  [default: auto]")
@click.option("--config", "config_file", type=click.Path(), help="Settings from a run's config.json; options win.")
@click.option("--out", type=click.Path(), help="Run folder.  [default: checkpoints/<dataset>-<method>]")
@click.option("--overwrite", is_flag=True, help="Remove the run that the folder holds and begin anew.")
@click.option("--json", "as_json", is_flag=True, help="Print the final numbers as JSON.")
@click.pass_obj
def command(
    context: dict[str, Any] | None,
    /,
    config_file: str | None,
    out: str | None,
    overwrite: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train a model: natural, at (adversarial training) or at-awp (with adversarial weight perturbation).

    The same command goes on with a run that was stopped, exactly where it was. The run folder gets config.json,
    history.csv, last.pt, best.pt (highest robust accuracy on test examples) and epoch-NNN.pt.
    """
    from landscape.cli.epochs import epoch_display
    from landscape.cli.stopping import stop_requests
    from landscape.training.fit import train
    from landscape.training.plan import settings_for
    from landscape.training.runs import is_finished

    config = _config(config_file, given)
    settings = settings_for(config, model=None, examples=None)
    folder = Path(out) if out else Path("checkpoints") / f"{settings.dataset}-{settings.method}"
    finished_before = not overwrite and is_finished(folder)
    quiet = bool((context or {}).get("quiet"))
    with (
        epoch_display(folder.name, settings.epochs, quiet=quiet, to_stderr=as_json) as display,
        stop_requests("Stopping after this batch; once more stops at once.") as should_stop,
    ):
        try:
            train(
                config,
                folder,
                overwrite=overwrite,
                should_stop=should_stop,
                on_batch=display.on_batch,
                on_epoch=display.on_epoch,
            )
        except KeyboardInterrupt:
            message = f"Stopped at once; {folder} holds its last finished epoch, and the same call goes on from there."
            raise Interrupted(message) from None
    _report(folder, settings, finished_before=finished_before, as_json=as_json)


def _config(config_file: str | None, given: dict[str, Any]) -> TrainConfig:
    from landscape.training.config import TrainConfig
    from landscape.training.runs import load_config

    base = load_config(config_file).to_dict() if config_file else {}
    return TrainConfig.from_dict(base | {name: value for name, value in given.items() if value is not None})


def _report(folder: Path, settings: Settings, *, finished_before: bool, as_json: bool) -> None:
    from landscape.training.publish import training_in
    from landscape.training.runs import RunFolder

    run = RunFolder(folder)
    trainings = {"last": training_in(run.last), "best": training_in(run.best)}
    if as_json:
        numbers = {name: {"epoch": training["epoch"], **training["metrics"]} for name, training in trainings.items()}
        click.echo(json.dumps({"run": str(folder), "settings": settings.to_dict(), **numbers}, indent=2))
        return
    if finished_before:
        click.echo(f"The run in {folder} is finished; --overwrite trains it anew.")
    click.echo(f"{settings.method} on {settings.dataset}, all examples, {trainings['last']['metrics']['attack']}:")
    click.echo(_table(trainings))
    click.echo(f"Written to {folder}: {', '.join(path.name for path in run.contents())}")


def _table(trainings: dict[str, dict[str, Any]]) -> str:
    from landscape.cli.epochs import percent

    lines = [["checkpoint", "epoch", "natural train", "natural test", "robust train", "robust test", "robust gap"]]
    for name, training in trainings.items():
        metrics = training["metrics"]
        accuracies = [percent(metrics, split, kind) for kind in ("natural", "robust") for split in ("train", "test")]
        chosen = "" if name == "last" else f" ({training['selection']})"
        lines.append([name + chosen, str(training["epoch"]), *accuracies, f"{100 * metrics['robust_gap']:.1f}"])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  " + "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )
