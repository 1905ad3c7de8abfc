"""Augmented views of an image: random crops, half of them mirrored."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.features.digests import Digests, derived
from gdw.seeding import generator

SMALLEST = 0.6
"""The smallest share of the area of an image that a view shows."""


def keys_of_views(digests: Digests, views: int, seed: int) -> Digests:
    """The digests of V views of each of N examples, `(N, V)`. The first view is the example itself.

    A view is a function of the content of the image, its number and `seed`, so its features can be kept.
    """
    changes = [derived(digests, f"view {number} of seed {seed}") for number in range(1, views)]
    return np.stack([digests, *changes], axis=1)


def view(image: Any, key: bytes, seed: int) -> Any:
    """The view of a Pillow image that has the digest `key`: a random crop of its form, mirrored or not."""
    from PIL import Image

    random: NDArray[np.float64] = generator(seed, "view", int.from_bytes(key, "little")).random(4)
    side = np.sqrt(SMALLEST + (1 - SMALLEST) * random[0])
    width, height = (max(1, round(side * size)) for size in image.size)
    left = int(random[1] * (image.width - width + 1))
    top = int(random[2] * (image.height - height + 1))
    part = image.crop((left, top, left + width, top + height))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random[3] < 0.5 else part
