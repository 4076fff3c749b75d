from __future__ import annotations

import numpy as np
import torch

from landscape.randomness import Stream, uniform
from landscape.training.augmentation import crop_and_flip, unchanged

IMAGES = torch.rand(40, 3, 8, 9, generator=torch.Generator().manual_seed(0))
IDS = torch.arange(40) * 3


def test_each_image_is_a_literal_crop_of_its_reflection_flipped_or_not() -> None:
    augmented = crop_and_flip(IMAGES, IDS, seed=5, epoch=2)
    assert augmented.shape == IMAGES.shape
    offsets, flips = set(), set()
    for image, example, got in zip(IMAGES.numpy(), IDS.tolist(), augmented.numpy(), strict=True):
        numbers = uniform(3, seed=5, stream=Stream.AUGMENTATION, a=example, c=2)
        top, left, flip = int(numbers[0] * 9), int(numbers[1] * 9), bool(numbers[2] < 0.5)
        expected = np.pad(image, ((0, 0), (4, 4), (4, 4)), mode="reflect")[:, top : top + 8, left : left + 9]
        np.testing.assert_array_equal(got, expected[:, :, ::-1] if flip else expected)
        offsets |= {top, left}
        flips.add(flip)
    assert offsets == set(range(9))
    assert flips == {True, False}


def test_an_image_does_not_depend_on_its_batch() -> None:
    whole = crop_and_flip(IMAGES, IDS, seed=0, epoch=0)
    part = crop_and_flip(IMAGES[7:9], IDS[7:9], seed=0, epoch=0)
    assert torch.equal(whole[7:9], part)


def test_epochs_and_seeds_differ() -> None:
    first = crop_and_flip(IMAGES, IDS, seed=0, epoch=0)
    assert not torch.equal(first, crop_and_flip(IMAGES, IDS, seed=0, epoch=1))
    assert not torch.equal(first, crop_and_flip(IMAGES, IDS, seed=1, epoch=0))


def test_unchanged_gives_the_images_themselves() -> None:
    assert unchanged(IMAGES, IDS, seed=0, epoch=0) is IMAGES
