"""The options of `landscape train`, in sections; none has a default of its own, so that a file's settings stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from landscape import names
from landscape.cli.options import Arguments, Number, combined

Function = TypeVar("Function", bound=Callable[..., Any])


class SectionOption(click.Option):
    """An option that `--help` lists in its section."""

    def __init__(self, *arguments: Any, section: str, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.section = section


class SectionCommand(click.Command):
    """A command whose options of `SectionOption` stand in their sections in `--help`, the others first."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                sections.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        for name, records in sections.items():
            with formatter.section(name):
                formatter.write_dl(records)


def _section(name: str, *options: tuple[tuple[str, ...], dict[str, Any]]) -> Callable[[Function], Function]:
    return combined(*(click.option(*words, cls=SectionOption, section=name, **settings) for words, settings in options))


def _option(*words: str, **settings: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return words, settings


def _switch(word: str, **settings: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return (f"--{word}/--no-{word}",), {"default": None, **settings}


_AT_LEAST_ZERO = Number(inclusive=True)

_FROM_0, _FROM_1 = click.IntRange(min=0), click.IntRange(min=1)

what_options = _section(
    "What is trained",
    _option("--method", help=f"One of {', '.join(names.METHODS)}.  [default: at]"),
    _option("--dataset", help=f"One of {', '.join(names.DATASETS)}, or the path of your own.  [default: digits]"),
    _option("--model", help=f"One of {', '.join(names.MODELS)}, or package.module:factory.  [default: by data set]"),
    _option("--model-arguments", type=Arguments(), help="Arguments of the model, such as width=16."),
    _option("--normalization", help="cifar10, cifar100, svhn, none, or MEAN,../STD,...  [default: the data set's]"),
    _option("--from", "start_from", help="Checkpoint to begin with; its last layer is new if the classes differ."),
    _option("--train-examples", type=_FROM_1, help="Training examples used, as many of each class.  [default: all]"),
    _option(
        "--validation", type=_FROM_1, help="Training examples kept apart to choose the best epoch.  [default: none]"
    ),
    _option(
        "--data-dir", type=click.Path(), help="Folder of the data.  [default: $LANDSCAPE_DATA, else data in the cache]"
    ),
    _option("--seed", type=click.IntRange(0, 2**64 - 1), help="Seed of everything.  [default: 0]"),
)

update_options = _section(
    "Updates",
    _option("--epochs", type=_FROM_1, help="Epochs of the run.  [default: 100; mnist 20; cifar10, cifar100, svhn 200]"),
    _option("--lr", type=Number(), help="Largest learning rate.  [default: 0.1, svhn 0.01]"),
    _option("--batch-size", type=_FROM_1, help="Examples in an update.  [default: 128]"),
    _option("--schedule", help=f"Learning rate over time: {', '.join(names.SCHEDULES)}.  [default: piecewise]"),
    _option("--lr-drop-epoch", type=_FROM_0, help="Epoch at which the schedule onedrop falls.  [default: 100]"),
    _option("--lr-one-drop", type=Number(), help="The rate that it falls to.  [default: 0.01]"),
    _option("--weight-decay", type=_AT_LEAST_ZERO, help="Of all parameters.  [default: 5e-4, with --l2 0]"),
    _option("--l1", type=Number(), help="Penalty on the absolute values of weights, 5e-6.  [default: none]"),
    _option("--l2", type=Number(), help="Decay of weights alone, not of BatchNorm and biases, 5e-3.  [default: none]"),
    _switch("nesterov", help="Nesterov's momentum.  [default: no]"),
    _option("--augmentation", help=f"{', '.join(names.AUGMENTATIONS)}.  [default: by data set]"),
    _option("--cutout", type=_FROM_1, help="Side of a black square inside each image, in pixels, 14.  [default: none]"),
    _option("--mixup", type=Number(), help="Parameter of mixup's Beta distribution, 1.4.  [default: none]"),
)

attack_options = _section(
    "Adversarial examples",
    _option("--norm", help=f"Norm of the attack: {' or '.join(names.THREAT_NORMS)}.  [default: the data set's]"),
    _option(
        "--epsilon",
        type=_AT_LEAST_ZERO,
        help="Size of the attack on inputs in [0, 1], 8/255.  [default: the data set's]",
    ),
    _option(
        "--step-size",
        type=Number(),
        help="Step of the attack, 2/255.  [default: the data set's; of another epsilon a quarter, l2 15/128]",
    ),
    _option("--attack-steps", type=_FROM_1, help="Steps of the attack in training.  [default: 10]"),
    _option("--attack-mode", help="The model's mode in the attack, train or eval.  [default: at train, else eval]"),
    _option("--epsilon-ramp", type=_FROM_0, help="First epochs in which epsilon grows from 0.  [default: 0]"),
    _option("--drop-below", type=Number(), help="Leave out examples with a loss below this, in nats.  [default: none]"),
)

objective_options = _section(
    "TRADES, MART and RST",
    _option("--beta-trades", type=_AT_LEAST_ZERO, help="Weight of the divergence in TRADES.  [default: 6]"),
    _option("--mart-lambda", type=_AT_LEAST_ZERO, help="Weight of the divergence in MART.  [default: 5]"),
    _option("--rst-base", help="Objective of RST, trades or mart.  [default: trades]"),
    _option(
        "--labelled",
        type=_FROM_1,
        help="RST hides the labels of all training examples but this many.  [default: none hidden]",
    ),
    _option("--unlabelled", type=click.Path(), help="RST's examples without labels, an .npz file.  [default: none]"),
    _option("--unlabelled-weight", type=_AT_LEAST_ZERO, help="How much a pseudo-label counts.  [default: 1]"),
)

perturbation_options = _section(
    "Weight perturbation",
    _option(
        "--gamma",
        type=Number(),
        help="Its size as a share of that of the weights.  [default: 0.01, digits 0.02; half in trades, mart, rst]",
    ),
    _option(
        "--awp-warmup",
        type=_FROM_0,
        help="First epochs without it.  [default: 0; svhn in linf 5; trades, rst 9, not on digits]",
    ),
    _option("--awp-steps", type=_FROM_1, help="K2, steps of AWP in an alternation.  [default: 1]"),
    _option("--awp-alternations", type=_FROM_1, help="A, alternations of AWP.  [default: 1]"),
    _option("--awp-norm", help="Whether AWP's size is that of each layer or global.  [default: layer]"),
    _option("--awp-size", help="Norm of sizes, l2 or l1.  [default: l2]"),
    _option("--lsc-range", help="AWP sees examples with a loss in this range of nats, 0:1.5.  [default: all]"),
    _option(
        "--c-min", type=Number(), help="RWP sees examples with a loss below this, in nats.  [default: 1.7, cifar100 4]"
    ),
    _option("--rwp-steps", type=_FROM_1, help="K2, steps of RWP.  [default: 10]"),
    _option("--rwp-accumulation", help="How RWP adds its steps up, as reference or paper.  [default: reference]"),
    _option("--rwp-mask", help="RWP's examples: strict (below c-min) or closed (at most c-min).  [default: strict]"),
    _option("--rwp-mask-loss", help="The loss that c-min is for, ce or objective.  [default: ce]"),
)

noise_options = _section(
    "Parametric noise",
    _option("--noise-alpha", type=_AT_LEAST_ZERO, help="Its initial scale in at-pni.  [default: 0.25]"),
    _option(
        "--noise-draws",
        type=click.IntRange(1, 254),
        help="Draws of it that evaluations are averaged over.  [default: 1]",
    ),
)

running_options = _section(
    "Running",
    _option("--device", help="auto, cpu, cuda or cuda:N.  [default: auto]"),
    _option("--precision", help=f"{', '.join(names.PRECISIONS)}; fp32 is without TF32.  [default: fp32]"),
    _switch("compile", help="Compile the model with torch.compile; on the CPU it needs a C++ compiler.  [default: no]"),
    _option(
        "--accumulate",
        type=_FROM_1,
        help="Parts in which a batch passes through the model, for memory; BatchNorm sees each alone.  [default: 1]",
    ),
    _option("--eval-every", type=_FROM_1, help="Epochs from one evaluation to the next.  [default: 1]"),
    _option("--eval-attack", help="Attack of the history: pgd-K, cw-K, fgsm, fgsm-rs or none.  [default: pgd-10]"),
    _option("--eval-examples", type=_FROM_1, help="Examples of each split in the history, at most.  [default: 500]"),
    _option("--checkpoint-every", type=_FROM_1, help="Epochs from one kept checkpoint to the next.  [default: 10]"),
)

setting_options = combined(
    what_options,
    update_options,
    attack_options,
    objective_options,
    perturbation_options,
    noise_options,
    running_options,
)
"""One option for every field of `TrainConfig`."""
