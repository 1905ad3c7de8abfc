"""A pretrained network and its preprocessing: what every loader of `gdw.backbones` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from gdw.files.representation import ShortRepr

BackboneKind = Literal["image", "text"]

PADDING = -1
"""The token that fills up the shorter texts of a batch."""


class Preprocessing(Protocol):
    """Turns raw examples into the input of a backbone. It has no weights.

    Attributes:
        settings: everything that changes its result, as JSON can hold it.
    """

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def __call__(self, raw: Sequence[Any], /) -> Tensor:
        """The input of `Backbone.module`.

        Args:
            raw: B images of Pillow, or B texts.

        Returns:
            Images: uint8 `(B, 3, S, S)`. Texts: tokens int64 `(B, L)`, filled up with `PADDING` at the end.
        """
        ...


@dataclass(frozen=True, eq=False, repr=False)
class Backbone(ShortRepr):
    """A pretrained network without its classifier.

    Attributes:
        name: the name with its library, such as "package:minilm".
        kind: what it takes: "image" or "text".
        module: from what `preprocessing` returns to features `(B, F)`. It scales and normalises the pixels
            itself, and it makes the attention mask from the padding itself. It is in evaluation mode.
        preprocessing: from raw examples to the input of `module`.
        width: F, the number of features.
        fingerprint: SHA-256 of the weights, the architecture and the settings of the preprocessing, as 64
            hexadecimal digits. Backbones with the same fingerprint give the same features.
        architecture: what `gdw.backbones.rebuilding.rebuilt` builds `module` from, without its weights, as
            JSON can hold it; empty for a module of the user.
    """

    name: str
    kind: BackboneKind
    module: nn.Module = field(repr=False)
    preprocessing: Preprocessing
    width: int
    fingerprint: str
    architecture: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def features(self, raw: Sequence[Any]) -> Tensor:
        """The features of B images or B texts, float32 `(B, F)`, on the CPU.

        Args:
            raw: texts; or images of Pillow, files of images, or uint8 arrays `(H, W)` or `(H, W, 3)`.

        Raises:
            DataError: `raw` is one text or one image, or is not what the backbone takes.
        """
        from gdw.backbones.raw_examples import as_pictures, as_texts

        device = device_of(self.module)
        examples = as_texts(raw) if self.kind == "text" else as_pictures(raw)
        if not examples:
            return torch.empty(0, self.width)
        with torch.inference_mode():
            return self.module(self.preprocessing(examples).to(device)).float().cpu()  # type: ignore[no-any-return]


def device_of(module: nn.Module) -> torch.device:
    """Where the parameters of `module` are; the CPU if it has none."""
    return next((p.device for p in module.parameters()), torch.device("cpu"))
