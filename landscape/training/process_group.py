"""Several processes, as `torchrun` starts them: how they exchange tensors, and how they begin and end together."""

from __future__ import annotations

import contextlib
import datetime
import importlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist

from landscape.devices import find_device
from landscape.errors import InputError, LandscapeError, TrainingError
from landscape.training.processes import ALONE, Processes

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch._C._distributed_c10d import Store

T = TypeVar("T")

logger = logging.getLogger(__name__)

TIMEOUT = datetime.timedelta(minutes=30)
"""How long processes wait for one that does not answer; one that has ended is noticed at once."""

_FAILURE, _HEARD = "landscape/failure", "landscape/heard"

_PATIENCE = datetime.timedelta(seconds=10)
"""How long a process that fails waits for the first one to hear why."""

_GRACE = 1.0
"""Seconds that the first one then has to say it: `torchrun` ends all processes as soon as one has failed."""


class LostError(TrainingError):
    """Another process does not answer any more."""


class ProcessGroup(Processes):
    """All processes of the default group of `torch.distributed`."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def part(self, count: int) -> tuple[Tensor, bool]:
        """Positions rank, rank + size, rank + 2 size, ...; see `Processes`."""
        positions = torch.arange(count)[self.rank :: self.size]
        return (positions, False) if len(positions) else (torch.zeros(1, dtype=torch.int64), True)

    @torch.no_grad()
    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """One exchange for all tensors; see `Processes`.

        Raises:
            LostError: another process does not answer.
        """
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        _exchange(dist.all_reduce, flat)
        pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
        # By copy, since convolutions may keep another layout than the flat one.
        return [torch.empty_like(t).copy_(piece.view(t.shape)) for t, piece in zip(tensors, pieces, strict=True)]

    def any(self, answer: bool) -> bool:
        """See `Processes`.

        Raises:
            LostError: another process does not answer.
        """
        # On the CPU, so that no device has to wait.
        flag = torch.tensor(float(answer))
        _exchange(dist.all_reduce, flag, op=dist.ReduceOp.MAX)
        return bool(flag)

    def first(self, do: Callable[[], T]) -> T:
        """See `Processes`; what `do` gives is pickled.

        Raises:
            LandscapeError: as `do`.
            LostError: another process does not answer.
        """
        outcome: list[Any] = [None, None]
        if self.rank == 0:
            outcome = list(_attempt(do))
        value = outcome[0]
        _exchange(dist.broadcast_object_list, outcome)
        if outcome[1] is not None:
            raise outcome[1]
        # The first one keeps what it has made, not a copy.
        result: T = value if self.rank == 0 else outcome[0]
        return result

    def each(self, do: Callable[[], T]) -> T:
        """See `Processes`.

        Raises:
            LandscapeError: as `do`, naming the process unless it is the first.
            LostError: another process does not answer.
        """
        value: Any = None
        for ours in (self.rank == 0, self.rank != 0):
            failure = None
            if ours:
                value, failure = _attempt(do)
            for rank, failed in enumerate(self.gather(failure)):
                if failed is not None:
                    raise failed if rank == 0 else type(failed)(f"process {rank}: {failed}")
        result: T = value
        return result

    def gather(self, value: T) -> list[T]:
        """See `Processes`; the values are pickled.

        Raises:
            LostError: another process does not answer.
        """
        values: list[Any] = [None] * self.size
        _exchange(dist.all_gather_object, values, value)
        return values

    @torch.no_grad()
    def share(self, model: nn.Module, *, parameters: bool = False) -> None:
        """See `Processes`.

        Raises:
            LostError: another process does not answer.
        """
        tensors = [*model.buffers(), *(model.parameters() if parameters else ())]
        if not tensors:
            return
        # Single precision and counters are exact in double precision.
        flat = torch.cat([tensor.double().reshape(-1) for tensor in tensors])
        _exchange(dist.broadcast, flat, src=0)
        pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, piece in zip(tensors, pieces, strict=True):
            tensor.copy_(piece.view(tensor.shape))


@contextlib.contextmanager
def together() -> Iterator[Processes]:
    """The processes that `torchrun` has started, or those of a process group that stands already, or this one alone.

    Raises:
        TrainingError: the processes do not reach each other.
    """
    if dist.is_available() and dist.is_initialized():
        yield ProcessGroup() if dist.get_world_size() > 1 else ALONE
    elif num_launched() > 1:
        with joined(_launched_store(), int(os.environ["RANK"]), num_launched()) as processes:
            yield processes
    else:
        yield ALONE


@contextlib.contextmanager
def joined(store: Store, rank: int, size: int, *, timeout: datetime.timedelta = TIMEOUT) -> Iterator[Processes]:
    """A process group for a block. When one process leaves by an exception, all do, and the first one gets to know why.

    Tensors on the CPU travel by gloo, tensors on CUDA devices by NCCL.

    Args:
        store: where the processes meet.
        rank: of this one.
        size: how many.
        timeout: how long to wait for one that does not answer.

    Raises:
        TrainingError: the processes do not reach each other; in the first process also for any failure of another.
    """
    # Functions in there keep the group that stands when they are imported, by the first optimizer, as a default
    # argument. Its threads would outlive the interpreter then, and at times abort the process.
    importlib.import_module("torch.distributed.nn.functional")
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    _exchange(dist.init_process_group, backend, store=store, rank=rank, world_size=size, timeout=timeout)
    try:
        processes = ProcessGroup()
        yield processes
        # Nobody leaves while others still wait for an answer.
        processes.any(False)
    except BaseException as error:
        _tell(store, rank, error)
        # Only now, so that the others find the reason when they find this process gone.
        _leave()
        _hear(store, rank, error)
        raise
    _leave()


def device_of(name: str, processes: Processes) -> torch.device:
    """The device that a user names, for this process: each has the CUDA device of its own number on its machine.

    Raises:
        InputError: an unknown name, too few CUDA devices, or one CUDA device named for several processes.
    """
    device = find_device(name)
    if processes.size == 1 or device.type != "cuda":
        return device
    if ":" in name:
        raise InputError(f"each process takes a CUDA device of its own; use --device cuda, got {name!r}.")
    return find_device(f"cuda:{os.environ.get('LOCAL_RANK', processes.rank)}")


def num_launched() -> int:
    """How many processes `torchrun` has started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if dist.is_available() and dist.is_torchelastic_launched() else 1


def _launched_store() -> Store:
    from torch.distributed.rendezvous import rendezvous

    meeting: list[Store] = []
    _exchange(lambda: meeting.append(next(iter(rendezvous("env://", timeout=TIMEOUT)))[0]))
    return meeting[0]


def _exchange(do: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    """Call a function of `torch.distributed`, in which one process may find that another is gone."""
    try:
        do(*arguments, **named)
        return
    except BaseException as error:
        # Without the frames below, which would keep the process group alive, and the others waiting, after `_leave`.
        failure = error.with_traceback(None)
    if type(failure) is not RuntimeError and not isinstance(failure, dist.DistError):
        raise failure
    # Without the place in the source before it and the advice after it.
    reason = re.sub(r"^\[\S*\] ", "", str(failure).strip()).partition("\n")[0].partition(". ")[0].rstrip(".")
    raise LostError(
        f"the processes of this run have lost each other ({reason}); start them again, and the same call goes on from "
        "the last finished epoch."
    )


def _attempt(do: Callable[[], T]) -> tuple[T | None, LandscapeError | None]:
    try:
        return do(), None
    except LostError:
        raise
    except LandscapeError as error:
        return None, error


def _leave() -> None:
    # A group ends by waiting for its threads. torch 2.6 holds the interpreter's lock meanwhile, which a thread may need
    # to let go of a tensor; held here until after the group, the backend waits without the lock.
    backend = dist.distributed_c10d._get_default_group()._get_backend(torch.device("cpu"))
    dist.destroy_process_group()
    del backend


def _tell(store: Store, rank: int, error: BaseException) -> None:
    """Leave the reason behind, unless it is that another process is gone."""
    if isinstance(error, LostError):
        return
    known = isinstance(error, LandscapeError)
    reason = str(error) if known else f"{type(error).__name__}: {error}".strip(": ").partition("\n")[0]
    with contextlib.suppress(RuntimeError):
        store.compare_set(_FAILURE, "", f"process {rank}: {reason}")


def _hear(store: Store, rank: int, error: BaseException) -> None:
    """Let the first process say why, before the others end.

    Raises:
        TrainingError: in the first process, when another one has failed.
    """
    if rank:
        try:
            store.wait([_HEARD], _PATIENCE)
            time.sleep(_GRACE)
        except RuntimeError:
            logger.error("process %d, and the first process does not answer: %s", rank, error)
        return
    told = None
    with contextlib.suppress(RuntimeError):
        if isinstance(error, LostError) and store.check([_FAILURE]):
            told = store.get(_FAILURE).decode()
        store.set(_HEARD, "1")
    if told is not None:
        raise TrainingError(told) from None
