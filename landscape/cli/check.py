"""`landscape check`: whether the landscape of a checkpoint deserves trust, told before hours are spent on it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from landscape.cli import options
from landscape.cli.measuring import Measuring, measured_options
from landscape.cli.surfaces import plans_for
from landscape.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from landscape.analysis.check import Verdict
    from landscape.surfaces.plan import SurfacePlan

NUM_CHECKED = 100
"""Examples when the user does not say how many; all, where there are fewer."""

ELSEWHERE: dict[str, Any] = {
    "objective": "adversarial",
    "cache_dir": None,
    "shard": None,
    "noise_draws": 1,
    "dry_run": False,
    "out": None,
}
"""Options of other commands that measure: nothing is drawn or stored here."""


@click.command("check")
@click.argument("checkpoints", nargs=-1, required=True, metavar="CKPT...")
@options.examples_of(NUM_CHECKED)
@measured_options
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
@click.pass_context
def command(context: click.Context, /, checkpoints: tuple[str, ...], **given: Any) -> None:
    """Tell whether the landscape of each CKPT deserves trust, before hours are spent on it.

    Give the options that the landscape will have. Along direction 0, at alpha = -1, 0 and 1, it is tried whether
    rescaled weights leave the curve in place, two runs agree, more steps and restarts hardly find more loss, node 0
    is plain evaluation, directions have their norms, the model is in eval mode and better than chance, and gradients
    are not masked. Exit code 1 if a check fails.
    """
    from landscape.analysis.check import FAIL, judge, worst_of
    from landscape.cli.progress import progress_bar
    from landscape.cli.sources import find_sources
    from landscape.surfaces.trust import gather_evidence

    wanted = Measuring.from_options({**ELSEWHERE, **given})
    if wanted.directions.kind == "towards":
        raise InputError(
            "check moves to alpha = -1 and 1, which the way towards another checkpoint is not made for; leave out "
            "--towards."
        )
    quiet = bool(context.obj and context.obj.get("quiet")) or wanted.as_json
    plans = [plan for _, plan in plans_for(find_sources(checkpoints, None), wanted, directions=1, grid="-1:1:3")]
    if wanted.examples is None:
        plans = [_few(plan) for plan in plans]
    judged = []
    for plan in plans:
        with progress_bar(f"checking {plan.label} ({plan.examples.split})", quiet=quiet) as progress:
            judged.append((plan, _title(plan, wanted.loss), judge(gather_evidence(plan, progress=progress))))
    if wanted.as_json:
        click.echo(json.dumps({"checkpoints": [_as_plain(*entry) for entry in judged]}, indent=2, allow_nan=False))
    else:
        click.echo("\n\n".join(_as_text(*entry) for entry in judged))
    if any(worst_of(verdicts) == FAIL for *_, verdicts in judged):
        context.exit(1)


def _few(plan: SurfacePlan) -> SurfacePlan:
    return replace(plan, examples=plan.examples.take(range(min(NUM_CHECKED, len(plan.examples)))))


def _title(plan: SurfacePlan, loss: str) -> str:
    from landscape.analysis.settings import describe_attack, describe_batchnorm

    examples, spec = plan.examples, plan.spec
    where = f"{len(examples)} of {examples.dataset} {examples.split}"
    unusual = [f"loss {loss}"] if loss != "ce" else []
    unusual += [f"BatchNorm {describe_batchnorm(spec)}"] if spec["batchnorm"] != "frozen" else []
    measured = "; ".join([where, describe_attack(spec), *unusual])
    return f"{plan.label}: {measured}; on {plan.device}, {plan.settings.precision}"


def _as_text(plan: SurfacePlan, title: str, verdicts: Sequence[Verdict]) -> str:
    from landscape.analysis.check import summary_sentence, verdict_table

    return f"{title}\n\n{verdict_table(verdicts)}\n\n{summary_sentence(verdicts)}"


def _as_plain(plan: SurfacePlan, title: str, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    from landscape.analysis.check import summary_sentence, worst_of

    return {
        "label": plan.label,
        "split": plan.examples.split,
        "settings": title,
        "status": worst_of(verdicts),
        "summary": summary_sentence(verdicts),
        "verdicts": [asdict(verdict) for verdict in verdicts],
    }
