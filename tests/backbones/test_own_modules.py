"""Modules of the user as backbones."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gdw.backbones import of_module
from gdw.backbones.preprocess_images import ImagePreprocessing
from gdw.errors import ConfigError


class Flat(nn.Module):
    """Calls `view`, as many networks do."""

    def forward(self, images):
        return images.view(len(images), -1)


def picture(width=8, height=8, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_pixels_are_normalised_before_the_module():
    backbone = of_module(Flat(), kind="image", image_size=8, mean_std=([0.5] * 3, [0.25] * 3))
    pixels = torch.from_numpy(np.asarray(picture()).copy()).permute(2, 0, 1)
    expected = ((pixels / 255 - 0.5) / 0.25).reshape(1, -1)
    torch.testing.assert_close(backbone.features([picture()]), expected)
    assert (backbone.width, backbone.kind) == (192, "image")


def test_a_module_may_take_bytes():
    class Mean(nn.Module):
        def forward(self, images):
            assert images.dtype == torch.uint8
            return images.float().mean((2, 3))

    backbone = of_module(Mean(), kind="image", image_size=8, mean_std=None)
    expected = np.asarray(picture()).mean((0, 1))
    np.testing.assert_allclose(backbone.features([picture()])[0], expected, rtol=1e-6)


def test_the_fingerprint_is_of_weights_code_and_preprocessing():
    def made(weight, size=8):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Flatten(), nn.Linear(3 * size**2, 4))
        with torch.no_grad():
            module[1].bias.fill_(weight)
        return of_module(module, kind="image", image_size=size).fingerprint

    assert made(1.0) == made(1.0)
    assert len({made(1.0), made(2.0), made(1.0, size=4)}) == 3
    one, other = Flat(), Flat()
    other.forward = one.forward
    flat = of_module(one, kind="image", image_size=8).fingerprint
    assert flat != of_module(nn.Flatten(), kind="image", image_size=8).fingerprint
    assert len(flat) == 64


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Conv2d(3, 4, 16), r"does not accept images of 8 x 8 pixels.*image_size"),
        (
            nn.Conv2d(3, 4, 3),
            r"no features: expected a floating-point tensor \(2, F\).*\(2, 4, 6, 6\)",
        ),
        (lambda images: images, "expected an nn.Module"),
    ],
)
def test_a_module_that_is_no_backbone_says_why(module, message):
    with pytest.raises(ConfigError, match=message) as caught:
        of_module(module, kind="image", image_size=8)
    assert "\n" not in str(caught.value)


def test_texts_need_a_tokenizer():
    with pytest.raises(ConfigError, match="needs a fast tokenizer"):
        of_module(nn.Embedding(4, 2), kind="text")


@pytest.mark.parametrize(("width", "height"), [(9, 9), (13, 9), (9, 15)])
def test_the_crop_is_the_central_square(width, height):
    image = picture(width, height)
    found = ImagePreprocessing(3, crop=1 / 3, interpolation="nearest")([image])[0]
    left, top = (width - 3) // 2, (height - 3) // 2
    expected = np.asarray(image)[top : top + 3, left : left + 3]
    assert np.array_equal(found.permute(1, 2, 0).numpy(), expected)


def test_without_a_crop_images_are_distorted_to_squares():
    image = picture(10, 4)
    found = ImagePreprocessing(6, crop=None, interpolation="bicubic")([image])
    expected = np.asarray(image.resize((6, 6), Image.Resampling.BICUBIC))
    assert np.array_equal(found[0].permute(1, 2, 0).numpy(), expected)
    assert (found.dtype, found.shape) == (torch.uint8, (1, 3, 6, 6))
