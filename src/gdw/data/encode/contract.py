"""What every encoder is, whatever kind of data it encodes."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from gdw.data.encode.channels import MeanStd
from gdw.data.examples import Inputs
from gdw.data.source import Kind, Source
from gdw.errors import DataError


@runtime_checkable
class Encoder(Protocol):
    """Fitted preprocessing of one kind of data.

    `input_shape` is that of one example: `(F,)` or `(3, H, W)`. `mean_std` are the channel means
    and standard deviations of the training images, for pixels in [0, 1]; None when the inputs are
    not images.
    """

    @property
    def kind(self) -> Kind: ...

    @property
    def input_shape(self) -> tuple[int, ...]: ...

    @property
    def mean_std(self) -> MeanStd | None: ...

    def encode(self, source: Source) -> Inputs:
        """Inputs of `source`, float32 `(N, F)` or uint8 `(N, 3, H, W)`, in its order.

        Raises `DataError` when it is not the data that this encoder was fitted for.
        """

    def save(self, folder: Path) -> None:
        """Write into `folder` what `load_encoder` needs; nothing in it can run code on loading."""


def require_kind(source: Source, kind: Kind) -> None:
    if source.kind != kind:
        raise DataError(
            f"expected {kind} data as in training, found {source.kind} data in {source.origin}: "
            "give a file or folder of the same form as the training data"
        )


def require_rows(source: Source) -> None:
    if not len(source):
        raise DataError(f"{source.origin} has no rows: an encoder is fitted on one row or more")
