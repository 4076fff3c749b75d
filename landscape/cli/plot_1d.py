"""`landscape plot-1d`: loss curves along random directions, with adversarial examples made anew at every point."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from landscape.cli.less_work import in_name, say_bias, until_option, warm_option, with_enough_examples, with_warm_starts
from landscape.cli.measuring import (
    Measuring,
    line_options,
    measuring_options,
    objective_option,
    quantity_option,
    series_options,
    unusual,
)
from landscape.cli.surfaces import compute_plans, layer_numbers, plans_for, say_cost, say_unfinished
from landscape.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from landscape.cli.sources import Source
    from landscape.surfaces.plan import SurfacePlan


@click.command("plot-1d")
@click.argument("checkpoints", nargs=-1, required=True, metavar="CKPT...")
@line_options
@objective_option("adversarial")
@click.option(
    "--with-fixed", is_flag=True, help="Draw the control --objective fixed beside it, and the gap between both."
)
@measuring_options
@until_option
@warm_option
@quantity_option
@series_options("one curve per epoch")
@click.pass_obj
def command(settings: dict[str, Any], /, checkpoints: tuple[str, ...], **given: Any) -> None:
    """Draw g(alpha), the loss of models moved along filter-normalized random directions, for each CKPT.

    Other kinds of direction: --direction worst-case, hessian or a FILE; --towards another checkpoint; --trajectory, the
    principal components of a path of checkpoints.

    A CKPT is a checkpoint file, a run folder (its last checkpoint, or a series with --epochs), or the name of a bundled
    checkpoint such as digits-at. At every point the attack makes its adversarial examples anew on the moved model
    (Algorithm 1 of Wu et al. 2020). Results are kept in the cache: the same call is instant the second time, an
    interrupted one goes on where it stopped.

    Several sizes, --epsilon 0,4/255,8/255, give a surface each, and a picture of the mean loss over alpha and epsilon.
    With --with-fixed each CKPT is also measured on examples made once, at the centre, and the gap is drawn with its
    interval.
    """
    from landscape import files
    from landscape.analysis.series import find_parting
    from landscape.cli.report import figure_path, report_curves
    from landscape.cli.sources import find_sources

    each, quantity, epochs = Measuring.for_each_epsilon(given), given["quantity"], given["epochs"]
    wanted, epsilons = each[0], [one.epsilon for one in each]
    if quantity == "robust-error" and (wanted.attack == "none" or wanted.objective == "clean"):
        raise InputError("there is no robust error without an attack; ask for --quantity natural-error.")
    if len(epsilons) > 1:
        _require_epsilons(wanted, series=epochs is not None)
    if given["with_fixed"]:
        _require_control(wanted, quantity, alone=len(epsilons) == 1 and epochs is None)
        each = [wanted, replace(wanted, objective="fixed")]
    sources = find_sources(checkpoints, epochs)
    series = sources[0].run
    named = [series.absolute().name] if series else [source.title for source in sources]
    special = [*unusual(given), *(["epsilons"] if len(epsilons) > 1 else [])]
    special += [*(["with-fixed"] if given["with_fixed"] else []), *in_name(given)]
    out = figure_path(wanted.out, named, "-".join(["plot-1d", *special]))
    if series is not None:
        find_parting(series, given["split_at"])  # refuses a wrong --split-at before anything is computed
    found = [plans_for(sources, one, directions=given["directions"], grid=(given["alpha"],)) for one in each]
    plans = [pair for pairs in zip(*found, strict=True) for pair in pairs]  # model by model
    plans = with_warm_starts(with_enough_examples(plans, wanted, given["until_se"]), wanted, given["warm_start"])
    titles = _titles(plans, epsilons)
    bars = [
        f"{title}, fixed" if plan.settings.objective == "fixed" else title
        for title, (_, plan) in zip(titles, plans, strict=True)
    ]
    if wanted.dry_run:
        say_cost(
            [(replace(source, title=title), plan) for title, (source, plan) in zip(bars, plans, strict=True)], wanted
        )
        return
    if wanted.shard is None:
        files.require_writable(out.absolute().parent)
    quiet = bool(settings.get("quiet")) or wanted.as_json
    surfaces = compute_plans([plan for _, plan in plans], wanted, quiet=quiet, titles=bars if len(each) > 1 else None)
    if not all(surface.complete for surface in surfaces):
        say_unfinished(surfaces, wanted)
        return
    surfaces, bias = say_bias([plan for _, plan in plans], surfaces, titles, wanted, quiet=quiet)
    report_curves(
        surfaces,
        titles,
        paths=[wanted.cache / f"{surface.key}.h5" for surface in surfaces],
        out=out,
        quantity=quantity,
        as_json=wanted.as_json,
        epochs=[source.epoch for source, _ in plans] if epochs else None,
        run=series,
        split_at=given["split_at"],
        models=[_model(source, plan, wanted) for source, plan in plans] if len(epsilons) > 1 else None,
        extra={**layer_numbers([plan for _, plan in plans], wanted), **bias},
    )


def _require_epsilons(wanted: Measuring, *, series: bool) -> None:
    """Refuse several epsilons where they draw no plane."""
    if wanted.attack == "none" or wanted.objective == "clean":
        raise InputError("without an attack there is no epsilon; leave out --epsilon, or name an --attack.")
    if series:
        raise InputError("a series of --epochs takes one --epsilon; draw one epoch at several of them instead.")


def _require_control(wanted: Measuring, quantity: str, *, alone: bool) -> None:
    """Refuse a control where nothing is on the fly, or where one figure would hold more than curves and their gap."""
    if wanted.objective != "adversarial" or wanted.attack == "none":
        raise InputError("--with-fixed goes beside examples made on the fly; leave out --objective and --attack none.")
    if quantity.startswith("natural"):
        raise InputError(f"{quantity} does not depend on the attack; ask --with-fixed for loss or robust-error.")
    if not alone:
        raise InputError("--with-fixed takes one --epsilon and no --epochs; name one checkpoint at one of them.")


def _titles(plans: Sequence[tuple[Source, SurfacePlan]], epsilons: Sequence[float | None]) -> list[str]:
    """What the curves are called: as their models, and of several epsilons with their own."""
    from landscape.analysis.settings import sizes_in_words

    known = [epsilon for epsilon in epsilons if epsilon is not None]
    if len(known) < 2:
        return [source.title for source, _ in plans]
    words = sizes_in_words(known)
    return [f"{source.title}, ε = {words[number % len(words)]}" for number, (source, _) in enumerate(plans)]


def _model(source: Source, plan: SurfacePlan, wanted: Measuring) -> str:
    """What curves of several epsilons have in common."""
    return f"{source.title} ({plan.examples.split})" if len(wanted.splits) > 1 else source.title
