"""The interface of encoders: how they are fitted, saved and loaded, and what they share."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.examples import Inputs
from gdw.data.rows import Kind
from gdw.data.source import Source
from gdw.errors import ConfigError, DataError, RunError
from gdw.files.documents import Document, write_atomically

if TYPE_CHECKING:
    from gdw.backbones.backbone import Backbone
    from gdw.data.features.reporting import Kind as ReporterKind

MeanStd = tuple[Sequence[float], Sequence[float]]
"""The mean and the standard deviation of each channel of images, for pixels in [0, 1]."""

SETTINGS = "encoder.json"
"""The file of a saved encoder that every encoder writes."""

_DOCUMENT = Document(
    format=1,
    remedy="restore it from a copy of the run, or train again",
    missing="give the folder of a finished run",
    indent=None,
)

# The encoders by module and name in `encoder.json`. A class is imported when it is used.
_CLASSES = {
    "backbone": "BackboneEncoder",
    "features": "FeatureEncoder",
    "image": "ImageEncoder",
    "pixels": "PixelEncoder",
    "table": "TableEncoder",
    "text": "TextEncoder",
    "tokens": "TokenEncoder",
}

# Types that are loaded in addition to those of scikit-learn and NumPy that skops trusts.
_TRUSTED = frozenset({"numpy.dtype"})


@runtime_checkable
class Encoder(Protocol):
    """Fitted preprocessing of one kind of data.

    Attributes:
        kind: the kind of the data.
        input_shape: the shape of one encoded example: `(F,)`, `(V, F)` for V views, or `(3, H, W)`.
        mean_std: the mean and standard deviation of each channel over the training images; None if the inputs
            are not images.
    """

    @property
    def kind(self) -> Kind: ...

    @property
    def input_shape(self) -> tuple[int, ...]: ...

    @property
    def mean_std(self) -> MeanStd | None: ...

    def encode(self, source: Source) -> Inputs:
        """The inputs of `source` in its order: float32 `(N, F)` or `(N, V, F)`, or uint8 `(N, 3, H, W)`.

        Raises:
            DataError: the data do not have the form of the training data.
        """

    def save(self, folder: Path) -> None:
        """Write the files that `load_encoder` reads. None of them can run code when it is loaded."""


def fit_encoder(
    source: Source,
    *,
    image_size: int | None = None,
    max_features: int = 20000,
    backbone: Backbone | None = None,
    views: int = 1,
    seed: int = 0,
    progress: ReporterKind = "auto",
) -> Encoder:
    """Fit the preprocessing that suits the training data. Nothing in it is random, but for views.

    >>> from gdw.data import from_arrays
    >>> encoder = fit_encoder(from_arrays(np.array([[0.0, 1.0], [2.0, 5.0]])))
    >>> encoder.encode(from_arrays(np.array([[1.0, 5.0]])))
    tensor([[0., 1.]])

    Args:
        source: the training data.
        image_size: the width and height in pixels to which images are resized. Default: 32 for small image
            files, 224 for larger ones; arrays of images keep their shape.
        max_features: the largest number of words (features) of texts.
        backbone: a pretrained network: the inputs are its features of images or texts. They are computed
            once and kept in a cache.
        views: with a backbone, the number of views of each image: itself, then random crops, half of them
            mirrored.
        seed: of the views.
        progress: what is shown while features are computed: "auto", "bar", "lines" or "none".

    Raises:
        DataError: the data cannot be encoded.
        ConfigError: an option is out of range.
    """
    if image_size is not None and image_size < 1:
        raise ConfigError(f"expected an image_size of 1 pixel or more, found {image_size}")
    if max_features < 1:
        raise ConfigError(f"expected max_features of 1 or more, found {max_features}")
    if not len(source):
        raise DataError(f"{source.origin} has no rows: an encoder is fitted on one row or more")
    if backbone is not None:
        return cast(
            Encoder,
            _encoder_class("backbone").fit(
                source, backbone=backbone, views=views, seed=seed, progress=progress
            ),
        )
    name: str = source.kind
    if source.kind == "array":
        name = "features" if source.array(np.arange(1)).ndim == 2 else "pixels"
    options: dict[str, dict[str, Any]] = {
        "image": {"image_size": image_size},
        "pixels": {"image_size": image_size},
        "text": {"max_features": max_features},
    }
    encoder: Encoder = _encoder_class(name).fit(source, **options.get(name, {}))
    return encoder


def unknown_notes(encoder: Any, source: Source) -> tuple[str, ...]:
    """Notes on columns of `source` whose values are mostly new to a fitted `encoder`, one line each."""
    notes: tuple[str, ...] = encoder.unknown_notes(source) if encoder.kind == "table" else ()
    return notes


def load_encoder(folder: str | Path) -> Encoder:
    """The encoder that `Encoder.save` wrote into `folder`.

    Raises:
        RunError: a file is missing, damaged, was written by a newer version of gdw, or holds objects of types
            that gdw never saves.
    """
    folder = Path(folder)
    path = folder / SETTINGS
    settings = _DOCUMENT.read(path)
    name = settings.get("encoder")
    if name not in tuple(_CLASSES):
        raise RunError(
            f"{path} is for an unknown encoder {name!r}: expected one of {', '.join(_CLASSES)}; "
            "upgrade gdw, or train again"
        )
    try:
        encoder: Encoder = _encoder_class(name).load(folder, settings)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _DOCUMENT.damaged(path, error) from error
    return encoder


def _encoder_class(name: str) -> Any:
    return getattr(importlib.import_module(f"gdw.data.encode.{name}"), _CLASSES[name])


def write_settings(folder: Path, name: str, settings: Mapping[str, Any]) -> None:
    """Write the settings of the encoder `name`, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    _DOCUMENT.write(folder / SETTINGS, {"encoder": name, **settings})


def write_sklearn(folder: Path, name: str, fitted: Any) -> None:
    """Write a scikit-learn object with skops, whole or not at all."""
    import skops.io

    folder.mkdir(parents=True, exist_ok=True)
    content = skops.io.dumps(fitted)
    write_atomically(folder / name, lambda file: file.write_bytes(content))


def read_sklearn(folder: Path, name: str) -> Any:
    """The object that `write_sklearn` wrote.

    Raises:
        RunError: the file is missing or damaged, or holds objects of types that gdw never saves.
    """
    import zipfile

    import skops.io

    path = folder / name
    try:
        content = path.read_bytes()
        types = skops.io.get_untrusted_types(data=content)
        refused = sorted(set(types) - _TRUSTED)
        if refused:
            raise RunError(
                f"{path} holds objects of types that gdw never saves ({', '.join(refused)}): do not use "
                "this run, or train again"
            )
        return skops.io.loads(content, trusted=types)
    except FileNotFoundError:
        raise RunError(
            f"{path} does not exist, a part of the saved encoder: restore it or train again"
        ) from None
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise _DOCUMENT.damaged(path, error) from error
    except (zipfile.BadZipFile, EOFError, ImportError) as error:
        raise _DOCUMENT.damaged(path, error) from error


class SparseInputs:
    """A float32 CSR matrix `(N, F)`, whose rows are read as dense batches `(B, F)`.

    20,000 word features of a million texts need 80 GB as a dense matrix, and about a hundredth of that here.
    """

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor:
        return torch.from_numpy(self.matrix[np.asarray(indices, dtype=np.int64)].toarray())


def require_kind(source: Source, kind: Kind) -> None:
    """Raise `DataError` unless `source` has the kind of the training data."""
    if source.kind != kind:
        raise DataError(
            f"expected {kind} data as in training, found {source.kind} data in {source.origin}: "
            "give a file or folder of the same form as the training data"
        )


def require_float32(
    values: NDArray[Any], columns: Sequence[object], where: Callable[[int], str]
) -> None:
    """Check that all values fit into float32.

    Args:
        values: `(N, F)`. NaN is allowed: in a table it is a missing value.
        columns: the names of the F columns.
        where: from the number of a row to its place in words.

    Raises:
        DataError: a value is infinite or above 3.4e38. The message names the first one.
    """
    limit = float(np.finfo(np.float32).max)
    too_large = np.abs(values) > limit
    if too_large.any():
        row, column = np.argwhere(too_large)[0]
        raise DataError(
            f"{where(int(row))}: column {columns[column]!r} holds {values[row, column]}; expected a "
            "finite number below 3.4e38: correct it or remove the row"
        )
