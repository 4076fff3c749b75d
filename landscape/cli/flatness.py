"""`landscape flatness`: numbers of flatness, each with its standard error, and how they go with the robust gap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landscape.cli import options
from landscape.cli.flatness_options import ELSEWHERE, Asked, gap_options, measure_options, random_lines
from landscape.cli.measuring import Measuring, objective_option, sampling_options, unusual
from landscape.cli.surfaces import compute_plans, plans_for, say_cost, say_unfinished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from landscape.analysis.flatness import Measure
    from landscape.analysis.flatness_table import Flatness
    from landscape.analysis.gap import Gap
    from landscape.cli.sources import Source
    from landscape.surfaces.plan import SurfacePlan
    from landscape.surfaces.surface import Surface

BESIDE = {
    "worst-case": "worst case",
    "eigenvalue": "eigenvalue",
    "trace": "trace",
    "pac-bayes": "PAC-Bayes",
    "train": "gap",
    "test": "gap",
}
"""What progress bars call the surfaces of a checkpoint beside those along random directions."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is measured of one checkpoint.

    Attributes:
        source: the checkpoint.
        base: its plan along random directions.
        plans: every surface by the name of what it is for; of the gap `train` and `test`.
    """

    source: Source
    base: SurfacePlan
    plans: tuple[tuple[str, SurfacePlan], ...]

    @property
    def titled(self) -> list[tuple[str, SurfacePlan]]:
        """The plans with what progress bars call them."""
        title = self.source.title
        return [(f"{title}, {BESIDE[name]}" if name in BESIDE else title, plan) for name, plan in self.plans]


@click.command("flatness")
@click.argument("checkpoints", nargs=-1, required=True, metavar="CKPT...")
@measure_options
@random_lines
@objective_option("adversarial")
@sampling_options
@gap_options
@click.option("--csv", "csv_file", type=click.Path(), help="Also write the numbers as CSV, one row per checkpoint.")
@click.option("--epochs", type=options.Epochs(), help="Of run folders, FROM:TO:STEP: a row for each epoch.")
@click.pass_obj
def command(settings: dict[str, Any], /, checkpoints: tuple[str, ...], **given: Any) -> None:
    """Measure how flat the adversarial loss is around the weights of each CKPT: numbers with standard errors.

    rise(r): the mean rise of the loss along random directions; curvature: of the same curves at the centre; worst-case:
    the rise at the end of an ascent in a ball of relative radius gamma; eigenvalue and trace of the Hessian on examples
    fixed at the centre; pac-bayes: the expected rise of 0-1 loss and cross-entropy under Gaussian weights. Every
    definition is printed with its source.

    A CKPT is a checkpoint file, a run folder (its last checkpoint, or a row for each of --epochs), or a bundled name.
    What surfaces in the cache hold already is not computed again. From three checkpoints on, the robust generalization
    gap of each is measured too, and how every measure goes with it is printed and drawn: an association, no cause.
    """
    from landscape import files
    from landscape.cli.flatness_gap import gap_plans, wants_gap
    from landscape.cli.flatness_report import report_flatness
    from landscape.cli.report import figure_path

    given = {**ELSEWHERE, "quantity": "loss", **given}
    wanted, asked = Measuring.from_options(given), Asked.from_options(given)
    sources = _sources(checkpoints, given["epochs"])
    found = plans_for(sources, wanted, directions=given["directions"], grid=_grid(asked))
    base = [plan for _, plan in found]
    with_gap = wants_gap(given["correlate"], base, wanted)
    gaps = gap_plans(base, wanted, given["gap_examples"]) if with_gap else [()] * len(found)
    jobs = [
        Job(source=source, base=plan, plans=(*_plans(plan, asked), *zip(("train", "test"), pair, strict=False)))
        for (source, plan), pair in zip(found, gaps, strict=True)
    ]
    if wanted.dry_run:
        say_cost([(replace(job.source, title=title), plan) for job in jobs for title, plan in job.titled], wanted)
        return
    named = dict.fromkeys(source.run.absolute().name if source.run else source.title for source in sources)
    command_name = "-".join(["flatness", *unusual(given)])
    out = figure_path(wanted.out, list(named), command_name) if with_gap else None
    for path in filter(None, (out, given["csv_file"])):
        files.require_writable(Path(path).absolute().parent)
    surfaces = _computed(jobs, wanted, quiet=bool(settings.get("quiet")) or wanted.as_json)
    if not all(surface.complete for found in surfaces for surface in found):
        say_unfinished([surface for found in surfaces for surface in found], wanted)
        return
    rows = _rows(jobs, surfaces, wanted, asked, given["epochs"])
    places = [str(wanted.cache / f"{plan.key}.h5") for job in jobs for _, plan in job.plans]
    report_flatness(
        rows, wanted, asked, csv_file=given["csv_file"], out=out, places=places, num_moving=_num_moving(base[0], asked)
    )


def _sources(named: tuple[str, ...], epochs: range | None) -> list[Source]:
    """The checkpoints; of each run folder all `epochs`, whose titles then say the run if there are several."""
    from landscape.cli.sources import find_sources

    if epochs is None or len(named) == 1 or not any(Path(name).is_dir() for name in named):
        return find_sources(named, epochs)
    alone = iter(find_sources(tuple(name for name in named if not Path(name).is_dir()), None))
    found: list[Source] = []
    for name in named:
        found += find_sources((name,), epochs) if Path(name).is_dir() else [next(alone)]
    return [replace(source, title=source.label) for source in found]


def _grid(asked: Asked) -> Any:
    """Where random directions are measured: the radii and the window of the curvature, or what the user says."""
    from landscape.surfaces.evaluation import AT_THE_CENTRE
    from landscape.surfaces.flatness_plans import flatness_grid

    if not asked.along_random:
        return AT_THE_CENTRE
    if asked.own_grid is not None:
        return (asked.own_grid,)
    radii = asked.radii if "rise" in asked.measures else ()
    return flatness_grid(radii, curvature="curvature" in asked.measures)


def _plans(plan: SurfacePlan, asked: Asked) -> list[tuple[str, SurfacePlan]]:
    """Every surface that the measures of one checkpoint need, by the name of what it is for."""
    from landscape.surfaces import flatness_plans

    layers, found = asked.layers, [("rise", plan)] if asked.along_random else []
    if "worst-case" in asked.measures:
        found += [("worst-case", flatness_plans.worst_case_plan(plan, g, layers=layers)) for g in asked.gammas]
    if "eigenvalue" in asked.measures:
        found.append(("eigenvalue", flatness_plans.eigenvalue_plan(plan, layers=layers)))
    if "trace" in asked.measures:
        found.append(("trace", flatness_plans.trace_plan(plan, num_probes=asked.probes, layers=layers)))
    if "pac-bayes" in asked.measures:
        about: dict[str, Any] = {"sigma": asked.sigma, "draws": plan.num_directions, "layers": layers}
        found += [("pac-bayes", flatness_plans.pac_bayes_plan(plan, scale, **about)) for scale in asked.scales]
    return found


def _computed(jobs: Sequence[Job], wanted: Measuring, *, quiet: bool) -> list[list[Surface]]:
    """The surfaces of every checkpoint in the order of its plans, one checkpoint after the other."""
    if wanted.layers is not None and not wanted.as_json:
        from landscape.cli.layers import layers_as_text

        click.echo(f"{layers_as_text([job.base for job in jobs])}\n")
    titled = [pair for job in jobs for pair in job.titled]
    surfaces = iter(
        compute_plans(
            [plan for _, plan in titled],
            replace(wanted, layers=None),  # whose table was printed once, above
            quiet=quiet,
            titles=[title for title, _ in titled],
        )
    )
    return [[next(surfaces) for _ in job.plans] for job in jobs]


def _rows(
    jobs: Sequence[Job],
    surfaces: Sequence[Sequence[Surface]],
    wanted: Measuring,
    asked: Asked,
    epochs: range | None,
) -> list[Flatness]:
    from landscape.cli.flatness_gap import run_of
    from landscape.cli.sources import run_titles

    folders = [run_of(job.source) for job in jobs]
    runs = run_titles([folder for folder in folders if folder is not None])
    return [
        _row(
            job,
            found,
            wanted,
            asked,
            run=None if folder is None else runs[folder],
            selected=_is_selected(job, jobs, epochs),
        )
        for job, found, folder in zip(jobs, surfaces, folders, strict=True)
    ]


def _is_selected(job: Job, jobs: Sequence[Job], epochs: range | None) -> bool:
    """Whether a checkpoint is in a series only because it is the best of its run: neither asked for nor the last."""
    source = job.source
    if source.run is None or epochs is None or source.epoch in epochs:
        return False
    return source.epoch != max(other.source.epoch or 0 for other in jobs if other.source.run == source.run)


def _row(
    job: Job, surfaces: Sequence[Surface], wanted: Measuring, asked: Asked, *, run: str | None, selected: bool
) -> Flatness:
    from landscape.analysis.flatness_table import Flatness

    training = wanted.other(job.source).training or {}
    epoch, method = (training.get(name) for name in ("epoch", "method"))
    measures = [
        one
        for (name, _), surface in zip(job.plans, surfaces, strict=True)
        for one in _measures_on(name, surface, asked)
    ]
    return Flatness(
        label=job.source.title,
        path=job.source.path,
        surface=surfaces[0],
        measures=tuple(measures),
        run=run,
        epoch=epoch if isinstance(epoch, int) else None,
        split=job.base.examples.split,
        method=method if isinstance(method, str) else None,
        gap=_gap(job, surfaces),
        selected=selected,
    )


def _gap(job: Job, surfaces: Sequence[Surface]) -> Gap | None:
    from landscape.analysis.gap import Gap

    found = {name: surface for (name, _), surface in zip(job.plans, surfaces, strict=True)}
    return Gap(train=found["train"], test=found["test"]) if "test" in found else None


def _measures_on(name: str, surface: Surface, asked: Asked) -> list[Measure]:
    """The measures that one surface gives; none if it is of the gap."""
    from landscape.analysis import flatness_measures

    if name == "rise":
        rises = flatness_measures.rises(surface, asked.radii) if "rise" in asked.measures else []
        curvature = flatness_measures.curvature(surface) if "curvature" in asked.measures else None
        return [*rises, *([] if curvature is None else [curvature])]
    if name == "pac-bayes":
        return flatness_measures.pac_bayes_terms(surface)
    single = {
        "worst-case": flatness_measures.worst_case_rise,
        "eigenvalue": flatness_measures.top_eigenvalue,
        "trace": flatness_measures.hessian_trace,
    }
    return [single[name](surface)] if name in single else []


def _num_moving(plan: SurfacePlan, asked: Asked) -> int:
    """How many weights Gaussian draws move; of `--sigma literal`, in how many layers."""
    from landscape.surfaces.directions import RandomDirections
    from landscape.weights import parameters_of

    weights = parameters_of(plan.model)
    moving = RandomDirections(layers=asked.layers).moving(weights)
    return len(moving) if asked.sigma == "literal" else sum(weights[name].numel() for name in moving)
