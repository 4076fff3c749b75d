"""The command `landscape`: a table of subcommands, each imported only when it is named."""

from __future__ import annotations

import errno
import importlib
import logging
import os
import signal
import sys
from types import FrameType
from typing import Any

import click

from landscape import __version__
from landscape.cli.launching import is_launched, speaks
from landscape.cli.suggestions import SuggestingGroup, explained
from landscape.errors import Interrupted, LandscapeError
from landscape.memory import keep_freed_memory

COMMANDS = {
    "train": ("landscape.cli.train", "Train a model and write a run folder."),
    "plot-1d": ("landscape.cli.plot_1d", "Loss curves along random directions (Algorithm 1 of the AWP paper)."),
    "plot-2d": ("landscape.cli.plot_2d", "Loss contours over planes of two directions, and reliefs."),
    "lsc-groups": (
        "landscape.cli.lsc_groups",
        "Landscapes of groups of examples: by loss, class or correctness.",
    ),
    "evaluate": ("landscape.cli.evaluate", "Natural and robust accuracy under named attacks, and the gap."),
    "flatness": ("landscape.cli.flatness", "Numbers of flatness, each with its error, and the robust gap beside them."),
    "check": ("landscape.cli.check", "Does the landscape of a checkpoint deserve trust?"),
    "perturbed-loss": (
        "landscape.cli.perturbed_loss",
        "The loss under adversarial and random perturbation of the weights.",
    ),
    "weights": ("landscape.cli.weights", "Histograms of the weights of each layer, for several checkpoints."),
    "plot": ("landscape.cli.plot", "Redraw a figure from surface files, without the model."),
    "history": ("landscape.cli.history", "Learning curves of training runs, with the gap."),
    "cache": ("landscape.cli.cache", "List, show, merge, export, import and clear stored surfaces."),
    "data": ("landscape.cli.data", "Fetch data sets and say where they lie."),
}

INTERRUPTED = 130

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Why standard output, or the file that it goes to, takes no more; other files have errors of their own."""

OUT_OF_MEMORY = "Error: not enough memory; use fewer --examples or a smaller --batch-size."


class LazyGroup(SuggestingGroup):
    """A group whose commands are modules; `--help` of the group reads only the table above."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[name][0]).command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


class SaidOnce(logging.Filter):
    """Lets every message pass once: what is read for several checkpoints is no news the second time."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        new = said not in self._said
        self._said.add(said)
        return new


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="landscape", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", count=True, help="Say more; twice: everything.")
@click.option("-q", "--quiet", is_flag=True, help="Say only results and failures: no progress, no warnings.")
@click.pass_context
def group(context: click.Context, verbose: int, quiet: bool) -> None:
    """Draw and measure the weight loss landscape of adversarially trained networks."""
    level = logging.ERROR if quiet else {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(SaidOnce())
    # Other libraries speak up only when something is wrong, however much is asked of this one.
    logging.basicConfig(level=max(level, logging.WARNING), format="%(levelname)s: %(message)s", handlers=[handler])
    logging.getLogger("landscape").setLevel(level)
    context.obj = {"quiet": quiet, "verbose": verbose}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit 0 done, 1 a known failure, 2 a wrong call, 130 stopped by the user."""
    keep_freed_memory()
    signal.signal(signal.SIGTERM, _as_keyboard_interrupt)
    try:
        code: Any = group.main(args=arguments, standalone_mode=False)
    except Interrupted as stop:
        _fail(str(stop), INTERRUPTED)
    except LandscapeError as failure:
        _fail(f"Error: {failure}", 1)
    except click.ClickException as wrong_call:
        if speaks():
            explained(wrong_call, group).show()
        sys.exit(wrong_call.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("Stopped.", INTERRUPTED)
    except BrokenPipeError:
        _silence_stdout()
        sys.exit(1)
    except OSError as failure:
        if failure.filename is not None or failure.errno not in FULL:
            raise
        _flush_stdout()
        _fail(f"Error: cannot write the output: {failure.strerror}; make room, or send it elsewhere.", 1)
    except MemoryError:
        _fail(OUT_OF_MEMORY, 1)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, by name: torch may not be imported for this
            raise
        _fail(OUT_OF_MEMORY, 1)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _as_keyboard_interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> None:
    if is_launched():
        # torchrun ends all processes as soon as one has failed, and this one is ending by itself.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if speaks():
        click.echo(message, err=True)
    sys.exit(code)


def _flush_stdout() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _silence_stdout()


def _silence_stdout() -> None:
    # It takes nothing any more; without this the interpreter would complain when it flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
