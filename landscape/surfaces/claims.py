"""Who computes a surface: one small file for each writer, judged by whether its process still lives.

`main` excludes every other writer of a surface; `shard-I-of-N` writers stand side by side. All functions that change a
folder are called under the surface's lock.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from landscape.errors import BusyError, FileError, InputError
from landscape.files import canonical_json, open_regular, parse_json, reason_of, remove_file, write_text

logger = logging.getLogger(__name__)

MAIN = "main"
SUFFIX = ".claim"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A process that computes a surface.

    Attributes:
        writer: its role, `main` or `shard-I-of-N`.
        pid: process id.
        host: name of its machine.
        since: when it claimed the surface, local time with its offset.
        namespace: which pids it sees (containers on one machine count for themselves); None where that is not known.
        birth: boot of the machine and start of the process, which a later process with the same pid does not share;
            None where that is not known.
        foreign: whether another version of this package wrote it, with fields that this one does not know; not stored.
    """

    writer: str
    pid: int
    host: str
    since: str
    namespace: str | None
    birth: str | None
    foreign: bool = False

    @property
    def judged_here(self) -> bool:
        """Whether this process can tell if that one lives."""
        return not self.foreign and (self.host, self.namespace) == (socket.gethostname(), _namespace())

    @property
    def alive(self) -> bool:
        """Whether the process lives; a process that cannot be judged from here counts as alive."""
        if not self.judged_here:
            return True
        if self.birth is None:
            return _exists(self.pid)
        found = _birth(self.pid)
        # /proc may hide the processes of other users; one of our own that is not there is dead.
        return found == self.birth if found is not None else _exists(self.pid, ours=False)

    def to_json(self) -> str:
        """The claim as the text of its file."""
        return canonical_json({name: value for name, value in asdict(self).items() if name in _FIELDS})

    @classmethod
    def from_json(cls, text: bytes, writer: str) -> Claim:
        """The claim in the file of `writer`.

        Raises:
            ValueError: this is no claim.
        """
        found = parse_json(text)
        if not isinstance(found, dict):
            raise ValueError("it is no object")
        sound = {name: value for name, value in found.items() if name in _FIELDS and _FIELDS[name](value)}
        if not found.keys() <= _FIELDS.keys():
            # Its other fields may say anything: it is believed to live, and people are told what they can be told.
            return cls(**{**_UNSAID, **sound, "writer": writer, "foreign": True})
        if sound.keys() != _FIELDS.keys() or sound["writer"] != writer:
            raise ValueError("a field is missing or makes no sense")
        return cls(**sound)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_text_or_none(value: Any) -> bool:
    return value is None or _is_text(value)


def _is_pid(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "writer": _is_text,
    "pid": _is_pid,
    "host": _is_text,
    "since": _is_text,
    "namespace": _is_text_or_none,
    "birth": _is_text_or_none,
}
"""What a claim's file holds, and what each value must be."""

_UNSAID: Mapping[str, Any] = {
    "pid": 0,
    "host": "an unknown machine",
    "since": "an unknown time",
    "namespace": None,
    "birth": None,
}


def this_process(writer: str) -> Claim:
    """The claim of this process as `writer`.

    Raises:
        InputError: the writer is neither `main` nor `shard-I-of-N` with 1 <= I <= N.
    """
    shard = re.fullmatch(r"shard-([1-9]\d*)-of-([1-9]\d*)", writer)
    if writer != MAIN and not (shard and int(shard[1]) <= int(shard[2])):
        raise InputError(f"a writer is main or shard-I-of-N with I from 1 to N, got {writer!r}.")
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    pid = os.getpid()
    host = socket.gethostname()
    return Claim(writer=writer, pid=pid, host=host, since=since, namespace=_namespace(), birth=_birth(pid))


def take(folder: Path, writer: str, *, key: str) -> Claim:
    """Claim the surface `key` for this process; claims of dead processes are taken over.

    Args:
        folder: the folder of the surface's journals.
        writer: `main` or `shard-I-of-N`.
        key: the surface, for the message.

    Raises:
        BusyError: a live process excludes this one.
        InputError: the writer's name has another form.
        FileError: the claim cannot be written.
    """
    claim = this_process(writer)
    for other in living(folder):
        if MAIN in (writer, other.writer) or writer == other.writer:
            raise BusyError(busy_message(other, folder, key))
    write_text(_path(folder, writer), claim.to_json())
    return claim


def release(folder: Path, claim: Claim) -> None:
    """Take `claim` back; a claim that another process holds by now stays.

    Raises:
        FileError: the claim cannot be read or deleted.
    """
    if _read(_path(folder, claim.writer)) == claim:
        remove_file(_path(folder, claim.writer))


def living(folder: Path) -> list[Claim]:
    """The claims of live processes, in the order of their writers; the files of dead ones are removed."""
    alive = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        claim = _read(path)
        if claim is not None and claim.alive:
            alive.append(claim)
            continue
        logger.info("%s: its process is gone (%s); taken over.", path, claim)
        remove_file(path)
    return alive


def running(folder: Path) -> list[Claim]:
    """As `living`, without changing anything."""
    claims = (_read(path) for path in sorted(folder.glob(f"*{SUFFIX}")))
    return [claim for claim in claims if claim is not None and claim.alive]


def busy_message(claim: Claim, folder: Path, key: str) -> str:
    """The sentence that says who is in the way and what to do."""
    if claim.judged_here:
        remedy = "wait for it or stop it"
    else:
        remedy = f"wait for it, or delete {_path(folder, claim.writer)} if that process is gone"
    return f"surface {key[:12]} is being computed by {claim}; {remedy}."


def _path(folder: Path, writer: str) -> Path:
    return folder / f"{writer}{SUFFIX}"


def _read(path: Path) -> Claim | None:
    try:
        with open_regular(path) as stream:
            return Claim.from_json(stream.read(), path.name.removesuffix(SUFFIX))
    except FileNotFoundError:
        return None
    except ValueError as error:
        # Claims are written atomically, so this is no claim that was cut short.
        logger.warning("%s is not a claim (%s); ignored.", path, error)
        return None
    except OSError as error:
        raise FileError(f"cannot read {path}: {reason_of(error)}; move it away.") from error


def _exists(pid: int, *, ours: bool = True) -> bool:
    """Whether there is such a process; what `ours` says of one that this user may signal."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return ours


def _birth(pid: int) -> str | None:
    """Boot and start time (clock ticks since boot) of a live process; None if it is dead or there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The command name, in parentheses, may itself hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, start = fields[0], fields[19]
    return None if state in "ZXx" else f"{boot}/{start}"  # a zombie computes nothing any more


def _namespace() -> str | None:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None
