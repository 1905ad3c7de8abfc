"""Texts and images as a user gives them to `Backbone.features`."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import gdw
from gdw.errors import DataError
from tests.data.fake_backbone import text_backbone

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def backbone():
    # By the name that the documents use.
    return gdw.backbones.of_module(nn.Flatten(), kind="image", image_size=8)


def test_images_in_any_form_have_the_same_features(backbone, tmp_path):
    pictures = [Image.fromarray(pixels) for pixels in PIXELS]
    files = [tmp_path / f"{i}.png" for i in range(2)]
    for picture, file in zip(pictures, files, strict=True):
        picture.save(file)
    transparent = [picture.convert("RGBA") for picture in pictures]
    expected = backbone.features(pictures)
    for images in (PIXELS, [*PIXELS], files, [*map(str, files)], transparent):
        torch.testing.assert_close(backbone.features(images), expected, rtol=0, atol=0)
    grey = [picture.convert("L") for picture in pictures]
    same = backbone.features([np.asarray(picture) for picture in grey])
    torch.testing.assert_close(same, backbone.features(grey), rtol=0, atol=0)
    assert backbone.features([]).shape == (0, 192)
    assert "\n" not in repr(backbone)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (Image.fromarray(PIXELS[0]), r"a list of images, found Image; put .* brackets: \[image\]"),
        (PIXELS[0], "a list of images, found ndarray"),
        ("cat.png", "a list of images, found str"),
        (["cat.png"], "row 0: cannot read the image: .*No such file"),
        (
            PIXELS / 255,
            r"row 0: .*uint8 array .*found ndarray of shape \(8, 8, 3\) and type float64",
        ),
        ([None], "row 0: expected an image of Pillow, .*found NoneType"),
    ],
)
def test_what_is_no_list_of_images(backbone, images, message):
    with pytest.raises(DataError, match=message):
        backbone.features(images)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one text", r"a list of texts, found str; put one text in brackets: \[text\]"),
        (["a", 2], "row 1: expected a text, found int"),
        (None, "a list of texts, found NoneType"),
    ],
)
def test_what_is_no_list_of_texts(texts, message):
    with pytest.raises(DataError, match=message):
        text_backbone().features(texts)
