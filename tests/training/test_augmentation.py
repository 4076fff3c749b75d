from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from landscape import names
from landscape.devices import arithmetic
from landscape.errors import InputError
from landscape.losses import cross_entropy
from landscape.randomness import Stream, permutation, uniform
from landscape.training.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    augmentation_of,
    crop_and_flip,
    cut_out,
    mix,
    require_images,
    rotate,
    unchanged,
)

IMAGES = torch.rand(40, 3, 8, 9, generator=torch.Generator().manual_seed(0))
IDS = torch.arange(40) * 3


@pytest.mark.parametrize("mode", ["reflect", "constant"])
def test_each_image_is_a_literal_crop_of_its_padding_flipped_or_not(mode: Any) -> None:
    augmented = crop_and_flip(IMAGES, IDS, seed=5, epoch=2, mode=mode)
    assert augmented.shape == IMAGES.shape
    offsets, flips = set(), set()
    for image, example, got in zip(IMAGES.numpy(), IDS.tolist(), augmented.numpy(), strict=True):
        numbers = uniform(3, seed=5, stream=Stream.AUGMENTATION, a=example, c=2)
        top, left, flip = int(numbers[0] * 9), int(numbers[1] * 9), bool(numbers[2] < 0.5)
        expected = np.pad(image, ((0, 0), (4, 4), (4, 4)), mode=mode)[:, top : top + 8, left : left + 9]
        np.testing.assert_array_equal(got, expected[:, :, ::-1] if flip else expected)
        offsets |= {top, left}
        flips.add(flip)
    assert offsets == set(range(9))
    assert flips == {True, False}


def cut(side: int) -> Augmentation:
    settings: Any = SimpleNamespace(augmentation="none", cutout=side)
    return augmentation_of(settings)


ALL = {**{name: augment for name, augment in AUGMENTATIONS.items() if name != "none"}, "cutout": cut(3)}


@pytest.mark.parametrize("name", ALL)
def test_an_image_does_not_depend_on_its_batch(name: str) -> None:
    whole = ALL[name](IMAGES, IDS, seed=0, epoch=0)
    part = ALL[name](IMAGES[7:9], IDS[7:9], seed=0, epoch=0)
    assert whole.shape == IMAGES.shape
    assert torch.equal(whole[7:9], part)


@pytest.mark.parametrize("name", ALL)
def test_epochs_and_seeds_differ(name: str) -> None:
    first = ALL[name](IMAGES, IDS, seed=0, epoch=0)
    assert not torch.equal(first, ALL[name](IMAGES, IDS, seed=0, epoch=1))
    assert not torch.equal(first, ALL[name](IMAGES, IDS, seed=1, epoch=0))


def test_the_cut_square_is_whole_black_and_everywhere() -> None:
    images = torch.ones(300, 2, 6, 7)
    ids = torch.arange(300)
    corners = set()
    for example, image in zip(ids.tolist(), cut_out(images, ids, seed=1, epoch=4, side=4).numpy(), strict=True):
        numbers = uniform(2, seed=1, stream=Stream.AUGMENTATION, a=example, b=1, c=4)
        top, left = int(numbers[0] * 3), int(numbers[1] * 4)
        expected = np.ones((2, 6, 7), dtype=np.float32)
        expected[:, top : top + 4, left : left + 4] = 0.0
        np.testing.assert_array_equal(image, expected)
        corners.add((top, left))
    assert corners == {(top, left) for top in range(3) for left in range(4)}


def test_a_square_of_the_whole_image_is_all_black() -> None:
    assert not cut_out(IMAGES, IDS, seed=0, epoch=0, side=8)[:, :, :, 1:-1].any()


def test_rotation_takes_the_nearest_pixel_of_the_turned_place() -> None:
    height, width = IMAGES.shape[2:]
    angles = []
    for image, example, got in zip(
        IMAGES.numpy(), IDS.tolist(), rotate(IMAGES, IDS, seed=5, epoch=2).numpy(), strict=True
    ):
        degrees = 30 * uniform(1, seed=5, stream=Stream.AUGMENTATION, a=example, b=2, c=2)[0] - 15
        angles.append(degrees)
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        for row in range(height):
            for column in range(width):
                y, x = row - (height - 1) / 2, column - (width - 1) / 2
                source = (sine * x + cosine * y + (height - 1) / 2, cosine * x - sine * y + (width - 1) / 2)
                if any(abs(place % 1 - 0.5) < 1e-4 for place in source):
                    continue  # between two pixels rounding decides
                i, j = round(source[0]), round(source[1])
                inside = 0 <= i < height and 0 <= j < width
                expected = image[:, i, j] if inside else np.zeros(3)
                np.testing.assert_array_equal(got[:, row, column], expected)
    assert min(angles) < -10
    assert max(angles) > 10


def test_mixup_is_one_weight_and_one_permutation_for_images_and_labels() -> None:
    labels = torch.arange(40) % 5
    mixed, probabilities = mix(IMAGES, labels, num_classes=5, parameter=1.4, seed=3, epoch=2, batch=7)
    partners = permutation(40, seed=3, stream=Stream.MIXUP, a=7, b=1, c=2)
    weight = ((mixed[0] - IMAGES[partners[0]]) / (IMAGES[0] - IMAGES[partners[0]])).median().item()
    assert 0 < weight < 1
    torch.testing.assert_close(mixed, weight * IMAGES + (1 - weight) * IMAGES[partners])
    logits = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    expected = weight * cross_entropy(logits, labels) + (1 - weight) * cross_entropy(logits, labels[partners])
    torch.testing.assert_close(cross_entropy(logits, probabilities), expected)


def test_weights_of_mixup_follow_their_beta_distribution() -> None:
    one, two = torch.ones(2, 1, 1, 1), torch.tensor([0, 1])
    weights = []
    for batch in range(400):
        _, probabilities = mix(one, two, num_classes=2, parameter=0.5, seed=0, epoch=0, batch=batch)
        weights.append(float(probabilities[0].max()))
    # Of l ~ Beta(a, a) the larger of l and 1 - l; with a = 0.5 its mean is 1/2 + 1/pi.
    moved = [weight for weight in weights if weight < 1.0]
    assert np.mean(moved) == pytest.approx(0.5 + 1 / math.pi, abs=0.03)


def test_names() -> None:
    assert tuple(AUGMENTATIONS) == names.AUGMENTATIONS


@pytest.mark.parametrize(
    ("given", "shape", "message"),
    [
        ({"augmentation": "none", "cutout": 9}, (1, 8, 9), "its side is at most 8 here, got 9"),
        ({"augmentation": "crop-flip", "cutout": None}, (1, 8, 4), "reflects 4 pixels, so images have more, got 4"),
    ],
    ids=["cutout", "reflection"],
)
def test_images_that_do_not_fit_are_refused(given: dict[str, Any], shape: tuple[int, ...], message: str) -> None:
    settings: Any = SimpleNamespace(**given)
    with pytest.raises(InputError, match=message):
        require_images(settings, shape)


def test_unchanged_gives_the_images_themselves() -> None:
    assert unchanged(IMAGES, IDS, seed=0, epoch=0) is IMAGES


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_images_are_the_same_in_every_precision(name: str) -> None:
    inputs, ids = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(16)
    expected = AUGMENTATIONS[name](inputs, ids, seed=0, epoch=0)
    with arithmetic("bf16", torch.device("cpu")):
        assert torch.equal(AUGMENTATIONS[name](inputs, ids, seed=0, epoch=0), expected)
