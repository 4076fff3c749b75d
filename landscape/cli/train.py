"""`landscape train`: train a model and write a run folder, or go on with the run that the folder holds."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landscape.cli.launching import speaks
from landscape.cli.training_options import SectionCommand, setting_options
from landscape.errors import InputError, Interrupted

if TYPE_CHECKING:
    from landscape.training.config import Settings, TrainConfig


@click.command("train", cls=SectionCommand)
@click.option("--preset", help="Published settings by name, such as awp/cifar10-linf; options win.")
@click.option("--list-presets", is_flag=True, help="Name the presets; with --preset its numbers and their sources.")
@click.option("--config", "config_file", type=click.Path(), help="Settings from a run's config.json; options win.")
@click.option("--out", type=click.Path(), help="Run folder.  [default: checkpoints/<dataset>-<method>]")
@click.option("--overwrite", is_flag=True, help="Remove the run that the folder holds and begin anew.")
@click.option("--json", "as_json", is_flag=True, help="Print the final numbers as JSON.")
@setting_options
@click.pass_obj
def command(
    context: dict[str, Any] | None,
    /,
    preset: str | None,
    list_presets: bool,
    config_file: str | None,
    out: str | None,
    overwrite: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train a model: an objective, natural, at, trades, mart or rst, perhaps with a weight perturbation as in at-awp.

    at-pni has parametric noise in place of a perturbation.

    The same command goes on with a run that was stopped, exactly where it was. The run folder gets config.json,
    history.csv, last.pt, best.pt (highest robust accuracy on validation examples, or else on test examples) and
    epoch-NNN.pt.

    Several processes train one model when torchrun starts them: torchrun --nproc-per-node 4 -m landscape train ...
    """
    if list_presets:
        click.echo(_presets(preset, given["method"]))
        return
    from landscape.cli.epochs import epoch_display
    from landscape.cli.stopping import stop_requests
    from landscape.training.fit import train
    from landscape.training.process_group import together
    from landscape.training.runs import is_finished

    quiet = bool((context or {}).get("quiet")) or not speaks()
    with together() as processes:
        config, settings = processes.each(lambda: _settings(preset, config_file, given))
        folder = Path(out) if out else Path("checkpoints") / f"{settings.dataset}-{settings.method}"
        finished_before = processes.first(lambda: not overwrite and is_finished(folder))
        with (
            epoch_display(folder.name, settings.epochs, quiet=quiet, to_stderr=as_json) as display,
            stop_requests("Stopping after this batch; once more stops at once." if speaks() else "") as should_stop,
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
                message = (
                    f"Stopped at once; {folder} holds its last finished epoch, and the same call goes on from there."
                )
                raise Interrupted(message) from None
    if speaks():
        _report(folder, settings, finished_before=finished_before, as_json=as_json)


def _settings(preset: str | None, config_file: str | None, given: dict[str, Any]) -> tuple[TrainConfig, Settings]:
    from landscape.training.plan import settings_for

    config = _config(preset, config_file, given)
    return config, settings_for(config, model=None, examples=None)


def _config(preset: str | None, config_file: str | None, given: dict[str, Any]) -> TrainConfig:
    from landscape.training.overriding import overridden
    from landscape.training.presets import find_preset
    from landscape.training.runs import load_config

    if preset and config_file:
        raise InputError("--preset and --config both give all settings; name one of them.")
    base = find_preset(preset).settings(given["method"]) if preset else {}
    base = load_config(config_file).to_dict() if config_file else base
    return overridden(base, {name: value for name, value in given.items() if value is not None})


def _presets(name: str | None, method: str | None) -> str:
    """All presets, a line for each; of one that is named every setting, its value and where it stands."""
    from landscape.analysis.columns import in_columns
    from landscape.training.presets import PRESETS, find_preset, written

    if name is None:
        lines = [["preset", "methods", "what"]]
        lines += [[preset.name, ", ".join(preset.methods), preset.title] for preset in PRESETS.values()]
        hint = "With --preset NAME this lists its numbers and where each stands."
        return f"{in_columns(lines)}\n\n{hint}"
    preset = find_preset(name)
    lines = [["setting", "value", "source"]]
    lines += [[entry.setting, written(entry), entry.source] for entry in preset.entries_for(method)]
    return f"{preset.name}: {preset.title}\n\n{in_columns(lines)}"


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
    each = f"under {settings.eval_attack}, on at most {settings.eval_examples} examples of each split"
    click.echo(f"history.csv, which `landscape history` draws: {each}.")
    click.echo(f"Written to {folder}: {', '.join(path.name for path in run.contents())}")


def _table(trainings: dict[str, dict[str, Any]]) -> str:
    from landscape.analysis.columns import in_columns
    from landscape.cli.epochs import percent

    lines = [["checkpoint", "epoch", "natural train", "natural test", "robust train", "robust test", "robust gap"]]
    for name, training in trainings.items():
        metrics = training["metrics"]
        accuracies = [percent(metrics, split, kind) for kind in ("natural", "robust") for split in ("train", "test")]
        chosen = "" if name == "last" else f" ({training['selection']})"
        lines.append([name + chosen, str(training["epoch"]), *accuracies, f"{100 * metrics['robust_gap']:.1f}"])
    return textwrap.indent(in_columns(lines, left=0), "  ")
