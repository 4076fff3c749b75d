from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from landscape.checkpoints import load_checkpoint
from landscape.cli.main import main
from landscape.cli.options import Number
from landscape.cli.stopping import stop_requests
from landscape.cli.train import command
from landscape.datasets.registry import load_examples
from landscape.models.noisy import MOST_DRAWS
from landscape.names import SPLITS
from landscape.training.checks import AT_LEAST, NOT_NEGATIVE
from landscape.training.config import TrainConfig
from landscape.training.history import read_history
from landscape.training.runs import load_config

TINY = ["--epochs", "2", "--attack-steps", "1", "--eval-attack", "fgsm", "--batch-size", "500", "--device", "cpu"]


SMALL = ["--dataset", "mine/", "--norm", "linf", "--epsilon", "0.1"]
"""Training data of the user's own, 100 examples of digits."""


@pytest.fixture
def _small_data(tmp_path: Path, _alone: None) -> None:
    (tmp_path / "mine").mkdir()
    for split in SPLITS:
        examples = load_examples("digits", split=split, num_examples=100)
        np.savez(tmp_path / "mine" / f"{split}.npz", inputs=examples.inputs.numpy(), labels=examples.labels.numpy())


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In an own folder, with one thread."""
    monkeypatch.chdir(tmp_path)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def failure(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and message of the whole command line."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as stop:
            main(["train", *arguments])
    finally:
        signal.signal(signal.SIGTERM, handler)
    return int(stop.value.code or 0), capsys.readouterr().err


def test_bare_method_trains_digits_in_its_own_folder_and_says_so_the_second_time() -> None:
    result = call("--method", "at-awp", *TINY)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert [line.split("  ")[0] for line in lines[:2]] == ["epoch 1/2", "epoch 2/2"]
    assert "robust train" in lines[0]
    assert lines[2] == "at-awp on digits, all examples, pgd-20:"
    assert "natural train  natural test  robust train  robust test  robust gap" in lines[3]
    assert lines[-1].startswith(
        "Written to checkpoints/digits-at-awp: config.json, history.csv, state.pt, last.pt, best.pt"
    )
    measured = "under fgsm, on at most 500 examples of each split"
    assert lines[-2] == f"history.csv, which `landscape history` draws: {measured}."
    assert load_checkpoint("checkpoints/digits-at-awp/last.pt").training["method"] == "at-awp"
    again = call("--method", "at-awp", *TINY)
    assert again.stdout.startswith("The run in checkpoints/digits-at-awp is finished; --overwrite trains it anew.\n")
    assert again.stdout.splitlines()[1:] == lines[2:]


def test_json_is_all_that_stdout_holds() -> None:
    result = call("--method", "natural", "--json", "--out", "run", *TINY)
    numbers = json.loads(result.stdout)
    assert numbers["settings"]["epochs"] == 2
    assert numbers["last"]["epoch"] == 2
    assert 0 <= numbers["best"]["test_robust_accuracy"] <= 1
    assert "epoch 2/2" in result.stderr


@pytest.mark.usefixtures("_small_data")
def test_a_config_file_repeats_a_run_and_options_win() -> None:
    call("--method", "natural", "--out", "first", *SMALL, *TINY)
    call("--config", "first/config.json", "--out", "second")
    assert Path("first/last.pt").read_bytes() == Path("second/last.pt").read_bytes()
    call("--config", "first/config.json", "--out", "third", "--epsilon", "8/255", "--epochs", "1")
    config = load_config("third")
    assert (config.epsilon, config.epochs, config.batch_size) == (8 / 255, 1, 500)
    assert config.step_size == 2 / 255  # of the new radius, not the file's


@pytest.mark.usefixtures("_small_data")
def test_a_preset_expands_into_settings_and_options_win() -> None:
    call("--preset", "rice/cifar10-cutout", "--cutout", "3", "--model", "small_cnn", "--normalization", "none",
         "--augmentation", "none", "--out", "run", *SMALL, *TINY)  # fmt: skip
    config = load_config("run")
    assert (config.method, config.schedule, config.step_size) == ("at", "piecewise", 0.1 / 4)
    assert (config.cutout, config.epochs, config.epsilon, config.dataset) == (3, 2, 0.1, "arrays")
    call("--config", "run", "--out", "again")
    assert Path("run/last.pt").read_bytes() == Path("again/last.pt").read_bytes()


def test_presets_are_listed_with_their_sources() -> None:
    lines = call("--list-presets").stdout.splitlines()
    assert lines[0].split() == ["preset", "methods", "what"]
    assert lines[1].startswith("awp/cifar10-linf")
    shown = call("--list-presets", "--preset", "awp/svhn-linf", "--method", "at-awp").stdout.splitlines()
    assert "step_size      1/255            AWP code; AWP, Rice log; the default of Rice's program is 2/255" in shown
    assert "awp_warmup     5                AWP code and log; in no paper" in shown
    assert not any(line.startswith("awp_warmup") for line in call(
        "--list-presets", "--preset", "awp/svhn-linf", "--method", "at").stdout.splitlines())  # fmt: skip
    assert list(Path().iterdir()) == []


def test_every_setting_has_an_option_in_a_section() -> None:
    given = command.make_context("train", []).params
    fields = [field.name for field in dataclasses.fields(TrainConfig)]
    assert [name for name in fields if name not in given] == []
    assert [name for name in fields if given[name] is not None] == []
    help_text = CliRunner().invoke(command, ["--help"]).stdout
    for section in ("Options:", "What is trained:", "Updates:", "Adversarial examples:", "Weight perturbation:"):
        assert f"\n{section}\n" in help_text


def test_the_ranges_in_help_are_those_that_hold() -> None:
    ranges = {option.name: option.type for option in command.params if isinstance(option.type, click.IntRange)}
    assert {name: kind.min for name, kind in ranges.items()} == AT_LEAST
    highest = {name: kind.max for name, kind in ranges.items() if kind.max is not None}
    assert highest == {"seed": 2**64 - 1, "noise_draws": MOST_DRAWS}
    bounds = {option.name: option.type for option in command.params if isinstance(option.type, Number)}
    assert {name for name, kind in bounds.items() if kind.inclusive} == {*NOT_NEGATIVE} - {"drop_below"}
    help_text = " ".join(CliRunner().invoke(command, ["--help"]).stdout.split())
    assert "--epochs INTEGER RANGE Epochs of the run. [default: 100; mnist 20; cifar10, cifar100, svhn 200] [x>=1]" in (
        help_text
    )
    assert "--lr NUMBER>0 Largest" in help_text and "--epsilon NUMBER>=0 Size" in help_text


def test_help_reads_no_torch() -> None:
    code = (
        "import sys\nfrom landscape.cli.train import command\n"
        "command(['--list-presets'], standalone_mode=False)\nprint('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--method", "fast"], 1, "Error: method of a training run is one of natural, "),
        (["--dataset", "cifar"], 1, "Error: the data set is one of digits, cifar10, cifar100, svhn, mnist, arrays"),
        (["--model", "vgg"], 1, "Error: model of a training run is one of small_cnn, preact_resnet18, "),
        (["--model", "no_such_module:net"], 1, "Error: "),
        (["--dataset", "cifar10", "--data-dir", "nowhere"], 1, "landscape data fetch cifar10"),
        (["--preset", "awp/imagenet"], 1, "Error: a preset is one of awp/cifar10-linf, "),
        (["--preset", "rice/svhn-l2", "--method", "at-awp"], 1, "is published for at, got at-awp"),
        (["--preset", "rice/svhn-l2", "--config", "a.json"], 1, "Error: --preset and --config both give all settings"),
        (["--schedule", "cosine", "--lr-drop-epoch", "5"], 1, "belong to the schedule onedrop"),
        (["--method", "at-awp", "--mixup", "1.4"], 1, "mixup goes with no weight perturbation: the reference refuses"),
        (["--gamma", "0.1"], 1, "Error: the method at has no weight perturbation"),
        (["--eval-attack", "cv-10"], 1, "Error: an attack is pgd-K"),
        (["--device", "tpu"], 1, "Error: a device is auto, cpu, cuda or cuda:N, got 'tpu'."),
        (["--config", "none.json"], 1, "Error: none.json is not a readable JSON file of training settings"),
        (["--out", "file/run"], 1, "Error: cannot write in file/run"),
        (["--epsilon", "8//255"], 2, "'8//255' is not a number such as 0.03 or 8/255."),
        (["--lr", "-1"], 2, "-1 is not above 0."),
        (["--epochs", "0"], 2, "Invalid value for '--epochs': 0 is not in the range x>=1."),
        (["--epochs", "many"], 2, "'many' is not a valid integer"),
        (["--momentum", "0.9"], 2, "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_wrong_calls_are_sentences_and_leave_nothing(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("")
    got, said = failure(arguments, capsys)
    assert (got, message in said) == (code, True), said
    assert "Traceback" not in said
    assert [path.name for path in Path().iterdir()] == ["file"]


@pytest.mark.usefixtures("_small_data")
def test_other_settings_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    call("--method", "natural", "--out", "run", *SMALL, *TINY)
    code, said = failure(["--method", "at", "--out", "run", *SMALL, *TINY], capsys)
    assert code == 1
    assert "run holds a run with other settings (method 'natural', now 'at'); name another --out" in said
    assert call("--method", "natural", "--out", "run", "--overwrite", *SMALL, *TINY).stdout.startswith("epoch 1/2")


def test_the_first_signal_asks_and_the_second_ends(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_requests("Stopping.") as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked()
        assert capsys.readouterr().err == "Stopping.\n"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["asked", "killed"])
@pytest.mark.usefixtures("_small_data")
def test_a_stopped_command_goes_on(number: signal.Signals) -> None:
    arguments = ["--method", "at", "--out", "run", "--epochs", "6", "--attack-steps", "3", "--batch-size", "10", *SMALL]
    process = subprocess.Popen(
        [sys.executable, "-m", "landscape", "train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("epoch 1/6")
    time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    if number == signal.SIGTERM:
        assert process.returncode == 130
        assert "everything so far is kept in run, and the same call goes on from here." in said
    kept = len(read_history(Path("run/history.csv")))
    result = call(*arguments)
    assert 1 <= kept < 6
    assert result.stdout.startswith(f"epoch {kept + 1}/6")
    call(*arguments[:3], "whole", *arguments[4:])
    assert Path("run/last.pt").read_bytes() == Path("whole/last.pt").read_bytes()
    assert Path("run/best.pt").read_bytes() == Path("whole/best.pt").read_bytes()
