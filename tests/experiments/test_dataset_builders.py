"""Files made once before the first cell: digits, subsets, features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gdw.data import Source, load
from gdw.data.encode import fit_encoder
from gdw.errors import ConfigError, DataError, MissingDependencyError
from gdw.experiments.dataset_builders import DatasetBuilder, parse_builder
from gdw.experiments.protocol import ProtocolPaths
from tests.data.fake_backbone import Network, image_backbone
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


def test_images_are_decoded_once_with_their_class_names(tmp_path: Path) -> None:
    for name, rows in (("train", 12), ("test", 8)):
        images(tmp_path / f"{name}.parquet", rows)
    files = {"train": "train.parquet", "test": "test.parquet", "labels": ["label", "human"]}
    made = builder(tmp_path, how="decoded", image_size=4, test_rows=6, **files)
    made.build(tmp_path, silent)
    train, test = (load(made.places(tmp_path)[part], label="label") for part in ("path", "test"))
    assert (train.kind, train.label_names, len(test)) == ("array", ("cat", "dog"), 6)
    assert train.columns == ("X", "label", "human")
    encoded = fit_encoder(train, image_size=None).encode(train)[np.arange(12)]
    # Of one colour, so that resizing changes no pixel.
    red = 10 * torch.arange(12)[:, None, None].expand(12, 4, 4)
    assert torch.equal(encoded, torch.stack([red, 0 * red, 0 * red], 1).byte())


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
def small(monkeypatch: pytest.MonkeyPatch) -> Network:
    """In place of the network: six features. It counts what it computes."""
    backbone = image_backbone()
    monkeypatch.setattr("gdw.backbones.loading.load_backbone", lambda name: backbone)
    assert isinstance(backbone.module, Network)
    return backbone.module


def features_of(data: Source) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (
        image_backbone().features(data.images(np.arange(len(data)))).numpy()
    )
    return found


def test_features_with_both_label_columns(tmp_path: Path, small: Network) -> None:
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
    np.testing.assert_allclose(
        X, features_of(load(tmp_path / "train.parquet", label="label")), rtol=1e-4
    )
    assert train.label_names == ("cat", "dog")
    assert train.labels is not None
    assert train.labels.tolist() == [1, 0, 0, 1, 0, 1, 0, 1, 0, 1]
    assert train.codes("label", train.label_names).tolist() == [0, 1] * 5
    assert load(places["test"], label="label").columns == ("X", "label")
    assert small.computed == 10, "the images of the test file are among those of the other"


def test_an_interrupted_extraction_goes_on(
    tmp_path: Path, small: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    images(tmp_path / "train.parquet", 10)
    images(tmp_path / "test.parquet", 4)
    made = builder(tmp_path, how="features", train="train.parquet", test="test.parquet")
    monkeypatch.setattr("gdw.data.features.network._BATCH_ON_CPU", 1)

    def interrupted(batch: torch.Tensor) -> torch.Tensor:
        if small.computed >= 8:
            raise KeyboardInterrupt
        return forward(batch)

    forward = small.forward
    with monkeypatch.context() as patched:
        patched.setattr(small, "forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made.build(tmp_path / "data", silent)
    assert not Path(made.places(tmp_path / "data")["path"]).parent.exists()
    before = small.computed
    assert 0 < before <= 9
    made.build(tmp_path / "data", silent)
    # Batches that were in the works when the first one stopped are computed again, and no others.
    assert 10 <= small.computed < before + 10
    places = made.places(tmp_path / "data")
    np.testing.assert_allclose(
        load(places["path"], label="label").array(),
        features_of(load(tmp_path / "train.parquet", label="label")),
        rtol=1e-4,
    )


def test_features_of_what_are_no_images(tmp_path: Path, small: Network) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,label\n1,x\n2,y\n1,x\n", encoding="utf-8")
    made = builder(tmp_path, how="features", train="t.csv", test="t.csv")
    with pytest.raises(DataError, match="table data: expected images"):
        made.build(tmp_path / "data", silent)


def test_the_network_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = builder(tmp_path, how="features", train="train.parquet", test="test.parquet")
    monkeypatch.setattr("gdw.backbones.names.find_spec", lambda module: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gdw\[features\]'"):
        made.build(tmp_path / "data", silent)


def test_unknown_preparations(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="expected how: to be one of decoded, digits, fashion_mnist, features"
    ):
        builder(tmp_path, train="a")
    with pytest.raises(ConfigError, match=r"unknown prepare option 'tets'.* Did you mean 'test'"):
        builder(tmp_path, how="digits", tets=5)
