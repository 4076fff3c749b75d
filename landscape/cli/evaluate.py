"""`landscape evaluate`: natural and robust accuracy under named attacks, and the gap between train and test."""

from __future__ import annotations

from typing import Any

import click

from landscape import names
from landscape.cli import options

NUM_EVALUATED = 1000
"""Examples of each split when the user does not say how many; all, where there are fewer."""

USUAL_ATTACK = "pgd-20"


@click.command("evaluate")
@click.argument("checkpoints", nargs=-1, required=True, metavar="CKPT...")
@click.option(
    "--attack",
    "attacks",
    multiple=True,
    help=f"Names with commas, or repeated: {', '.join(names.ATTACKS)}; settings after a colon, "
    "pgd-20:step=2/255,restarts=3; or a preset: awp, awp-draft, rwp."
    f"  [default: {USUAL_ATTACK}]",
)
@click.option(
    "--split",
    type=click.Choice((*names.SPLITS, "both")),
    help="Which examples.  [default: both, with the gap; train where there is one set only]",
)
@options.examples_of(NUM_EVALUATED)
@click.option("--norm", type=click.Choice(names.THREAT_NORMS), help="Norm of the attacks.  [default: checkpoint's]")
@click.option(
    "--epsilon",
    "epsilons",
    type=options.Numbers(inclusive=True),
    help="Size of the attacks on inputs in [0, 1], 8/255, or several with commas.  [default: checkpoint's]",
)
@click.option(
    "--step-size",
    type=options.Number(),
    help="Step of the attacks, 2/255.  [default: checkpoint's; of another epsilon a quarter, l2 15/128]",
)
@options.restarts_option
@click.option("--epochs", type=options.Epochs(), help="Of run folders, FROM:TO:STEP, with the best and the last.")
@click.option("--best-per-attack", is_flag=True, help="Of run folders: the best of each column over all checkpoints.")
@click.option("--group-by", type=click.Choice(["method"]), help="Mean and deviation over the seeds of each method.")
@click.option(
    "--noise-draws",
    type=click.IntRange(min=1, max=254),
    default=1,
    show_default=True,
    help="Draws of noise to average over, of networks with parametric noise.",
)
@options.foreign_options
@options.device_options
@options.cache_options
@click.option("--csv", "csv_file", type=click.Path(), help="Also write a CSV file, a row for each number.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@click.pass_obj
def command(settings: dict[str, Any], /, checkpoints: tuple[str, ...], **given: Any) -> None:
    """Measure natural and robust accuracy of each CKPT, on train and test, and the robust generalization gap.

    A CKPT is a checkpoint file, the name of a bundled one such as digits-at, or a run folder: its best and its last
    checkpoint. Accuracy is measured in eval mode on unperturbed weights; every adversarial input is compared with its
    ball before it counts. The worst case is per example: right only under every attack. Results are kept in the cache
    attack by attack, beside surfaces: the same call is instant the second time, an interrupted one goes on.
    """
    from pathlib import Path

    from landscape import files
    from landscape.cli.evaluating import Evaluating, evaluate_all, plan_all
    from landscape.cli.evaluation_report import report
    from landscape.cli.sources import evaluated_sources

    csv_file = None if given["csv_file"] is None else Path(given["csv_file"])
    if csv_file is not None:
        files.require_writable(csv_file.absolute().parent)
    wanted = Evaluating.from_options({**given, "attacks": given["attacks"] or (USUAL_ATTACK,)})
    sources = evaluated_sources(checkpoints, given["epochs"], every=given["best_per_attack"])
    planned = plan_all(sources, wanted, num_examples=NUM_EVALUATED)
    evaluated = evaluate_all(planned, wanted, quiet=bool(settings.get("quiet")) or given["as_json"])
    report(
        evaluated,
        cache=wanted.cache,
        csv_file=csv_file,
        as_json=given["as_json"],
        best_per_attack=given["best_per_attack"],
        by_method=given["group_by"] == "method",
    )
