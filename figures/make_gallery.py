"""Makes every picture of this folder with the real commands, on the bundled checkpoints, and the page that lists them.

python figures/make_gallery.py [--only NAME ...]

Surfaces are taken from the cache and kept there; the run of `history` is trained in a temporary folder, 20 epochs. With
an empty cache all of it took 18 minutes in one thread on 2 cores that were busy with other work, the planes 6 of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).resolve().parent

LARGEST = 300_000
"""Bytes of a picture."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One part of the page.

    Attributes:
        name: of the picture, without suffix; of a text, its anchor.
        title: its heading.
        words: what to look at.
        commands: run one after another; `landscape ...` or `python ...`. In a later one `SURFACES` stands for the
            surface files of those before it.
        text: whether what the last command prints is shown, rather than a picture.
    """

    name: str
    title: str
    words: str
    commands: tuple[str, ...]
    text: bool = False

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.png"


PATH = "--trajectory digits-at-epoch005 --trajectory digits-at-early --trajectory digits-at-epoch050"

TRAIN = "landscape train --method at --epochs 20 --checkpoint-every 2 --out runs/at"

ENTRIES = (
    Entry(
        name="demo",
        title="The loss along random directions",
        words="Adversarial examples made anew at every point; ten directions, their mean, and its interval.",
        commands=("landscape plot-1d digits-at digits-at-awp --directions 10 --out figures/demo.png",),
    ),
    Entry(
        name="fixed",
        title="What fixed examples miss",
        words="Examples made once, at the centre (dashed), underestimate the loss; the gap with its interval.",
        commands=("landscape plot-1d digits-at digits-at-awp --with-fixed --out figures/fixed.png",),
    ),
    Entry(
        name="planes",
        title="Planes",
        words="One colour scale and common random directions.",
        commands=("landscape plot-2d digits-at digits-at-awp --out figures/planes.png",),
    ),
    Entry(
        name="groups",
        title="Groups of examples by their loss",
        words="Early and last checkpoint, train beside test examples: what is claimed is train minus test.",
        commands=("landscape lsc-groups --examples all --out figures/groups.png",),
    ),
    Entry(
        name="towards",
        title="From one checkpoint to another",
        words="Weights and running statistics move from AT to AT-AWP; the table gives the barrier between them.",
        commands=("landscape plot-1d digits-at --towards digits-at-awp --split both --out figures/towards.png",),
    ),
    Entry(
        name="path",
        title="The plane of a path",
        words="Principal components of four checkpoints of one training; diamonds have their own losses.",
        commands=(
            f"landscape plot-2d digits-at {PATH} --examples 50 --levels 0.1,0.2,0.3,0.5,0.7,1,1.4,2 "
            "--out figures/path.png",
        ),
    ),
    Entry(
        name="worst-case",
        title="The worst case",
        words="The direction of AWP, found at α = 0.01: there the loss rises faster ahead than behind.",
        commands=("landscape plot-1d digits-at digits-at-awp --direction worst-case --out figures/worst-case.png",),
    ),
    Entry(
        name="hessian",
        title="The top Hessian eigenvector",
        words="Of the loss on fixed adversarial examples; the curve itself is attacked anew at every point.",
        commands=(
            "landscape plot-1d digits-at digits-at-awp --direction hessian --examples 200 --out figures/hessian.png",
        ),
    ),
    Entry(
        name="perturbed-loss",
        title="The loss of perturbed weights",
        words="Adversarial and random v of growing size: a random one has to be much larger to do as much.",
        commands=(
            "landscape perturbed-loss digits-at digits-at-awp --examples 200 --directions 3 "
            "--random-gamma 0.05,0.1,0.3,0.6 --out figures/perturbed-loss.png",
        ),
    ),
    Entry(
        name="weights",
        title="The weights of each layer",
        words="Both checkpoints in the same bins.",
        commands=("landscape weights digits-at digits-at-awp --out figures/weights.png",),
    ),
    Entry(
        name="epsilons",
        title="Weights against epsilon",
        words="Five sizes of the attack in one call.",
        commands=(
            "landscape plot-1d digits-at --epsilon 0,0.05,0.1,0.15,0.2 --directions 3 --alpha -1:1:11 --examples 100 "
            "--out figures/epsilons.png",
        ),
    ),
    Entry(
        name="batchnorm",
        title="Statistics of BatchNorm",
        words="Frozen ones add to the rise; re-estimated at every point and of each batch they hardly differ here.",
        commands=(
            *(
                f"landscape plot-1d digits-at --batchnorm {policy} --directions 5 --alpha -1:1:11 --examples 200"
                for policy in ("frozen", "reestimate", "batch")
            ),
            "landscape plot SURFACES --out figures/batchnorm.png",
        ),
    ),
    Entry(
        name="history",
        title="The learning curves of a run",
        words="Robust accuracy on train and test examples, with the same attack on both, and the gap.",
        commands=(TRAIN, "landscape history runs/at --out figures/history.png"),
    ),
    Entry(
        name="cifar10-small",
        title="A small study on CIFAR-10",
        words="Histories of two runs that `benchmarks/README.md` describes.",
        commands=(
            "landscape history figures/histories/cifar10-small-at.csv figures/histories/cifar10-small-at-awp.csv "
            '--title "PreActResNet-18 of width 16, 2,500 pictures of CIFAR-10 (JPEG copy), L∞ 8/255, PGD-10 on 1,000 + '
            '1,000" --out figures/cifar10-small.png',
        ),
    ),
    Entry(
        name="mnist",
        title="A small study on MNIST",
        words="Histories of two runs that `benchmarks/README.md` describes.",
        commands=(
            "landscape history figures/histories/mnist-at.csv figures/histories/mnist-at-awp.csv "
            '--title "MNIST (17,000 training images), mnist_cnn4, L∞ 0.3, PGD-10 on 500 + 500" --out figures/mnist.png',
        ),
    ),
    Entry(
        name="series",
        title="A series of checkpoints",
        words="The same directions for every epoch; the panels part at the best one, and after it little changes here.",
        commands=(
            TRAIN,
            "landscape plot-1d runs/at --epochs 2:20:2 --directions 3 --examples 100 --out figures/series.png",
        ),
    ),
    Entry(
        name="check",
        title="Is it to be trusted?",
        words="A try of everything that a landscape rests on.",
        commands=("landscape check digits-at",),
        text=True,
    ),
    Entry(
        name="methods",
        title="All methods",
        words="From `benchmarks/results/methods.csv`, one row for each training.",
        commands=("python benchmarks/methods_figure.py",),
    ),
)


def run(entry: Entry, place: Path) -> str:
    """Run the commands of an entry in `place`, where `runs/` lies; what the last one printed."""
    surfaces: list[str] = []
    printed = ""
    for number, command in enumerate(entry.commands):
        if command == TRAIN and (place / "runs" / "at").exists():
            continue
        last = number == len(entry.commands) - 1
        words = [part for word in shlex.split(command) for part in (surfaces if word == "SURFACES" else [word])]
        words = [str(FOLDER.parent / word) if word.startswith(("figures/", "benchmarks/")) else word for word in words]
        program = [sys.executable] if words[0] == "python" else [sys.executable, "-m", "landscape"]
        plain = not last and words[1] == "plot-1d"
        unseen = ["--json", "--out", str(place / "unseen.png")] if plain else []
        found = subprocess.run(
            [*program, *words[1:], *unseen],
            cwd=FOLDER.parent if words[0] == "python" else place,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])},
        )
        printed = found.stdout
        surfaces += json.loads(printed)["surfaces"] if plain else []
    return printed


def reduce_colours(file: Path) -> None:
    """Keep 256 colours of a picture that is too large; no size or pixel moves.

    Raises:
        SystemExit: it is still too large.
    """
    if file.stat().st_size > LARGEST:
        with Image.open(file) as picture:
            reduced = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        reduced.save(file, optimize=True, dpi=(150, 150))
    if (size := file.stat().st_size) > LARGEST:
        raise SystemExit(f"{file.name} has {size} bytes, more than {LARGEST}; draw it smaller.")


def page(texts: dict[str, str]) -> str:
    """The page of all entries; `texts` are those that are printed, by name."""
    lines = [
        "# Gallery",
        "",
        "Every picture of this folder with the call that makes it; `python figures/make_gallery.py` makes all of them,",
        "and this page, in about 20 minutes (one thread on 2 busy cores, empty cache). Larger ones are reduced to",
        "256 colours. The checkpoints are bundled: small networks on 8x8 digits, which show how the tool works and not",
        "which method is better.",
        "[How to read them](../docs/reading-the-picture.md). Two studies of trained runs: [studies](studies.md).",
    ]
    for entry in ENTRIES:
        lines += ["", f"## {entry.title}", "", entry.words, "", "```", *entry.commands, "```", ""]
        lines += ["```", texts[entry.name].rstrip(), "```"] if entry.text else [f"![{entry.title}]({entry.name}.png)"]
    return "\n".join([*lines, ""])


def main() -> None:
    names = [entry.name for entry in ENTRIES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=names, help="These alone; the page is left as it is.")
    only = parser.parse_args().only
    texts: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as place:
        for entry in ENTRIES:
            if only and entry.name not in only:
                continue
            print(entry.name, flush=True)
            texts[entry.name] = run(entry, Path(place))
            if not entry.text:
                reduce_colours(entry.file)
    if not only:
        (FOLDER / "README.md").write_text(page(texts), encoding="utf-8")


if __name__ == "__main__":
    main()
