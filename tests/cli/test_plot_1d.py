from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from landscape import files
from landscape.analysis.settings import describe_settings
from landscape.attacks.pgd import PGD
from landscape.attacks.threat import ThreatModel
from landscape.checkpoints import load_checkpoint, save_checkpoint
from landscape.cli.main import COMMANDS
from landscape.datasets.registry import load_examples
from landscape.errors import FileError, InputError
from landscape.models.noisy import inject_noise
from landscape.models.registry import build_model
from landscape.surfaces.compute import compute_surface
from landscape.surfaces.store import load_surface
from tests.cli.calling import Call

SMALL = ("--directions", "2", "--alpha", "-1:1:3", "--examples", "20", "--attack", "pgd-2", "--device", "cpu")


def write_checkpoint(
    path: Path,
    *,
    seed: int = 0,
    threat: bool = True,
    method: str = "at",
    noise: bool = False,
    epoch: int = 1,
    **arguments: Any,
) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_model("small_cnn", **arguments)
    network = inject_noise(network) if noise else network
    return save_checkpoint(
        path,
        network=network,
        model_name="small_cnn",
        model_arguments=arguments,
        normalization=None,
        dataset="digits",
        threat=ThreatModel(norm="linf", epsilon=0.15) if threat else None,
        step_size=0.0375 if threat else None,
        training={"method": method, "epoch": epoch},
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "a.pt")
    write_checkpoint(tmp_path / "b.pt", seed=1)
    return tmp_path


def surfaces_in(folder: Path) -> list[Path]:
    return sorted((folder / "cache").glob("*.h5"))


def test_what_is_stored_is_drawn_from_a_cache_that_cannot_be_written(
    here: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("plot-1d", "a.pt", *SMALL)[0] == 0

    def refuse(folder: Path) -> None:
        if folder.name == "cache":
            raise FileError(f"cannot write in {folder}.")

    monkeypatch.setattr(files, "require_writable", refuse)
    assert call("plot-1d", "a.pt", *SMALL, "--out", "again.png")[0] == 0
    assert (here / "again.png").exists()
    code, _, err = call("plot-1d", "a.pt", *SMALL, "--seed", "5")
    assert code == 1 and "cannot write in" in err


def test_one_checkpoint_gives_table_rise_figure_and_surface(here: Path, call: Call) -> None:
    code, out, _ = call("plot-1d", "a.pt", *SMALL)
    assert code == 0
    assert (here / "a-plot-1d.png").stat().st_size > 10_000
    (stored,) = surfaces_in(here)
    assert f"surface  {stored}" in out and "figure   a-plot-1d.png" in out
    surface = load_surface(stored)
    assert surface.adversarial_loss.shape == (2, 3, 20)
    for alpha, mean in zip((-1, 0, 1), surface.mean().mean(axis=0), strict=True):
        assert any(line.split()[:2] == [str(alpha), f"{mean:.4f}"] for line in out.splitlines())
    rises = [line.split()[1] for line in out.splitlines() if line.startswith("a  ")]
    assert rises == ["1"] and "No row for r = 0.1, 0.25, 0.5: the nodes lie too far apart." in out


def test_the_same_call_gives_the_same_numbers_from_the_cache(here: Path, call: Call) -> None:
    first, second = call("plot-1d", "a.pt", *SMALL), call("plot-1d", "a.pt", *SMALL)
    assert first[:2] == second[:2]
    assert len(surfaces_in(here)) == 1


def test_two_checkpoints_are_compared_on_the_same_directions_and_examples(here: Path, call: Call) -> None:
    code, out, _ = call("plot-1d", "a.pt", "b.pt", *SMALL, "--directions", "3", "--out", "both.pdf")
    assert code == 0
    assert (here / "both.pdf").read_bytes().startswith(b"%PDF")
    assert "paired over 3 directions, 20 examples" in out


def test_json_is_all_that_is_printed(here: Path, call: Call) -> None:
    code, out, err = call("plot-1d", "a.pt", *SMALL, "--json")
    numbers = json.loads(out)
    assert code == 0 and err == ""
    assert numbers["curves"][0]["label"] == "a"
    assert numbers["surfaces"] == [str(path) for path in surfaces_in(here)]


def test_both_splits_are_two_surfaces_in_one_figure(here: Path, call: Call) -> None:
    code, out, _ = call("plot-1d", "a.pt", *SMALL, "--split", "both")
    assert code == 0 and "a (train)" in out and "a (test)" in out
    assert sorted(load_surface(path).spec["data"]["split"] for path in surfaces_in(here)) == ["test", "train"]


def test_with_fixed_draws_the_control_beside_and_says_the_gap(here: Path, call: Call) -> None:
    arguments = ("plot-1d", "a.pt", "b.pt", *SMALL, "--directions", "3", "--with-fixed")
    assert "a, fixed (train): 10 of 10 points" in call(*arguments, "--dry-run")[1]
    code, out, _ = call(*arguments)
    assert code == 0 and (here / "a-and-b-plot-1d-with-fixed.png").stat().st_size > 10_000
    assert "What fixed examples miss: rise(r) on the fly minus fixed" in out
    alone = call("plot-1d", "a.pt", *SMALL, "--directions", "3", "--with-fixed")[1]
    assert re.search(r"^a: (no gap between fixed and on the fly|fixed \w+estimates)", alone, re.MULTILINE)
    assert "measured differently" not in alone
    stored = {(s.label, s.spec["objective"]): s for s in map(load_surface, surfaces_in(here))}
    assert sorted(stored) == [(name, objective) for name in "ab" for objective in ("adversarial", "fixed")]
    plain = json.loads(call(*arguments, "--json")[1])
    assert [one["label"] for one in plain["control"]] == ["a", "b"]
    for one in plain["control"]:
        fresh, fixed = (stored[one["label"], objective] for objective in ("adversarial", "fixed"))
        gap = (fresh.values() - fixed.values())[:, [0, 2]].mean()
        assert one["rises"][0]["radius"] == 1.0 and one["rises"][0]["value"] == pytest.approx(gap)
        assert one["gap"]["mean"][1] == 0.0
    redrawn = call("plot", *surfaces_in(here), "--out", "again.png", "--json")[1]
    assert sorted(one["sentence"] for one in json.loads(redrawn)["control"]) == sorted(
        one["sentence"] for one in plain["control"]
    )


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        (("plot-1d", "a.pt", "--alpha", "-1:1:100000000"), "100,000,000; write a smaller NUM"),
        (("plot-2d", "a.pt", "--alpha", "-1:1:100000"), "10,000,000,000; write a smaller NUM"),
        (("plot-1d", "a.pt", "--directions", "1000000000"), "21 along 1,000,000,000 lines or planes; write a smaller"),
    ],
    ids=["line", "plane", "lines"],
)
def test_what_would_fill_the_memory_is_refused_at_once(
    here: Path, call: Call, arguments: tuple[str, ...], got: str
) -> None:
    code, out, err = call(*arguments, "--dry-run")
    assert (code, out) == (1, "") and f"Error: a surface has at most 1,000,000 nodes, got {got}" in err


def test_a_picture_that_took_the_place_of_another_is_said_in_the_last_line(here: Path, call: Call) -> None:
    said = "replaced another picture of this name; --out FILE keeps both."
    for arguments, replaced in ((SMALL, False), (SMALL, False), ((*SMALL, "--examples", "10"), True)):
        out = call("plot-1d", "a.pt", *arguments)[1]
        assert (out.splitlines()[-1] == said) == (said in out) == replaced
    assert json.loads(call("plot-1d", "a.pt", *SMALL, "--json")[1])["replaced"] is True
    assert json.loads(call("plot-1d", "a.pt", *SMALL, "--json")[1])["replaced"] is False
    call("plot-1d", "a.pt", *SMALL, "--warm-start", "1")
    assert [path.name for path in sorted(here.glob("*.png"))] == ["a-plot-1d-warm-start-1.png", "a-plot-1d.png"]


def test_dry_run_says_the_cost_and_writes_nothing(here: Path, call: Call) -> None:
    before = sorted(here.iterdir())
    code, out, _ = call("plot-1d", "a.pt", *SMALL, "--dry-run")
    assert code == 0
    assert "7 of 7 points to compute, each 20 examples x 6 passes" in out and "Nothing was written." in out
    cost = json.loads(call("plot-1d", "a.pt", *SMALL, "--dry-run", "--json", "--shard", "1/2")[1])
    assert cost["surfaces"][0]["num_points"] == 4
    assert sorted(here.iterdir()) == before
    call("plot-1d", "a.pt", *SMALL)
    assert "0 of 7 points to compute" in call("plot-1d", "a.pt", *SMALL, "--dry-run")[1]


def test_shards_fill_one_surface(here: Path, call: Call) -> None:
    code, out, _ = call("plot-1d", "a.pt", *SMALL, "--shard", "1/2")
    assert code == 0 and "4 of 7 points are there" in out
    assert not list(here.glob("*.png"))
    assert call("plot-1d", "a.pt", *SMALL, "--shard", "2/2")[0] == 0
    (stored,) = surfaces_in(here)
    assert load_surface(stored).complete


def test_a_run_folder_is_its_last_checkpoint_or_a_series(here: Path, call: Call) -> None:
    from landscape.training.config import TrainConfig
    from landscape.training.fit import train

    train(TrainConfig(method="at", epochs=3, checkpoint_every=1, attack_steps=1, eval_examples=50), here / "run")
    code, out, _ = call("plot-1d", "run", *SMALL)
    assert code == 0 and "run/last" in out
    code, out, _ = call("plot-1d", "run", *SMALL, "--epochs", "1:3:1", "--out", "series.png")
    assert code == 0 and all(f"epoch {epoch}" in out for epoch in (1, 2, 3))
    assert (here / "series.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("loss", "words"),
    [("margin", "margin, logits"), ("ce-normalised", "cross-entropy of normalised logits, nats")],
    ids=["margin", "normalised"],
)
def test_another_loss_is_another_surface_and_is_named(loss: str, words: str, here: Path, call: Call) -> None:
    assert call("plot-1d", "a.pt", *SMALL)[0] == 0
    code, out, _ = call("plot-1d", "a.pt", *SMALL, "--loss", loss)
    assert code == 0 and f"mean adversarial loss ({words})" in out
    assert "the attack ascends the cross-entropy." in out
    assert (here / f"a-plot-1d-{loss}.png").stat().st_size > 10_000
    assert len(surfaces_in(here)) == 2


def test_the_training_loss_of_at_is_the_cross_entropy_already_measured(here: Path, call: Call) -> None:
    assert call("plot-1d", "a.pt", *SMALL)[0] == 0
    assert "0 of 7 points to compute" in call("plot-1d", "a.pt", *SMALL, "--loss", "training", "--dry-run")[1]


def test_layers_are_listed_with_their_shares(here: Path, call: Call) -> None:
    names = [name for name, _ in build_model("small_cnn").named_parameters()]
    pattern = names[0]
    layers = ("--layers", f"^{pattern}$")
    code, out, _ = call("plot-1d", "a.pt", *SMALL, *layers)
    assert code == 0 and "share: ||d_l||^2 / ||d||^2" in out
    cells = [line.split() for line in out.splitlines() if line]
    rows = {name: row for name, *row in cells if name in names}
    assert list(rows) == names
    assert rows[pattern][2:] == ["yes", "100.00", "%"]
    assert all(row[2:] == ["no", "-"] for name, row in rows.items() if name != pattern)
    assert "share a" in call("plot-1d", "a.pt", *SMALL, *layers, "--dry-run")[1]
    for more in ((), ("--dry-run",)):
        (model,) = json.loads(call("plot-1d", "a.pt", *SMALL, *layers, *more, "--json")[1])["layers"]
        assert model["label"] == "a" and {one["share"] for one in model["parameters"]} == {0.0, 1.0}
    assert "layers" not in json.loads(call("plot-1d", "a.pt", *SMALL, "--json")[1])


def test_batchnorm_policies_are_surfaces_of_their_own(here: Path, call: Call) -> None:
    names = []
    for arguments in (
        (),
        ("--batchnorm", "reestimate"),
        ("--batchnorm", "reestimate", "--batchnorm-source", "adversarial", "--batchnorm-batch-size", "8"),
        ("--batchnorm", "batch"),
    ):
        code, out, _ = call("plot-1d", "a.pt", *SMALL, *arguments)
        assert code == 0
        names.append(next(line for line in out.splitlines() if "BatchNorm: " in line).split("BatchNorm: ")[1])
    assert len(surfaces_in(here)) == 4
    assert [name.split(". ")[0] for name in names] == [
        "frozen",
        "statistics re-estimated at every point from clean examples, batches of at most 128 in random order (seed 0)",
        "statistics re-estimated at every point from adversarial examples made there, batches of at most 8 in random "
        "order (seed 0)",
        "statistics of each batch itself, batches of at most 128 in random order (seed 0)",
    ]
    assert (here / "a-plot-1d-reestimate.png").exists()


def test_several_epsilons_are_the_surfaces_of_single_runs_in_one_picture(here: Path, call: Call) -> None:
    for epsilon in ("0.15", "2/255"):
        assert call("plot-1d", "a.pt", *SMALL, "--epsilon", epsilon)[0] == 0
    before = surfaces_in(here)
    several = ("plot-1d", "a.pt", "b.pt", *SMALL, "--epsilon", "0.15,0,2/255")
    dry = call(*several, "--dry-run")[1]
    assert "a, ε = 0.00784314 (train): 0 of 7 points" in dry and "b, ε = 0 (train): 7 of 7 points" in dry
    code, out, _ = call(*several)
    assert code == 0 and set(before) < set(surfaces_in(here))
    assert [line.split(":")[0] for line in out.splitlines() if "adversarial loss g(0) =" in line] == [
        f"{model}, ε = {epsilon}" for model in "ab" for epsilon in ("0", "0.00784314", "0.15")
    ]
    assert (here / "a-and-b-plot-1d-epsilons.png").stat().st_size > 10_000
    assert out.count("between b, ε = ") + out.count("between a, ε = ") == 3
    assert out.startswith("Attack: PGD-2, L∞, 1 random start, ε = 0, 0.00784314, 0.15 with steps 0, 0.00196078, 0.0375")
    assert len(json.loads(call(*several, "--json")[1])["curves"]) == 6


def test_a_foreign_file_asks_for_what_it_does_not_say(here: Path, call: Call) -> None:
    torch.save(build_model("small_cnn").state_dict(), here / "foreign.pt")
    code, _, err = call("plot-1d", "foreign.pt", *SMALL)
    assert code == 1 and "--model" in err
    named = ("plot-1d", "foreign.pt", *SMALL, "--model", "small_cnn", "--normalization", "none")
    code, _, err = call(*named)
    assert code == 1 and "--dataset" in err
    assert call(*named, "--dataset", "digits")[0] == 0


def test_own_data_without_a_threat_model_ask_for_one(here: Path, call: Call) -> None:
    generator = np.random.default_rng(0)
    np.savez(here / "own.npz", inputs=generator.random((30, 1, 8, 8), dtype=np.float32), labels=np.arange(30) % 10)
    write_checkpoint(here / "plain.pt", threat=False)
    data = ("--dataset", "./own.npz")
    code, _, err = call("plot-1d", "plain.pt", *SMALL, *data)
    assert code == 1
    assert err.strip() == (
        "Error: the threat model of plain is not known; give --norm linf|l2 and --epsilon, for example 8/255."
    )
    assert call("plot-1d", "plain.pt", *SMALL, *data, "--norm", "l2", "--epsilon", "1/2")[0] == 0
    (stored,) = surfaces_in(here)
    assert load_surface(stored).spec["attack"]["epsilon"] == 0.5


def test_fewer_examples_than_usual_are_all_taken_but_asking_for_too_many_is_refused(here: Path, call: Call) -> None:
    generator = np.random.default_rng(0)
    np.savez(here / "own.npz", inputs=generator.random((30, 1, 8, 8), dtype=np.float32), labels=np.arange(30) % 10)
    few = ("plot-1d", "a.pt", "--directions", "1", "--alpha", "-1:1:2", "--attack", "fgsm", "--dataset", "./own.npz")
    assert call(*few)[0] == 0
    assert load_surface(surfaces_in(here)[0]).adversarial_loss.shape == (1, 2, 30)
    code, _, err = call(*few, "--split", "both")
    assert code == 1 and "is one set of examples, not a train and a test split" in err
    code, _, err = call(*few, "--examples", "31")
    assert code == 1 and "has 30 examples, got a request for 31" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["missing.pt"], 1, "missing.pt", id="no such file"),
        pytest.param(["folder"], 1, "folder", id="a folder that is no run"),
        pytest.param(["text.pt"], 1, "text.pt", id="a text file"),
        pytest.param(["empty.pt"], 1, "empty.pt", id="an empty file"),
        pytest.param(
            ["a.pt", "--epsilon", "8//255"], 2, "'8//255' is not a number such as 0.03 or 8/255.", id="epsilon"
        ),
        pytest.param(["a.pt", "--epsilon", "-1"], 2, "-1 is not at least 0.", id="negative epsilon"),
        pytest.param(["a.pt", "--epsilon", "1/0"], 2, "'1/0' is not a number", id="epsilon over zero"),
        pytest.param(["a.pt", "--epsilon", "nan"], 2, "nan", id="epsilon not a number"),
        pytest.param(["a.pt", "--alpha", "1:-1:0"], 2, "'1:-1:0' needs FROM below TO", id="alpha backwards"),
        pytest.param(["a.pt", "--alpha", "-1:1"], 2, "'-1:1' is not FROM:TO:NUM", id="alpha of two"),
        pytest.param(["a.pt", "--alpha=-1e400:1e400:3"], 2, "is not FROM:TO:NUM", id="alpha too large"),
        pytest.param(["a.pt", "--attack", "pgd-5:step=1e400"], 1, "an attack is pgd-K", id="step too large"),
        pytest.param(["a.pt", "--attack", "fgsm", "--restarts", "3"], 1, "has no restarts, got 3", id="fgsm restarts"),
        pytest.param(["a.pt", "wide.pt"], 1, "the model does not take inputs of 1x8x8", id="the second does not fit"),
        pytest.param(["a.pt", "--alpha", "-1:1:1e3"], 2, "'-1:1:1e3' is not FROM:TO:NUM", id="alpha no number"),
        pytest.param(["a.pt", "--directions", "0"], 2, "0 is not in the range x>=1", id="no directions"),
        pytest.param(["a.pt", "--examples", "0"], 2, "0 is below 1.", id="no examples"),
        pytest.param(["a.pt", "--examples", "9999"], 1, "has 1,000 examples, got a request for 9,999", id="too many"),
        pytest.param(["a.pt", "--dataset", "imagenet"], 1, "'imagenet'", id="unknown data"),
        pytest.param(["a.pt", "--model", "resnet50"], 1, "resnet50", id="unknown model"),
        pytest.param(["a.pt", "--attack", "cw"], 1, "an attack is pgd-K", id="unknown attack"),
        pytest.param(
            ["a.pt", "--norm", "l2"],
            1,
            "which says nothing about l2; give --epsilon too",
            id="another norm, no epsilon",
        ),
        pytest.param(["a.pt", "--epsilon", "8"], 1, "got 8; is it 8/255?", id="epsilon in pixels"),
        pytest.param(["a.pt", "--alpha=-1e39:1e39:3"], 1, "at most 1e+30 in size", id="alpha beyond float32"),
        pytest.param(["a.pt", "--device", "cuda:99"], 1, "there is no device cuda:99", id="no such device"),
        pytest.param(["a.pt", "--out", "figure.gif"], 1, ".png", id="unknown figure"),
        pytest.param(["a.pt", "--out", "a.pt/figure.png"], 1, "a.pt", id="figure in a file"),
        pytest.param(["a.pt", "--cache-dir", "text.pt"], 1, "cannot write in text.pt", id="cache is a file"),
        pytest.param(["a.pt", "--layers", "("], 1, "no regular expression", id="layers"),
        pytest.param(["a.pt", "--layers", "nothing"], 1, "no parameter moves", id="no layer"),
        pytest.param(
            ["a.pt", "--objective", "clean", "--quantity", "robust-error"], 1, "no robust error without", id="no attack"
        ),
        pytest.param(["a.pt", "--loss", "hinge"], 2, "'hinge' is not one of 'ce', 'margin'", id="unknown loss"),
        pytest.param(["odd.pt", "--loss", "training"], 1, "the loss training needs a checkpoint", id="no objective"),
        pytest.param(
            ["a.pt", "--with-fixed", "--objective", "clean"], 1, "leave out --objective", id="fixed beside clean"
        ),
        pytest.param(
            ["a.pt", "--objective", "clean", "--attack", "pgd-10"], 2, "--attack pgd-10 has no place", id="clean attack"
        ),
        pytest.param(["a.pt", "--objective", "clean", "--restarts", "2"], 2, "--restarts are of", id="clean restarts"),
        pytest.param(["a.pt", "--attack", "none", "--restarts", "2"], 2, "and --attack none leaves", id="no restarts"),
        pytest.param(["a.pt", "--with-fixed", "--attack", "none"], 1, "goes beside examples", id="fixed, no attack"),
        pytest.param(
            ["a.pt", "--with-fixed", "--quantity", "natural-loss"],
            1,
            "natural-loss does not depend on the attack",
            id="fixed, natural quantity",
        ),
        pytest.param(["a.pt", "--with-fixed", "--epsilon", "0.1,0.2"], 1, "takes one --epsilon", id="fixed, epsilons"),
        pytest.param(["a.pt", "--epsilon", "0.1,0.1"], 2, "names a number twice", id="an epsilon twice"),
        pytest.param(["a.pt", "--epsilon", "0.1,,0.2"], 2, "'' is not a number", id="an epsilon left out"),
        pytest.param(
            ["a.pt", "--epsilon", "0,0.1", "--attack", "none"],
            1,
            "without an attack there is no epsilon",
            id="no epsilon",
        ),
        pytest.param(
            ["a.pt", "--batchnorm-source", "clean"], 1, "only re-estimated statistics have a source", id="no source"
        ),
        pytest.param(
            ["a.pt", "--batchnorm", "batch", "--batch-size", "9"], 1, "got the batch size 9", id="two batches"
        ),
        pytest.param(["a.pt", "--shard", "3/2"], 2, "needs I from 1 to N", id="shard"),
        pytest.param(["a.pt", "--epochs", "1:3:1"], 1, "a series of --epochs needs one run folder", id="no series"),
        pytest.param([], 2, "Missing argument 'CKPT...'", id="nothing"),
    ],
)
def test_wrong_calls_say_so_and_write_nothing(
    arguments: list[str], code: int, message: str, here: Path, call: Call
) -> None:
    (here / "folder").mkdir()
    (here / "text.pt").write_text("these are no weights")
    (here / "empty.pt").write_text("")
    write_checkpoint(here / "wide.pt", image_size=16)
    write_checkpoint(here / "odd.pt", method="trades")
    before = sorted(path for path in here.rglob("*"))
    given, _, err = call("plot-1d", *arguments)
    said = [line for line in err.strip().splitlines() if not line.startswith(("Usage:", "Try ")) and line]
    assert given == code
    assert message in err and "Traceback" not in err
    assert len(said) == 1, said
    assert sorted(path for path in here.rglob("*") if "cache" not in path.parts) == before
    assert not surfaces_in(here)


def test_a_full_disk_costs_one_sentence_and_no_finished_point(here: Path) -> None:
    resource = pytest.importorskip("resource")
    command = [sys.executable, "-m", "landscape", "plot-1d", "a.pt", *SMALL, "--examples", "500"]

    def run(limit: int) -> subprocess.CompletedProcess[str]:
        def small_disk() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=small_disk)

    full = run(20_000)  # the journal's header and two or three points
    assert full.returncode == 1
    assert full.stderr.strip().splitlines()[-1].startswith("Error: cannot append to ")
    assert "Traceback" not in full.stderr and not surfaces_in(here)
    (journal,) = (here / "cache").glob("*.points/*.journal")
    kept = journal.stat().st_size
    assert kept > 5_000
    roomy = run(10**9)
    assert roomy.returncode == 0 and "figure   a-plot-1d.png" in roomy.stdout
    assert load_surface(surfaces_in(here)[0]).complete


def test_preact_resnet18_on_colour_pictures(here: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from landscape.datasets import cifar10
    from tests.datasets import layouts

    monkeypatch.setattr(cifar10, "RECORDS_PER_FILE", layouts.RECORDS)
    layouts.write_cifar10(here / "data")
    network = build_model("preact_resnet18", width=4)
    save_checkpoint(
        here / "prn.pt",
        network=network,
        model_name="preact_resnet18",
        model_arguments={"width": 4},
        normalization="cifar10",
        dataset="cifar10",
        threat=ThreatModel(norm="linf", epsilon=8 / 255),
        step_size=2 / 255,
        training={},
    )
    size = ("--directions", "1", "--alpha", "-1:1:5", "--examples", "5", "--attack", "pgd-1", "--device", "cpu")
    code, out, _ = call("plot-1d", "prn.pt", "--data-dir", "data", *size)
    assert code == 0 and "prn" in out
    surface = load_surface(surfaces_in(here)[0])
    assert surface.complete and surface.adversarial_loss.shape == (1, 5, 5)
    assert surface.spec["attack"]["epsilon"] == 8 / 255


@pytest.mark.cuda
def test_digits_agree_on_a_cuda_device_and_on_the_cpu(here: Path, call: Call) -> None:
    size = ("--directions", "2", "--alpha", "-1:1:5", "--examples", "200")
    losses = []
    for device in ("cpu", "cuda"):
        assert call("plot-1d", "digits-at", *size, "--device", device, "--cache-dir", device)[0] == 0
        (stored,) = (here / device).glob("*.h5")
        losses.append(load_surface(stored).mean())
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


def test_no_help_imports_what_is_slow() -> None:
    program = """
import sys
from landscape.cli.main import COMMANDS, group
for name in (None, *COMMANDS):
    arguments = [name, "--help"] if name else ["--help"]
    try:
        group.main(args=arguments, standalone_mode=False)
    except SystemExit:
        pass
    slow = {"torch", "matplotlib", "sklearn", "numpy", "scipy", "h5py", "rich"} & set(sys.modules)
    if slow:
        sys.exit(f"{name} imports {sorted(slow)}")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


def test_parametric_noise_is_averaged_over_draws_and_said(here: Path, call: Call) -> None:
    write_checkpoint(here / "pni.pt", noise=True)
    code, _, error = call("plot-1d", "a.pt", "pni.pt", *SMALL, "--noise-draws", "2")
    assert code == 0, error
    noises = [load_surface(path).spec.get("noise") for path in surfaces_in(here)]
    assert sorted(map(str, noises)) == ["None", "{'draws': 2, 'kind': 'pni-w', 'seed': 0}"]
    code, _, error = call("plot-1d", "a.pt", *SMALL, "--noise-draws", "2")
    assert code == 1
    assert "--noise-draws is for networks with parametric noise, and none of these has any; leave it out." in error


def test_until_se_takes_one_number_of_examples_for_all_curves(here: Path, call: Call) -> None:
    wide = ("--directions", "1", "--alpha", "-1:1:3", "--examples", "300", "--attack", "pgd-1", "--device", "cpu")
    code, out, _ = call("plot-1d", "a.pt", "b.pt", *wide, "--until-se", "5")
    assert code == 0
    assert "100 of 300 examples, standard error over examples of the mean loss at one point at most 0.0" in out
    whole = [surface for surface in map(load_surface, surfaces_in(here)) if surface.num_points == 4]
    assert [len(surface.example_ids) for surface in whole] == [100, 100]
    again = call("plot-1d", "a.pt", "b.pt", *wide, "--until-se", "5")
    assert again[:2] == (0, out)


def test_until_se_is_the_surface_of_compute_surface(here: Path, call: Call) -> None:
    wide = ("--directions", "1", "--alpha", "-1:1:3", "--examples", "300", "--attack", "pgd-1", "--device", "cpu")
    assert call("plot-1d", "a.pt", *wide, "--until-se", "0.006")[0] == 0
    checkpoint = load_checkpoint("a.pt")
    assert checkpoint.threat is not None and checkpoint.step_size is not None
    surface = compute_surface(
        checkpoint,
        load_examples("digits", split="train", num_examples=300),
        attack=PGD(threat=checkpoint.threat, step_size=checkpoint.step_size, num_steps=1),
        directions=1,
        grid="-1:1:3",
        device="cpu",
        until_se=0.006,
    )
    (stored,) = [found for found in map(load_surface, surfaces_in(here)) if found.key == surface.key]
    assert 100 < len(surface.example_ids) < 300
    np.testing.assert_array_equal(stored.adversarial_loss, surface.adversarial_loss)
    assert describe_settings(stored)["Examples"] == describe_settings(surface)["Examples"]


@pytest.mark.parametrize("until_se", ["nan", "inf"])
def test_until_se_is_refused_in_the_same_words(here: Path, call: Call, until_se: str) -> None:
    code, _, error = call("plot-1d", "a.pt", *SMALL, "--until-se", until_se)
    with pytest.raises(InputError) as refused:
        compute_surface(
            load_checkpoint("a.pt"), load_examples("digits", num_examples=20), attack=None, until_se=float(until_se)
        )
    assert code == 1 and str(refused.value) in error


def test_until_se_says_when_there_are_too_few_examples(
    here: Path, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    code, _, err = call("plot-1d", "a.pt", *SMALL, "--until-se", "1e-6")
    assert code == 0
    said = err + caplog.text
    assert "20 of 20 examples, standard error over examples of the mean loss at one point at most" in said
    there = "and digits train has 1,000; give a larger --until-se."
    assert re.search(rf"--until-se 1e-06 needs about [\d,]+ examples, {there}", said)


def test_until_se_is_refused_with_shards(here: Path, call: Call) -> None:
    code, _, err = call("plot-1d", "a.pt", *SMALL, "--until-se", "0.1", "--shard", "1/2")
    assert code == 1
    assert "--until-se finds the number of examples first, which shards cannot share; give --examples N." in err


def test_warm_start_prints_its_bias(here: Path, call: Call) -> None:
    code, out, _ = call("plot-1d", "a.pt", *SMALL, "--warm-start", "1")
    assert code == 0
    said = [line for line in out.splitlines() if line.startswith("warm start  a, ")]
    bias = said[1].partition("of 6: ")[2].partition(" %")[0]
    assert f"Bias of warm starts: {bias} % at α = " in out
    assert "along direction 0, the largest of 2 nodes compared with the full attack." in out
    assert len(said) == 2 and " % at -1, " in said[0] and said[0].endswith(" % at 1") and "direction 0: " in said[0]
    where, losses = r"[+-][\d.]+ % at -?1 along direction 0", r"[\d.]+, [\d.]+ by the full attack"
    assert re.fullmatch(rf"warm start  a, largest of 2 nodes compared, of 6: {where} \({losses}\)", said[1])
    assert "beside the centre 1 step from the neighbour's examples on" in out
    code, out, _ = call("plot-1d", "a.pt", *SMALL, "--warm-start", "1", "--json")
    rows = json.loads(out)["warm_starts"]
    assert code == 0 and [(row["direction"], row["alpha"]) for row in rows] == [(0, -1), (0, 1)]
    assert all(row["bias"] == pytest.approx(row["warm"] / row["full"] - 1) and row["label"] == "a" for row in rows)


def test_a_redrawn_picture_says_that_the_bias_of_warm_starts_is_not_recorded(here: Path, call: Call) -> None:
    out = call("plot-1d", "a.pt", *SMALL, "--warm-start", "1")[1]
    (stored,) = [line.split()[1] for line in out.splitlines() if line.startswith("surface  ")]
    assert "Bias of warm starts: not recorded." in call("plot", stored)[1]


@pytest.mark.parametrize("other", [("--dry-run",), ("--shard", "1/2")], ids=lambda other: other[0])
def test_warm_start_is_refused_where_lines_are_not_whole(here: Path, call: Call, other: tuple[str, ...]) -> None:
    code, _, err = call("plot-1d", "a.pt", *SMALL, "--warm-start", "1", *other)
    assert code == 1 and "--warm-start walks along whole lines" in err
