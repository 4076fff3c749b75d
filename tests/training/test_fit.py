from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from landscape.checkpoints import load_checkpoint
from landscape.datasets.examples import Examples
from landscape.datasets.registry import load_examples
from landscape.errors import FileError, InputError, Interrupted, ModelError, TrainingError
from landscape.training.config import TrainConfig
from landscape.training.fit import train
from landscape.training.history import Row, read_history
from landscape.training.runs import RunFolder, is_finished, load_config, load_state

EXAMPLES = (load_examples("digits", num_examples=22), load_examples("digits", split="test", num_examples=12))
BATCHES = 3


def make_config(**given: Any) -> TrainConfig:
    tiny: dict[str, Any] = {
        "method": "at-awp", "epochs": 3, "batch_size": 8, "attack_steps": 2, "eval_attack": "pgd-2",
        "eval_examples": 10, "checkpoint_every": 2, "augmentation": "crop-flip", "device": "cpu",
    }  # fmt: skip
    return TrainConfig(**{**tiny, **given})


def run(out: Path, config: TrainConfig | None = None, **given: Any) -> Path:
    return train(config or make_config(), out, **{"examples": EXAMPLES, **given})


def without_seconds(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def assert_same_run(left: Path, right: Path) -> None:
    """Every checkpoint byte for byte, momentum and history number for number."""
    a, b = RunFolder(left), RunFolder(right)
    assert [path.name for path in a.contents()] == [path.name for path in b.contents()]
    for path in left.glob("*.pt"):
        if path.name != "state.pt":
            assert path.read_bytes() == (right / path.name).read_bytes(), path.name
    assert without_seconds(read_history(a.history)) == without_seconds(read_history(b.history))
    states = [load_state(a), load_state(b)]
    assert states[0] is not None
    assert states[1] is not None
    for state in states:
        assert state is not None
        state["progress"]["rows"] = without_seconds(state["progress"]["rows"])
    assert_equal(states[0], states[1])


def assert_equal(left: Any, right: Any) -> None:
    """Equal types, keys and numbers, bit for bit."""
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert list(left) == list(right)
        for name in left:
            assert_equal(left[name], right[name])
    elif isinstance(left, list):
        for a, b in zip(left, right, strict=True):
            assert_equal(a, b)
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    else:
        assert left == right


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    # Threads cost more than they bring on nets of this size, above all beside other work.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "whole"
    run(out)
    return out


def test_a_run_folder_holds_what_it_should(uninterrupted: Path) -> None:
    folder = RunFolder(uninterrupted)
    names = {path.name for path in folder.contents()}
    assert names == {"config.json", "history.csv", "state.pt", "last.pt", "best.pt", "epoch-002.pt"}
    rows = read_history(folder.history)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(row["perturbation_ratio"] == pytest.approx(0.02, rel=1e-5) for row in rows)
    assert [row["lr"] for row in rows] == [0.1, pytest.approx(0.01), pytest.approx(0.001)]
    assert is_finished(uninterrupted)
    last, best = load_checkpoint(folder.last), load_checkpoint(folder.best)
    assert last.training["epoch"] == 3
    assert last.training["metrics"]["attack"] == "pgd-20"
    assert best.training["selection"] == "test-selected"
    assert best.training["evaluation"]["test_robust_accuracy"] == max(row["test_robust_accuracy"] or 0 for row in rows)
    assert (last.dataset, last.model_name, last.threat and last.threat.epsilon) == ("digits", "small_cnn", 0.15)


def test_the_final_numbers_are_those_of_all_examples(uninterrupted: Path) -> None:
    """The history has 10 of each split, the checkpoint all 22 and 12."""
    checkpoint = load_checkpoint(uninterrupted / "last.pt")
    for split, examples in zip(("train", "test"), EXAMPLES, strict=True):
        with torch.no_grad():
            loss = nn.functional.cross_entropy(checkpoint.model(examples.inputs), examples.labels).item()
        assert checkpoint.training["metrics"][f"{split}_natural_loss"] == pytest.approx(loss, rel=1e-5)
        assert checkpoint.training["evaluation"][f"{split}_natural_loss"] != pytest.approx(loss, rel=1e-3)


def test_the_config_file_repeats_the_run(uninterrupted: Path, tmp_path: Path) -> None:
    run(tmp_path / "again", load_config(uninterrupted))
    assert_same_run(uninterrupted, tmp_path / "again")


def test_stopping_before_every_batch_changes_nothing(uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for batch in range(3 * BATCHES):
        asked = itertools.count()
        epoch = min((batch + 1) // BATCHES + 1, 3)
        with pytest.raises(Interrupted, match=rf"Stopped in epoch {epoch} of 3; everything so far is kept"):
            run(out, should_stop=lambda counter=asked: next(counter) == 1)
    run(out)
    assert_same_run(uninterrupted, out)


class Killed(BaseException):
    """Stands for a kill: nothing in the package may catch it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """Die when the `moment`-th file is about to take its place: the one before has, and this one has not."""
    counter, replace = itertools.count(), os.replace

    def dying(source: Any, target: Any) -> None:
        if next(counter) == moment:
            raise Killed
        replace(source, target)

    monkeypatch.setattr("landscape.files.os.replace", dying)


def test_a_kill_between_any_two_files_changes_nothing(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    for moment in itertools.count():
        try:
            with monkeypatch.context() as patch:
                kill_at(patch, moment)
                run(out, overwrite=True)
        except Killed:
            finished = len(read_history(out / "history.csv")) if (out / "history.csv").exists() else 0
            told: list[Row] = []
            run(out, on_epoch=told.append)
            assert len(told) <= 3 - finished
            assert_same_run(uninterrupted, out)
        else:
            break
    assert moment >= 12


def test_half_written_files_of_a_kill_are_removed(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, should_stop=lambda: True)
    (tmp_path / ".state.pt.abc.pt").write_bytes(b"half")
    (tmp_path / ".mine.txt.keep").write_bytes(b"whole")
    run(tmp_path, make_config())
    assert sorted(path.name for path in tmp_path.glob(".*.*.*")) == [".mine.txt.keep"]


@pytest.mark.parametrize("method", ["natural", "at"])
def test_other_methods_resume_too_and_random_layers_draw_on(method: str, tmp_path: Path) -> None:
    def network() -> nn.Module:
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(144, 10)
        )

    config = make_config(method=method, epochs=2)
    before = torch.get_rng_state()
    given = network()
    torch.set_rng_state(before)
    run(tmp_path / "whole", config, model=given)
    asked = itertools.count()
    with pytest.raises(Interrupted):
        run(tmp_path / "parts", config, model=given, should_stop=lambda: next(asked) == 4)
    run(tmp_path / "parts", config, model=given)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert torch.equal(before, torch.get_rng_state())
    assert all(
        torch.equal(a, b) for a, b in zip(given.state_dict().values(), network().state_dict().values(), strict=True)
    )


def test_a_seed_gives_the_same_initial_weights_whatever_was_drawn_before(tmp_path: Path) -> None:
    config = make_config(method="natural", epochs=1)
    paths = []
    for name in ("a", "b"):
        torch.rand(5)
        paths.append(run(tmp_path / name, config))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert run(tmp_path / "c", make_config(method="natural", epochs=1, seed=1)).read_bytes() != paths[0].read_bytes()


def test_a_finished_run_is_left_as_it_is(uninterrupted: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in RunFolder(uninterrupted).contents()}
    assert run(uninterrupted, on_epoch=lambda row: pytest.fail("trained")) == uninterrupted / "last.pt"
    assert before == {path.name: path.stat().st_mtime_ns for path in RunFolder(uninterrupted).contents()}


def test_other_settings_are_refused_unless_overwritten(tmp_path: Path) -> None:
    run(tmp_path, make_config(epochs=1))
    with pytest.raises(
        TrainingError, match=r"holds a run with other settings \(epochs 1, now 2; gamma 0.02, now 0.03\)"
    ):
        run(tmp_path, make_config(epochs=2, gamma=0.03))
    run(tmp_path, make_config(method="natural", epochs=1, checkpoint_every=1), overwrite=True)
    assert load_config(tmp_path).method == "natural"


def test_other_data_or_another_start_are_refused(tmp_path: Path) -> None:
    asked = itertools.count()
    with pytest.raises(Interrupted):
        run(tmp_path, should_stop=lambda: next(asked) == 1)
    other = EXAMPLES[0].take(range(10))
    with pytest.raises(TrainingError, match="was made with other training examples; name another --out"):
        run(tmp_path, examples=(other, EXAMPLES[1]))
    with pytest.raises(TrainingError, match="was made with other initial weights"):
        run(tmp_path, make_config(model="small_cnn"), model=load_checkpoint_network(tmp_path))


def load_checkpoint_network(folder: Path) -> nn.Module:
    from landscape.models.registry import build_model

    return build_model("small_cnn")


def damage_state(folder: RunFolder) -> None:
    folder.state.write_bytes(folder.state.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda folder: folder.config.unlink(), "holds history.csv but no config.json", id="no-config"),
        pytest.param(lambda folder: folder.state.unlink(), "has no state.pt, so its run cannot go on", id="no-state"),
        pytest.param(damage_state, "state.pt is damaged, so its run cannot go on", id="damaged-state"),
        pytest.param(lambda folder: folder.config.write_text("{"), "is not a readable JSON file", id="damaged-config"),
        pytest.param(lambda folder: folder.config.write_text("[]"), "should hold one JSON object", id="list-config"),
    ],
)
def test_a_damaged_run_folder_is_refused(change: Callable[[RunFolder], Any], message: str, tmp_path: Path) -> None:
    run(tmp_path, make_config(method="natural", epochs=1))
    change(RunFolder(tmp_path))
    with pytest.raises(TrainingError, match=message):
        run(tmp_path, make_config(method="natural", epochs=1))
    run(tmp_path, make_config(method="natural", epochs=1), overwrite=True)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path).writing(),
        pytest.raises(TrainingError, match="another process is training in"),
    ):
        run(tmp_path)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    class Breaking(nn.Module):
        """Gives NaN from its tenth training pass on."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(64, 10)
            self.passes = 0

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            self.passes += self.training
            logits: torch.Tensor = self.linear(inputs.flatten(1))
            return logits * (float("nan") if self.passes > 2 * BATCHES else 1.0)

    with pytest.raises(
        TrainingError, match=r"not a finite number any more in epoch 3; .* try a smaller --lr or --gamma"
    ):
        run(tmp_path, make_config(method="natural"), model=Breaking())
    assert [row["epoch"] for row in read_history(tmp_path / "history.csv")] == [1, 2]
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["training"]["epoch"] == 2
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state["state_dict"].values())


def test_a_full_disk_is_a_sentence_and_loses_nothing(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter, replace = itertools.count(), os.replace

    def full(source: Any, target: Any) -> None:
        if next(counter) == 5:
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("landscape.files.os.replace", full)
        with pytest.raises(FileError, match=r"cannot write .*: No space left on device"):
            run(tmp_path / "run")
    run(tmp_path / "run")
    assert_same_run(uninterrupted, tmp_path / "run")


def test_evaluation_every_second_epoch_and_at_the_end(tmp_path: Path) -> None:
    run(tmp_path, make_config(method="natural", eval_every=2))
    rows = read_history(tmp_path / "history.csv")
    assert [row["test_robust_accuracy"] is not None for row in rows] == [False, True, True]
    assert all(row["train_loss"] is not None for row in rows)


def test_examples_and_model_must_fit(tmp_path: Path) -> None:
    wide = Examples(
        inputs=torch.zeros(4, 3, 8, 8),
        labels=torch.arange(4),
        ids=torch.arange(4),
        dataset="digits",
        split="test",
        num_classes=10,
    )
    with pytest.raises(InputError, match="training and test examples have one shape"):
        run(tmp_path / "a", examples=(EXAMPLES[0], wide))
    with pytest.raises(ModelError, match=r"the model should give .*10.* logits"):
        run(tmp_path / "b", model=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    assert not list(tmp_path.iterdir())


def test_at_learns_in_five_epochs(tmp_path: Path) -> None:
    train(TrainConfig(method="at", epochs=5, device="cpu", eval_every=5), tmp_path)
    assert (read_history(tmp_path / "history.csv")[-1]["train_robust_accuracy"] or 0) > 0.4
