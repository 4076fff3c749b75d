from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from landscape.cli.launching import is_launched, speaks
from landscape.errors import InputError, TrainingError
from landscape.training.config import TrainConfig
from landscape.training.fit import train
from landscape.training.history import read_history
from landscape.training.process_group import ProcessGroup, device_of, num_launched, together
from landscape.training.processes import ALONE, Processes
from landscape.training.publish import training_in, weights_in
from landscape.training.runs import RunFolder, load_state
from tests.training import replicas

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
if sys.platform == "linux":
    ENVIRONMENT["GLOO_SOCKET_IFNAME"] = "lo"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes have written, which met in a file."""
    folder = tmp_path_factory.mktemp("two")
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.training.replicas", str(rank), str(folder)],
            cwd=ROOT,
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        said = [process.communicate(timeout=250)[1] for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert [process.returncode for process in started] == [0, 0], "\n".join(said)
    return folder


@pytest.fixture(scope="module")
def ranks(out: Path) -> list[dict[str, Any]]:
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return replicas.all_steps(ALONE)


def distance(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    assert list(left) == list(right)
    return max(float((left[name].double() - right[name].double()).abs().max()) for name in left)


NAMES = [*replicas.CASES, *replicas.LOPSIDED, *(f"{name}/batch" for name in replicas.LONG)]


@pytest.mark.parametrize("name", NAMES)
def test_replicas_are_bit_identical(ranks: list[dict[str, Any]], name: str) -> None:
    first, second = (rank[name] for rank in ranks)
    assert distance(first["state"], second["state"]) == 0.0
    assert torch.equal(first["numbers"], second["numbers"])


@pytest.mark.parametrize("name", [*replicas.CASES, *replicas.LOPSIDED])
def test_without_batchnorm_two_processes_are_one(ranks: list[dict[str, Any]], alone: dict[str, Any], name: str) -> None:
    assert distance(ranks[0][name]["state"], alone[name]["state"]) < 1e-12
    torch.testing.assert_close(ranks[0][name]["numbers"], alone[name]["numbers"], rtol=1e-6, atol=1e-6)


def test_the_selection_of_rwp_is_that_of_all(alone: dict[str, Any], ranks: list[dict[str, Any]]) -> None:
    shares = alone["at-rwp"]["numbers"][:, 4]
    assert ((shares > 0) & (shares < 1)).any()
    for name, inner_steps in (("second has none", 10), ("first has none", 10), ("none at all", 0)):
        assert ranks[1][name]["numbers"][1] == inner_steps, name
        assert ranks[1][name]["numbers"][2] == (0.5 if inner_steps else 0.0), name


@pytest.mark.parametrize("method", replicas.LONG)
def test_with_batchnorm_each_process_has_its_own_statistics(ranks: list[dict[str, Any]], method: str) -> None:
    expected = replicas.halves(method)
    assert "1.running_mean" in expected
    assert distance(ranks[0][f"{method}/batch"]["state"], expected) < 1e-12


def test_stopped_and_resumed_is_the_same_run(out: Path) -> None:
    names = {path.name for path in (out / "whole").iterdir()}
    assert names == {path.name for path in (out / "stopped").iterdir()}
    for name in ("last.pt", "best.pt"):
        assert (out / "whole" / name).read_bytes() == (out / "stopped" / name).read_bytes()
    assert training_in(out / "whole" / "last.pt")["processes"] == 2
    histories = [read_history(out / name / "history.csv") for name in ("whole", "stopped")]
    for one, other in zip(*histories, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_mixup_and_measuring_are_those_of_one_process(out: Path, tmp_path: Path) -> None:
    paths = (out / "mixed" / "last.pt", replicas.mixed(tmp_path))
    for one, other in zip(*(weights_in(path).values() for path in paths), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    for name in ("evaluation", "metrics"):
        one_run, other_run = (training_in(path)[name] for path in paths)
        for key, value in one_run.items():
            assert value == (pytest.approx(other_run[key], rel=1e-4) if isinstance(value, float) else other_run[key])


def test_another_number_of_processes_does_not_go_on(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out / "stopped", tmp_path / "run")
    shutil.copy(out / "kept.pt", tmp_path / "run" / "state.pt")
    with pytest.raises(TrainingError, match=r"with as many processes as it was begun with, 2, got 1; start as many"):
        train(TrainConfig(**replicas.RUN), tmp_path / "run", examples=replicas.EXAMPLES)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("a defect of one", "TrainingError: process 1: KeyError: 'unexpected'", "KeyError: 'unexpected'"),
        ("not finite", "TrainingError: the loss or a weight is not a finite", "TrainingError: the loss or a weight"),
        ("data of one", "DataError: process 1: the file is missing; fetch it.", "DataError: process 1: the file is"),
        ("a busy folder", "TrainingError: another process is training here", "TrainingError: another process is"),
        ("other settings", "TrainingError: .* holds a run with other settings", "TrainingError: .* holds a run"),
        ("no answer", r"LostError: the processes of this run have lost each other \(", "LostError: the processes of"),
    ],
)
def test_a_failure_of_one_ends_all_and_the_first_one_knows_why(out: Path, name: str, first: str, second: str) -> None:
    for rank, expected in enumerate((first, second)):
        told = torch.load(out / f"told-{rank}.pt", weights_only=True)
        assert re.match(expected, ": ".join(told[name])), told[name]


def test_no_thread_of_a_group_outlives_it(out: Path) -> None:
    """It would abort the process, at times, when the interpreter ends before it."""
    for rank in (0, 1):
        assert not [name for name in torch.load(out / f"told-{rank}.pt")["threads"] if "gloo" in name]


def test_the_command_writes_one_run(tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--local-addr", "127.0.0.1"]
    launch += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "-m", "landscape", "train"]
    settings = "--method at-awp --epochs 2 --attack-steps 1 --batch-size 500 --device cpu --eval-attack fgsm --out run"
    done = subprocess.run(
        [*launch, *settings.split()],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert len(read_history(tmp_path / "run" / "history.csv")) == 2
    assert re.findall(r"^epoch (\d)/2", done.stdout, flags=re.MULTILINE) == ["1", "2"]
    assert done.stdout.count("Written to run: ") == 1
    state = load_state(RunFolder(tmp_path / "run"))
    assert state is not None
    assert state["finished"]
    assert len(state["random_of_others"]) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_parts_are_the_whole(count: int) -> None:
    parts = []
    for rank in range(3):
        group = ProcessGroup.__new__(ProcessGroup)
        group.rank, group.size = rank, 3
        positions, borrowed = group.part(count)
        assert borrowed == (rank >= count)
        assert len(positions) == 1 or not borrowed
        parts += [] if borrowed else positions.tolist()
    assert sorted(parts) == ALONE.part(count)[0].tolist() == list(range(count))


def test_without_torchrun_a_process_is_alone() -> None:
    assert num_launched() == 1
    assert speaks() and not is_launched()
    with together() as processes:
        assert processes is ALONE


def test_the_first_process_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert num_launched() == 2
    assert speaks() and is_launched()
    monkeypatch.setenv("RANK", "1")
    assert not speaks()


def test_one_cuda_device_is_not_for_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    several = Processes()
    several.size = 2
    assert device_of("cpu", several) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of("cuda:1", ALONE) == torch.device("cuda:1")
    with pytest.raises(InputError, match="each process takes a CUDA device of its own; use --device cuda"):
        device_of("cuda:1", several)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device_of("cuda", several) == torch.device("cuda:1")
