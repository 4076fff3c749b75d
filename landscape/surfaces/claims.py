"""Who computes a surface: one small file for each writer, judged by whether its process still lives.

`main` excludes every other writer of a surface; `shard-I-of-N` writers stand side by side. All functions that change a
folder are called under the surface's lock.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from landscape.errors import BusyError, FileError, InputError
from landscape.files import canonical_json, write_text

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
    """

    writer: str
    pid: int
    host: str
    since: str
    namespace: str | None
    birth: str | None

    @property
    def judged_here(self) -> bool:
        """Whether this process can tell if that one lives."""
        return (self.host, self.namespace) == (socket.gethostname(), _namespace())

    @property
    def alive(self) -> bool:
        """Whether the process lives; a process that cannot be judged from here counts as alive."""
        if not self.judged_here:
            return True
        if self.birth is None:
            return _exists(self.pid)
        found = _birth(self.pid)
        return found == self.birth if found is not None else _hidden(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


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
    write_text(_path(folder, writer), canonical_json(asdict(claim)))
    return claim


def release(folder: Path, claim: Claim) -> None:
    """Take `claim` back; a claim that another process holds by now stays."""
    if _read(_path(folder, claim.writer)) == claim:
        _path(folder, claim.writer).unlink(missing_ok=True)


def living(folder: Path) -> list[Claim]:
    """The claims of live processes, in the order of their writers; the files of dead ones are removed."""
    alive = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        claim = _read(path)
        if claim is not None and claim.alive:
            alive.append(claim)
            continue
        logger.info("%s: its process is gone (%s); taken over.", path, claim)
        _remove(path)
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
        return Claim(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        # Claims are written atomically, so this is no claim that was cut short.
        logger.warning("%s is not a claim; ignored.", path)
        return None
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}.") from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(f"cannot remove {path}: {error.strerror}; name another cache folder.") from error


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _hidden(pid: int) -> bool:
    """Whether the process is another user's, whom /proc may hide."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return False


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
