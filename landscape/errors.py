"""Known failures. Each message is one sentence: what was expected, what came, and what to do.

The command line prints the message of a `LandscapeError` without a traceback and exits with 1; any other exception is a
defect of this package and shows its traceback.
"""

from __future__ import annotations


class LandscapeError(Exception):
    """A failure whose cause is known and whose message says what to do about it."""


class InputError(LandscapeError, ValueError):
    """An argument is outside its range or does not fit another argument."""


class DataError(LandscapeError):
    """A data set is missing, damaged, or not in the layout that was expected."""


class ModelError(LandscapeError):
    """A model is unknown, cannot be built, or does not fit its inputs."""


class AttackError(LandscapeError):
    """An attack left its ball or the pixel box, or cannot run here."""


class CheckpointError(LandscapeError):
    """A checkpoint cannot be read, is unsafe to read, or does not fit its model."""


class SurfaceError(LandscapeError):
    """A stored surface is damaged or does not match what its name promises."""


class BusyError(SurfaceError):
    """Another live process is computing the same surface."""


class TrainingError(LandscapeError):
    """A training run cannot start, cannot go on, or was asked for with other settings than its folder holds."""


class FileError(LandscapeError):
    """A file cannot be read or written: no space left, no permission, a folder in its place."""


class Interrupted(LandscapeError):
    """The user stopped the command; the message says what was kept and how to go on."""


def first_line(error: Exception) -> str:
    """Of what another library's failure says, or its kind if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
