"""The encoder of numeric arrays, which standardises every column."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from gdw.data.encode.encoder import require_float32, require_kind, write_settings
from gdw.data.examples import Inputs
from gdw.data.source import Source, chunks
from gdw.errors import DataError
from gdw.files.representation import ShortRepr

CHUNK = 16384


@dataclass(frozen=True, eq=False, repr=False)
class FeatureEncoder(ShortRepr):
    """Encodes arrays `(N, F)` as `(x - mean) / scale`, column by column; a constant column becomes zeros.

    Attributes:
        mean: float64 `(F,)`, the mean of each column.
        scale: float64 `(F,)`, the standard deviation of each column; 1 for a constant column.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    name: ClassVar[str] = "features"
    kind: ClassVar[Literal["array"]] = "array"
    mean_std: ClassVar[None] = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.mean.shape

    @classmethod
    def fit(cls, source: Source) -> FeatureEncoder:
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler()
        for indices in chunks(len(source), CHUNK):
            scaler.partial_fit(_read(source, indices))
        return cls(scaler.mean_, scaler.scale_)

    def encode(self, source: Source) -> Inputs:
        require_kind(source, "array")
        width = len(self.mean)
        encoded = np.empty((len(source), width), dtype=np.float32)
        for indices in chunks(len(source), CHUNK):
            values = _read(source, indices)
            if values.shape[1] != width:
                raise DataError(
                    f"expected {width} features as in training, found {values.shape[1]} in "
                    f"{source.origin}: give an array of shape (N, {width})"
                )
            encoded[indices] = (values - self.mean) / self.scale
        return torch.from_numpy(encoded)

    def save(self, folder: Path) -> None:
        settings = {"mean": self.mean.tolist(), "scale": self.scale.tolist()}
        write_settings(folder, self.name, settings)

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> FeatureEncoder:  # noqa: ARG003
        mean = np.array(settings["mean"], dtype=np.float64)
        scale = np.array(settings["scale"], dtype=np.float64)
        if mean.ndim != 1 or not len(mean) or mean.shape != scale.shape or not (scale > 0).all():
            raise ValueError(f"mean {mean.shape} and scale {scale.shape} do not match")
        return cls(mean, scale)


def _read(source: Source, indices: NDArray[np.int64]) -> NDArray[np.float64]:
    values = source.array(indices)
    if values.ndim != 2:
        raise DataError(
            f"expected features of shape (N, F) as in training, found shape {values.shape} in "
            f"{source.origin}"
        )
    require_float32(values, range(values.shape[1]), lambda row: source.where(int(indices[row])))
    return values.astype(np.float64)
