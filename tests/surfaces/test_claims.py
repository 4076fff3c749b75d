from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landscape.errors import BusyError, FileError, InputError
from landscape.surfaces import claims

KEY = "0123456789abcdef" * 4


def write(folder: Path, claim: claims.Claim) -> Path:
    path = folder / f"{claim.writer}.claim"
    path.write_text(claim.to_json())
    return path


@pytest.fixture
def other() -> Any:
    """A live process that is not this one."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def claim_of(pid: int, writer: str = "main") -> claims.Claim:
    return replace(claims.this_process(writer), pid=pid, birth=claims._birth(pid))


def test_a_live_process_excludes_others_and_is_named(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    claim = claim_of(other.pid)
    write(tmp_path, claim)
    message = (
        f"surface 0123456789ab is being computed by process {other.pid} on {socket.gethostname()} "
        f"since {claim.since}; wait for it or stop it."
    )
    with pytest.raises(BusyError) as caught:
        claims.take(tmp_path, "main", key=KEY)
    assert str(caught.value) == message
    assert claims.living(tmp_path) == claims.running(tmp_path) == [claim]


@pytest.mark.parametrize(
    ("there", "comes", "allowed"),
    [
        pytest.param("main", "main", False, id="main main"),
        pytest.param("main", "shard-1-of-2", False, id="main shard"),
        pytest.param("shard-1-of-2", "main", False, id="shard main"),
        pytest.param("shard-1-of-2", "shard-1-of-2", False, id="same shard"),
        pytest.param("shard-1-of-2", "shard-2-of-2", True, id="shards"),
    ],
)
def test_shards_stand_side_by_side_and_main_stands_alone(
    tmp_path: Path, there: str, comes: str, allowed: bool, other: subprocess.Popen[bytes]
) -> None:
    write(tmp_path, claim_of(other.pid, there))
    if allowed:
        claims.take(tmp_path, comes, key=KEY)
        assert len(claims.living(tmp_path)) == 2
    else:
        with pytest.raises(BusyError):
            claims.take(tmp_path, comes, key=KEY)


def test_this_very_process_excludes_itself(tmp_path: Path) -> None:
    claim = claims.take(tmp_path, "main", key=KEY)
    with pytest.raises(BusyError, match=f"process {os.getpid()} "):
        claims.take(tmp_path, "main", key=KEY)
    claims.release(tmp_path, claim)
    claims.release(tmp_path, claims.take(tmp_path, "main", key=KEY))
    assert list(tmp_path.iterdir()) == []


def test_a_dead_process_is_taken_over(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    path = write(tmp_path, claim_of(other.pid))
    other.kill()
    other.wait()
    assert claims.running(tmp_path) == []
    assert path.exists()
    assert claims.living(tmp_path) == []
    assert not path.exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_zombie_is_dead(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    write(tmp_path, claim_of(other.pid))
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # dead, but nobody has asked for its exit status
    assert claims.running(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("birth", ["{boot}/1", "00000000-0000/{start}"], ids=["later start", "other boot"])
def test_a_later_process_with_the_same_pid_does_not_hold_the_claim(tmp_path: Path, birth: str) -> None:
    claim = claims.this_process("main")
    assert claim.birth is not None
    boot, start = claim.birth.split("/")
    write(tmp_path, replace(claim, birth=birth.format(boot=boot, start=start)))
    assert claims.running(tmp_path) == []
    taken = claims.take(tmp_path, "main", key=KEY)
    assert claims.living(tmp_path) == [taken]
    assert taken.birth == claim.birth


def test_without_a_start_time_the_pid_alone_decides(tmp_path: Path) -> None:
    mine = replace(claims.this_process("main"), birth=None)
    assert mine.alive
    assert not replace(mine, pid=2**22 + 12345).alive


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"namespace": "pid:[1]"}], ids=["host", "container"])
def test_a_process_that_cannot_be_judged_counts_as_alive_and_the_way_out_is_said(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    path = write(tmp_path, replace(claims.this_process("main"), pid=2**22 + 12345, **change))
    with pytest.raises(BusyError, match=r"wait for it, or delete .*main\.claim if that process is gone\.$"):
        claims.take(tmp_path, "main", key=KEY)
    assert path.exists()


def test_what_is_no_claim_excludes_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "main.claim").write_text('{"pid": 1}')
    claims.take(tmp_path, "main", key=KEY)
    assert "is not a claim" in caplog.text


NO_PIDS: list[Any] = [10**30, 2**31, 0, -1, "1", 1.5, True, None, []]
SOUND = {"writer": "main", "pid": 1, "host": "h", "since": "s", "namespace": None, "birth": None}


@pytest.mark.parametrize(
    "text",
    [
        *(json.dumps({**SOUND, "pid": pid}) for pid in NO_PIDS),
        *(json.dumps({**SOUND, **change}) for change in ({"host": 1}, {"birth": 3}, {"since": "a\nb"})),
        json.dumps({**SOUND, "writer": "shard-1-of-2"}),
        "[1]",
        "[" * 100_000,
        '{"pid": NaN}',
        "",
    ],
    ids=lambda text: text[:60],
)
def test_a_claim_with_values_of_other_types_is_none(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "main.claim").write_text(text)
    assert claims.running(tmp_path) == []
    claims.take(tmp_path, "main", key=KEY)
    assert "main.claim is not a claim (" in caplog.text


@pytest.mark.parametrize(
    ("change", "who"),
    [
        pytest.param({}, "process 1 on h since s", id="more fields"),
        pytest.param({"pid": "eleven", "host": None}, "process 0 on an unknown machine since s", id="changed fields"),
    ],
)
def test_a_claim_of_a_newer_version_counts_as_alive(tmp_path: Path, change: dict[str, Any], who: str) -> None:
    here = json.loads(claims.this_process("main").to_json())
    path = tmp_path / "main.claim"
    path.write_text(json.dumps({**SOUND, "namespace": here["namespace"], "lease": 60, **change}))
    before = path.read_bytes()
    with pytest.raises(BusyError, match=rf"by {who}; wait for it, or delete .*main\.claim if that process is gone"):
        claims.take(tmp_path, "main", key=KEY)
    assert path.read_bytes() == before
    assert len(claims.running(tmp_path)) == 1


def test_a_pipe_in_the_place_of_a_claim_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "main.claim")
    with pytest.raises(FileError, match=r"cannot read .*main\.claim: it is no regular file; move it away\.$"):
        claims.take(tmp_path, "main", key=KEY)


def test_a_claim_that_cannot_be_deleted_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    claim = claims.take(tmp_path, "main", key=KEY)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(FileError, match=r"cannot remove .*main\.claim: Read-only file system"):
            claims.release(tmp_path, claim)
    claims.release(tmp_path, claim)


def test_only_the_own_claim_is_released(tmp_path: Path) -> None:
    claim = claims.this_process("main")
    path = write(tmp_path, replace(claim, pid=claim.pid + 1))
    claims.release(tmp_path, claim)
    assert path.exists()


@pytest.mark.parametrize("writer", ["", "Main", "shard-0-of-2", "shard-3-of-2", "shard-1", "../main", "shard-1-of-2x"])
def test_a_bad_writer_is_refused(tmp_path: Path, writer: str) -> None:
    with pytest.raises(InputError, match="a writer is main or shard-I-of-N"):
        claims.take(tmp_path, writer, key=KEY)
