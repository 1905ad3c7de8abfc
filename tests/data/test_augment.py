"""The batched augmentations against loops over single images that pad, crop and mirror literally."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from gdw.data.augment import (
    AUGMENTATIONS,
    cutout,
    random_crop,
    random_flip,
    standard,
    standard_cutout,
)
from gdw.errors import ConfigError
from gdw.train import TrainConfig


def _images(batch=6, channels=3, height=9, width=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, channels, height, width)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _crops(image, padding):
    """Every crop that padding by reflection allows, keyed by its shift."""
    padded = F.pad(image[None].float(), (padding,) * 4, mode="reflect")[0].to(torch.uint8)
    height, width = image.shape[1:]
    span = range(2 * padding + 1)
    return {(i, j): padded[:, i : i + height, j : j + width] for i in span for j in span}


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    padding=st.integers(0, 4),
    height=st.integers(5, 9),
    width=st.integers(5, 9),
)
def test_random_crop_is_a_crop_of_the_image_padded_by_reflection(seed, padding, height, width):
    images = _images(4, 2, height, width, seed)
    out = random_crop(images, _generator(seed), padding=padding)
    draws = _generator(seed)
    shifts = torch.randint(-padding, padding + 1, (2, 4, 1), generator=draws)[..., 0] + padding
    for example in range(4):
        place = (int(shifts[0, example]), int(shifts[1, example]))
        assert torch.equal(out[example], _crops(images[example], padding)[place])


def test_random_crop_reaches_every_place_and_draws_for_each_image():
    image = _images(1, 1, 9, 9)
    out = random_crop(image.expand(400, -1, -1, -1), _generator(), padding=2)
    crops = _crops(image[0], 2)
    found = {
        place for place, crop in crops.items() for example in out if torch.equal(example, crop)
    }
    assert found == set(crops)


def test_random_flip_mirrors_half_of_the_images():
    images = _images(1000, 1, 2, 3)
    out = random_flip(images, _generator())
    flipped = torch.tensor([torch.equal(o, i.flip(-1)) for o, i in zip(out, images, strict=True)])
    kept = torch.tensor([torch.equal(o, i) for o, i in zip(out, images, strict=True)])
    assert bool((flipped | kept).all())
    # five standard deviations of a fair coin
    assert abs(int((flipped & ~kept).sum()) - 500) < 80


@pytest.mark.parametrize(
    ("side", "padding"), [(2, 0), (4, 1), (8, 1), (16, 2), (28, 4), (32, 4), (40, 4)]
)
def test_standard_is_crop_then_flip(side, padding):
    images = _images(height=side, width=side + 3)
    generator = _generator(5)
    expected = random_flip(random_crop(images, generator, padding=padding), generator)
    assert torch.equal(standard(images, _generator(5)), expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.integers(1, 12))
def test_cutout_fills_one_square_cut_off_at_the_borders(seed, size):
    images = _images(3, 2, 9, 7, seed).clamp(max=254)
    out = cutout(images, _generator(seed), size=size, fill=255)
    draws = _generator(seed)
    tops = torch.randint(0, 9, (3, 1), generator=draws)[:, 0].tolist()
    lefts = torch.randint(0, 7, (3, 1), generator=draws)[:, 0].tolist()
    for example, (y, x) in enumerate(zip(tops, lefts, strict=True)):
        expected = images[example].clone()
        top, left = y - size // 2, x - size // 2
        expected[:, max(0, top) : top + size, max(0, left) : left + size] = 255
        assert torch.equal(out[example], expected)


def test_standard_cutout_is_standard_then_a_square_of_half_the_side():
    images = _images(5, 3, 12, 32)
    generator = _generator(5)
    expected = cutout(standard(images, generator), generator, size=6)
    assert torch.equal(standard_cutout(images, _generator(5)), expected)


def test_a_cutout_is_grey_in_bytes_and_nothing_in_normalised_images():
    images = torch.full((1, 3, 8, 8), 7)
    assert torch.equal(cutout(images.byte(), _generator(), size=16), torch.full((1, 3, 8, 8), 128))
    assert torch.equal(cutout(images.float(), _generator(), size=16), torch.zeros(1, 3, 8, 8))


def test_images_in_any_memory_format_give_the_same():
    images = _images()
    expected = standard_cutout(images, _generator())
    channels_last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(standard_cutout(channels_last, _generator()), expected)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_run_can_name_every_augmentation(name):
    assert TrainConfig(augment=name).augment == name
    with pytest.raises(
        ConfigError, match=r"'none', 'standard' or 'standard\+cutout', found 'cutout'"
    ):
        TrainConfig(augment="cutout")


@pytest.mark.parametrize("augment", [random_crop, random_flip, standard, cutout, standard_cutout])
def test_augmentation_depends_on_its_generator_alone_and_changes_no_input(augment):
    images = _images()
    kept = images.clone()
    before = torch.random.get_rng_state()
    first = augment(images, _generator(1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(images, kept)
    assert torch.equal(first, augment(images, _generator(1)))
    assert not torch.equal(first, augment(images, _generator(2)))
    assert first.shape == images.shape
    assert first.dtype == torch.uint8
    assert augment(images.double(), _generator(1)).dtype == torch.float64


@pytest.mark.parametrize("augment", [random_crop, random_flip, standard])
def test_pixels_only_move(augment):
    images = _images()
    floats = augment(images.double(), _generator(1))
    assert torch.equal(floats, augment(images, _generator(1)).double())


def test_tiny_images_and_empty_batches_pass():
    assert standard(_images(5, 3, 2, 2), _generator()).shape == (5, 3, 2, 2)
    assert torch.equal(standard(_images(5, 3, 1, 1), _generator()), _images(5, 3, 1, 1))
    assert standard_cutout(_images(5, 3, 1, 1), _generator()).shape == (5, 3, 1, 1)
    for augment in (random_flip, standard, standard_cutout):
        assert augment(_images(0), _generator()).shape == (0, 3, 9, 7)


def test_wrong_shapes_and_sizes_are_refused():
    with pytest.raises(ConfigError, match=r"padding from 0 to 6 for images of 9 x 7.*found 7"):
        random_crop(_images(), _generator(), padding=7)
    with pytest.raises(ConfigError, match=r"\(B, C, H, W\), found shape \(4, 3\)"):
        standard(torch.zeros(4, 3), _generator())
    with pytest.raises(ConfigError, match="cutout size of 1 pixel or more, found 0"):
        cutout(_images(), _generator(), size=0)
