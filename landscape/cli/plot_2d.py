"""`landscape plot-2d`: the loss over planes of two directions, with adversarial examples made anew at every point."""

from __future__ import annotations

from typing import Any

import click

from landscape.cli import options
from landscape.cli.less_work import in_name, refine_option, until_option, with_enough_examples, with_refinement
from landscape.cli.measuring import Measuring, measuring_options, objective_option, unusual
from landscape.cli.surfaces import compute_plans, layer_numbers, plans_for, say_cost, say_unfinished
from landscape.errors import InputError


@click.command("plot-2d")
@click.argument("checkpoints", nargs=-1, required=True, metavar="CKPT...")
@click.option("--alpha", type=options.Line(), help="Nodes, FROM:TO:NUM.  [default: -1:1:21, or what suits the kind]")
@click.option("--beta", type=options.Line(), help="Nodes along the second direction.  [default: those of --alpha]")
@click.option("--orthogonal", is_flag=True, help="Make the second direction orthogonal to the first.")
@objective_option("adversarial")
@measuring_options
@until_option
@refine_option
@options.plane_options
@click.pass_obj
def command(settings: dict[str, Any], /, checkpoints: tuple[str, ...], **given: Any) -> None:
    """Draw g(alpha, beta), the loss of models moved along two random directions, for each of up to four CKPT.

    A CKPT is a checkpoint file, a run folder (its last checkpoint), or the name of a bundled checkpoint such as
    digits-at. All are moved along the same draws, normalized to each of them, and drawn with one colour scale:
    contours of g and of |g(alpha, beta) - g(0, 0)|, and reliefs below them. The cosine of the two directions is
    always said; random ones are nearly orthogonal without --orthogonal. --seed gives another plane. Results are kept
    in the cache: the same call is instant the second time, an interrupted one goes on where it stopped; --dry-run
    says what it would cost.

    Other planes: --towards twice, through three checkpoints; --trajectory, the first two principal components of a path
    of checkpoints; --direction hessian, its first two eigenvectors; --direction worst-case, beside a random direction.

    --refine X saves most of the points of a plane of 17 x 17 nodes or more: --alpha and --beta are then its finest
    nodes.
    """
    from landscape import files
    from landscape.analysis.levels import require_levels_fit
    from landscape.analysis.plane_figure import require_panels
    from landscape.cli.plane_report import report_planes
    from landscape.cli.report import figure_path
    from landscape.cli.sources import find_sources
    from landscape.surfaces.planes import orthogonal_pairs

    wanted = Measuring.from_options(given)
    if given["quantity"] == "robust-error" and (wanted.attack == "none" or wanted.objective == "clean"):
        raise InputError("there is no robust error without an attack; ask for --quantity natural-error.")
    require_levels_fit(given["levels"], error=given["quantity"].endswith("error"))
    sources = find_sources(checkpoints, None)
    require_panels(len(sources) * len(wanted.splits))
    special = [*(["orthogonal"] if given["orthogonal"] else []), *unusual(given), *in_name(given)]
    out = figure_path(wanted.out, [source.title for source in sources], "-".join(["plot-2d", *special]))
    lines = given["alpha"], given["beta"] or given["alpha"]
    adapt = orthogonal_pairs if given["orthogonal"] else None
    plans = plans_for(sources, wanted, directions=1, grid=lines, adapt=adapt)
    plans = with_refinement(plans, wanted, given["refine"])
    plans = with_enough_examples(plans, wanted, given["until_se"])
    if wanted.dry_run:
        say_cost(plans, wanted)
        return
    if wanted.shard is None:
        files.require_writable(out.absolute().parent)
    quiet = bool(settings.get("quiet")) or wanted.as_json
    surfaces = compute_plans([plan for _, plan in plans], wanted, quiet=quiet)
    if not all(surface.complete for surface in surfaces):
        say_unfinished(surfaces, wanted)
        return
    report_planes(
        surfaces,
        [source.title for source, _ in plans],
        paths=[wanted.cache / f"{surface.key}.h5" for surface in surfaces],
        out=out,
        quantity=given["quantity"],
        levels=given["levels"],
        as_json=wanted.as_json,
        extra=layer_numbers([plan for _, plan in plans], wanted),
    )
