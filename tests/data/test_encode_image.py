"""Image files to squares of bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from gdw.data import fit_encoder, load, load_encoder
from gdw.data.encode.image import ImagesOnDemand, spread, square
from gdw.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path):
    """Eight random pictures of 12 x 12 pixels, four a class, stored without loss."""
    draws = np.random.default_rng(0)
    root = tmp_path / "images"
    for i in range(8):
        path = root / "ab"[i // 4] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(path)
    return root


def _pixels(root):
    files = sorted(root.glob("*/*.png"))
    return np.stack([np.asarray(Image.open(file)) for file in files]).transpose(0, 3, 1, 2)


def test_images_of_the_right_size_keep_every_pixel(folder):
    source = load(folder, label="label")
    encoder = fit_encoder(source, image_size=12)
    inputs = encoder.encode(source)
    assert encoder.input_shape == (3, 12, 12)
    assert inputs[[0, 7]].dtype == torch.uint8
    assert np.array_equal(inputs[np.arange(8)].numpy(), _pixels(folder))


def test_mean_and_std_are_those_of_the_pixels(folder):
    mean, std = fit_encoder(load(folder, label="label"), image_size=12).mean_std
    unit = _pixels(folder) / 255
    assert mean == pytest.approx(unit.mean(axis=(0, 2, 3)), rel=1e-9)
    assert std == pytest.approx(unit.std(axis=(0, 2, 3)), rel=1e-9)


def test_the_size_is_32_for_small_images_and_224_for_larger(folder, tmp_path):
    assert fit_encoder(load(folder, label="label")).image_size == 32
    for name in "ab":
        (tmp_path / "large" / name).mkdir(parents=True)
        Image.new("RGB", (90, 65)).save(tmp_path / "large" / name / "0.png")
    encoder = fit_encoder(load(tmp_path / "large", label="label"))
    assert encoder.image_size == 224
    assert encoder.mean_std == ((0.0,) * 3, (1.0,) * 3), "black images have no spread to divide by"


def test_the_middle_of_the_longer_side_is_kept():
    pixels = np.zeros((4, 10, 3), dtype=np.uint8)
    pixels[:, 3:7] = 200
    assert np.array_equal(square(Image.fromarray(pixels), 4), np.full((3, 4, 4), 200))
    tall = Image.fromarray(pixels.transpose(1, 0, 2))
    assert np.array_equal(square(tall, 4), np.full((3, 4, 4), 200))


def test_shrinking_averages_instead_of_skipping():
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    small = square(Image.fromarray(stripes), 8)
    # the filter is cut off at the borders; picking single columns would give 0 or 255
    assert abs(small.astype(int) - 128).max() <= 8
    assert (small[:, :, 1:-1] == 128).all()


def test_images_beyond_the_memory_limit_are_decoded_on_demand(folder, monkeypatch):
    source = load(folder, label="label")
    encoder = fit_encoder(source, image_size=12)
    held = encoder.encode(source)
    lean = type(encoder)(12, encoder.mean_std, memory_limit=8 * 3 * 12 * 12 - 1)
    inputs = lean.encode(source)
    assert isinstance(inputs, ImagesOnDemand)
    assert len(inputs) == 8
    assert torch.equal(inputs[[5, 1, 1]], held[[5, 1, 1]])
    assert inputs[[]].shape == (0, 3, 12, 12)


def test_chunks_keep_the_order(folder, monkeypatch):
    source = load(folder, label="label")
    encoder = fit_encoder(source, image_size=12)
    monkeypatch.setattr("gdw.data.encode.image.CHUNK", 3)
    assert np.array_equal(encoder.encode(source)[np.arange(8)].numpy(), _pixels(folder))


def test_an_unreadable_image_is_named(folder):
    source = load(folder, label="label")
    encoder = fit_encoder(source, image_size=12)
    (folder / "b" / "6.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"6\.png"):
        encoder.encode(source)


def test_a_saved_encoder_encodes_the_same(folder, tmp_path):
    source = load(folder, label="label")
    encoder = fit_encoder(source, image_size=9)
    encoder.save(tmp_path / "encoder")
    loaded = load_encoder(tmp_path / "encoder")
    assert loaded.mean_std == encoder.mean_std
    assert loaded.input_shape == (3, 9, 9)
    assert torch.equal(loaded.encode(source)[np.arange(8)], encoder.encode(source)[np.arange(8)])


def test_wrong_sizes_are_refused(folder):
    with pytest.raises(ConfigError, match="image_size of 1 pixel or more, found 0"):
        fit_encoder(load(folder, label="label"), image_size=0)


@pytest.mark.parametrize(("length", "count"), [(10, 4), (3, 8), (1, 1), (1000, 999)])
def test_spread_samples_both_ends_and_repeats_nothing(length, count):
    found = spread(length, count)
    assert found[0] == 0
    assert found[-1] == length - 1
    assert len(found) == min(count, length)
    assert len(set(found.tolist())) == len(found)
