"""Grey images of more than 8 bits: their own range, that of the training images, and that of gdw 0.1.0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gdw.data import check_images, fit_encoder, load, load_encoder
from gdw.data.encode.encoder import SETTINGS
from gdw.data.encode.image import ImageEncoder
from gdw.data.images import decode

RAMP = np.linspace(0, 1, 32 * 32).reshape(32, 32)
BYTES = np.trunc(RAMP * 255)


def written(path: Path, values: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "white", "dtype"),
    [
        ("unit.tif", 1, "f4"),
        ("floats.tif", 65535, "f4"),
        ("bytes.tif", 255, "f4"),
        ("mask.png", 1, "u2"),
        ("bytes.png", 255, "u2"),
        ("ten.png", 1023, "u2"),
        ("twelve.png", 4095, "u2"),
        ("fourteen.png", 16383, "u2"),
        ("tiny.tif", 1e-3, "f4"),
        ("smallest.tif", 1e-30, "f4"),
        ("sixteen.png", 65535, "u2"),
        ("big endian.tif", 65535, ">u2"),
        ("int32 bytes.tif", 255, "i4"),
        ("int32.tif", 2_000_000_000, "i4"),
    ],
)
def test_values_are_read_by_their_real_range(
    tmp_path: Path, name: str, white: float, dtype: str
) -> None:
    values = (RAMP * white).astype(dtype)
    path = written(tmp_path / "a" / name, values)
    pixels = np.asarray(decode(path, tmp_path))
    assert pixels.shape == (32, 32, 3)
    expected = BYTES if white != 1 or dtype == "f4" else 255 * values
    assert np.abs(pixels[..., 0] - expected).max() <= 1
    written(tmp_path / "b" / name, values)
    source = load(tmp_path, label="label")
    check_images(source)
    encoded = fit_encoder(source).encode(source)[np.arange(2)]
    assert np.array_equal(encoded[0].permute(1, 2, 0).numpy(), pixels)


def test_negative_values_and_gaps(tmp_path: Path) -> None:
    values = (RAMP * 3000 - 1000).astype("f4")
    values[0, :2] = np.nan, np.inf
    pixels = np.asarray(decode(written(tmp_path / "x.tif", values), tmp_path))[..., 0]
    assert (pixels[0, 0], pixels[0, 1], pixels[-1, -1]) == (0, 255, 255)
    assert np.abs(pixels[1:] - BYTES[1:]).max() <= 1
    empty = written(tmp_path / "y.tif", np.full((4, 4), np.nan, "f4"))
    assert np.asarray(decode(empty, tmp_path)).max() == 0


def test_tiny_values_around_zero_and_infinite_ones(tmp_path: Path) -> None:
    values = (RAMP * 1e-3 - 5e-4).astype("f4")
    values[0, :3] = np.nan, np.inf, -np.inf
    pixels = np.asarray(decode(written(tmp_path / "x.tif", values), tmp_path))[..., 0]
    assert pixels[0, :3].tolist() == [0, 255, 0]
    assert np.abs(pixels[1:] - BYTES[1:]).max() <= 2
    unit = RAMP.astype("f4")
    unit[0, 0] = np.inf
    assert np.asarray(decode(written(tmp_path / "y.tif", unit), tmp_path))[0, 0, 0] == 255


def test_a_note_names_an_image_with_gaps(tmp_path: Path) -> None:
    for name, gap in (("a/1", 0.5), ("a/2", np.nan), ("b/3", np.inf), ("b/4", 0.5)):
        values = RAMP.astype("f4")
        values[3, 3] = gap
        written(tmp_path / f"{name}.tif", values)
    encoder = fit_encoder(load(tmp_path, label="label"))
    assert isinstance(encoder, ImageEncoder)
    assert encoder.grey == (0, 1)
    assert encoder.notes == (
        f"{tmp_path / 'a/2.tif'} has pixels that are NaN or infinite, read as black or white "
        "(2 images have such pixels)",
    )


def test_one_range_for_all_training_images(tmp_path: Path) -> None:
    for name, white in (("a/dark.png", 200), ("a/mid.png", 3000), ("b/light.png", 60000)):
        written(tmp_path / name, (RAMP * white).astype("u2"))
    source = load(tmp_path, label="label")
    encoder = fit_encoder(source)
    encoder.save(tmp_path / "saved")
    again = load_encoder(tmp_path / "saved")
    for fitted in (encoder, again):
        encoded = fitted.encode(source)[np.arange(3)].numpy()
        assert encoded.max(axis=(1, 2, 3)).tolist() == [200 >> 8, 3000 >> 8, 60000 >> 8]


def test_a_saved_encoder_of_0_1_0_keeps_its_range(tmp_path: Path) -> None:
    import json

    written(tmp_path / "data/a/1.png", (RAMP * 4095).astype("u2"))
    written(tmp_path / "data/b/2.tif", (RAMP * 1000 - 100).astype("f4"))
    source = load(tmp_path / "data", label="label")
    fit_encoder(source).save(tmp_path)
    path = tmp_path / SETTINGS
    settings = json.loads(path.read_text())
    del settings["grey"]
    path.write_text(json.dumps(settings))
    encoded = load_encoder(tmp_path).encode(source)[np.arange(2)].numpy()
    assert np.array_equal(encoded[0, 0], (RAMP * 4095).astype("u2") >> 8)
    assert np.array_equal(encoded[1, 0], np.trunc((RAMP * 1000 - 100).astype("f4")).clip(0, 255))


def test_what_the_check_passes_can_be_decoded(tmp_path: Path) -> None:
    modes = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"]
    for mode in modes:
        path = tmp_path / "a" / f"{mode.replace(';', '')}.tif"
        path.parent.mkdir(exist_ok=True)
        try:
            Image.new(mode, (8, 8)).save(path)
        except OSError:
            path.unlink(missing_ok=True)
    (tmp_path / "b").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "b/1.png")
    source = load(tmp_path, label="label")
    check_images(source)
    assert {image.mode for image in source.images(np.arange(len(source)))} == {"RGB"}
