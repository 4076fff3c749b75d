from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from landscape.datasets import image_folder
from landscape.errors import DataError


def write(path: Path, array: Any, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(array, np.uint8))
    (image.convert(mode) if mode else image).save(path)


def picture(seed: int, shape: tuple[int, ...] = (6, 5, 3)) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def colour_folder(folder: Path) -> list[Any]:
    """Three classes, written out of order; returns the pictures in the order of their ids."""
    write(folder / "cat" / "b.png", picture(2))
    write(folder / "zebra" / "x.bmp", picture(3))
    write(folder / "cat" / "a.PNG", picture(1))
    write(folder / "ant" / "only.png", picture(0))
    return [picture(seed) for seed in range(4)]


def test_colour(tmp_path: Path) -> None:
    pictures = colour_folder(tmp_path)
    part = image_folder.describe(tmp_path)
    assert (part.image_shape, part.num_classes, part.class_names) == ((3, 6, 5), 3, ("ant", "cat", "zebra"))
    source = image_folder.open_folder(tmp_path)
    assert source.labels.tolist() == [0, 1, 1, 2]
    expected = np.stack([(image / 255).astype(np.float32).transpose(2, 0, 1) for image in pictures])
    np.testing.assert_array_equal(source.pixels(np.arange(4)), expected)
    np.testing.assert_array_equal(source.pixels(np.array([3, 1])), expected[[3, 1]])


def test_grey(tmp_path: Path) -> None:
    for seed, name in enumerate(["a/1.png", "b/2.png"]):
        write(tmp_path / name, picture(seed, (4, 7)))
    source = image_folder.open_folder(tmp_path)
    expected = np.stack([(picture(seed, (4, 7)) / 255).astype(np.float32)[None] for seed in range(2)])
    np.testing.assert_array_equal(source.pixels(np.arange(2)), expected)


def test_a_grey_image_among_colours_gets_three_channels(tmp_path: Path) -> None:
    colour_folder(tmp_path)
    write(tmp_path / "zebra" / "y.png", picture(9, (6, 5)))
    pixels = image_folder.open_folder(tmp_path).pixels(np.array([4]))
    np.testing.assert_array_equal(pixels[0], np.stack([picture(9, (6, 5)) / 255] * 3).astype(np.float32))


def test_only_asked_images_are_decoded(tmp_path: Path) -> None:
    colour_folder(tmp_path)
    (tmp_path / "zebra" / "x.bmp").write_bytes(b"damaged")
    source = image_folder.open_folder(tmp_path)
    assert source.pixels(np.array([0, 1])).shape == (2, 3, 6, 5)
    with pytest.raises(DataError, match=r"x\.bmp cannot be read as an image"):
        source.pixels(np.array([3]))


def test_truncated_image(tmp_path: Path) -> None:
    colour_folder(tmp_path)
    path = tmp_path / "cat" / "b.png"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"b\.png cannot be read as an image; it is damaged"):
        image_folder.open_folder(tmp_path).pixels(np.arange(4))


def test_other_size(tmp_path: Path) -> None:
    colour_folder(tmp_path)
    write(tmp_path / "zebra" / "y.png", picture(1, (6, 6, 3)))
    with pytest.raises(DataError, match=r"y\.png must be 5x6 pixels like the first image, got 6x6"):
        image_folder.open_folder(tmp_path).pixels(np.arange(5))


def test_colour_after_grey(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1.png", picture(0, (6, 5)))
    write(tmp_path / "b" / "2.png", picture(1))
    with pytest.raises(DataError, match=r"2\.png must be grey like the first image, got mode RGB"):
        image_folder.open_folder(tmp_path).pixels(np.arange(2))


def test_transparency(tmp_path: Path) -> None:
    colour_folder(tmp_path)
    write(tmp_path / "ant" / "a.png", picture(0, (6, 5, 4)))
    with pytest.raises(DataError, match="no transparency, got mode RGBA"):
        image_folder.describe(tmp_path)


def test_other_files_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    colour_folder(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("n")
    (tmp_path / "cat" / ".hidden.png").write_text("n")
    (tmp_path / "README").write_text("n")
    with caplog.at_level(logging.WARNING):
        assert len(image_folder.open_folder(tmp_path)) == 4
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{tmp_path}: left out, as no images of a known kind in a class folder: README, {Path('cat', 'notes.txt')}."
    )
    for number in range(4):
        (tmp_path / "zebra" / f"{number}.txt").write_text("n")
    caplog.clear()
    image_folder.describe(tmp_path)
    assert caplog.text.rstrip().endswith("and 3 more.")


def test_no_classes(tmp_path: Path) -> None:
    write(tmp_path / "only" / "1.png", picture(0))
    with pytest.raises(DataError, match="at least 2 classes, got 1 class folders"):
        image_folder.describe(tmp_path)


def test_empty_class(tmp_path: Path) -> None:
    colour_folder(tmp_path)
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError, match="dog must hold images"):
        image_folder.describe(tmp_path)


def test_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    colour_folder(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match="read with Pillow, which is missing; run `pip install pillow`"):
        image_folder.describe(tmp_path)
