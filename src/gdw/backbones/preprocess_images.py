"""Preprocessing of images: Pillow images to uint8 squares, by the rule with which a network was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class ImagePreprocessing:
    """Resizes images to squares. It takes RGB images of Pillow, and returns uint8 `(B, 3, S, S)`.

    Attributes:
        image_size: S, in pixels.
        crop: the side of the square that is kept, as a share of the shorter side of the image. It lies in the
            centre. None: nothing is cut off, and images that are not square are distorted.
        interpolation: how Pillow resizes; it always smooths when images become smaller.
    """

    image_size: int
    crop: float | None = 1.0
    interpolation: Interpolation = "bilinear"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "image_size": self.image_size,
            "crop": self.crop,
            "interpolation": self.interpolation,
        }

    def __call__(self, raw: Sequence[Any], /) -> Tensor:
        out = np.empty((len(raw), self.image_size, self.image_size, 3), dtype=np.uint8)
        for row, image in enumerate(raw):
            out[row] = np.asarray(self._square(image))
        # Channels-last in memory, which is the fastest order for convolutions on a CPU.
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    def _square(self, image: Any) -> Any:
        from PIL import Image

        size = (self.image_size, self.image_size)
        method = Image.Resampling[self.interpolation.upper()]
        if self.crop is None:
            return image.resize(size, method)
        side = min(image.size) * min(1.0, self.crop)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        return image.resize(size, method, box=(left, top, left + side, top + side))
