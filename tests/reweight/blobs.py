"""A small set of doubtful labels, and models that know it perfectly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gdw.reweight import Predict, Subset

CLASSES = 3


class Blobs:
    """Three classes of 2-d points, given labels flipped to the next class with probability 0.4."""

    def __init__(self, sizes: Sequence[int], clean: int = 30, *, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.true = torch.cat([torch.full((n,), k) for k, n in enumerate(sizes)])
        self.x = self._points(self.true, generator)
        flipped = torch.rand(len(self.true), generator=generator) < 0.4
        self.given = torch.where(flipped, (self.true + 1) % CLASSES, self.true)
        self.clean = torch.arange(clean) % CLASSES
        self.clean_x = self._points(self.clean, generator)

    @staticmethod
    def _points(labels: Tensor, generator: torch.Generator) -> Tensor:
        corners = 2.0 * torch.tensor([[1.0, 0.0], [-0.5, 0.87], [-0.5, -0.87]])
        return corners[labels] + 0.7 * torch.randn(len(labels), 2, generator=generator)

    def posterior_of_class(self, x: Tensor) -> Tensor:
        """`p(k|x)` under balanced classes: what a perfect model of the clean examples says."""
        corners = 2.0 * torch.tensor([[1.0, 0.0], [-0.5, 0.87], [-0.5, -0.87]])
        return (-torch.cdist(x, corners).square() / (2 * 0.7**2)).softmax(1)


class Knowing:
    """A preparation whose models are perfect: those of the given labels know how these become wrong."""

    epochs, batch_size, seed, num_classes = 4, 20, 0, CLASSES
    unseen_are_useless = clean_are_useless = False

    def __init__(self, blobs: Blobs) -> None:
        self._blobs, self.given, self.clean = blobs, blobs.given, blobs.clean
        self.verified = len(blobs.clean)
        self.fits: list[tuple[list[Subset], Tensor | None, Tensor | None]] = []
        self.said: list[str] = []

    def say(self, what: str) -> None:
        self.said.append(what)

    def fit(
        self,
        subsets: Sequence[Subset],
        *,
        epochs: int | None = None,
        seed: int = 0,
        what: str = "",
        offset: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Predict:
        self.fits.append((list(subsets), offset, noise))

        def predict(subset: Subset) -> Tensor:
            x = self._blobs.x if subset.part == "given" else self._blobs.clean_x
            p = self._blobs.posterior_of_class(x[subset.indices])
            parts = {s.part for s in subsets}
            if parts == {"given"}:
                return 0.6 * p + 0.4 * p.roll(1, dims=1)
            useless = self.clean_are_useless if parts == {"clean"} else self.unseen_are_useless
            return p.flip(0) if useless else p

        return predict
