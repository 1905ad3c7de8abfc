"""The benchmark data are read as they are meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gdw.data import load, train_and_clean


def test_adult(shared_data: Path) -> None:
    train = load(shared_data / "adult/train.csv", label="income")
    test = load(shared_data / "adult/test.csv", label="income", label_names=train.label_names)
    assert train.label_names == test.label_names == ("<=50K", ">50K")
    assert (len(train), len(test)) == (32561, 16281)
    assert train.labels is not None
    assert train.labels.mean() == pytest.approx(0.2408, abs=1e-4)
    assert sum(kind == "number" for kind in train.column_types.values()) == 6
    assert train.frame()["workclass"].isna().sum() == 1836


def test_cifar10_with_human_labels(shared_data: Path) -> None:
    source = load(shared_data / "cifar10/train.parquet", label="human_label", drop=["label"])
    assert source.kind == "image"
    assert source.label_names[:2] == ("airplane", "automobile")
    wrong = source.codes("label", source.label_names) != source.labels
    assert wrong.mean() == pytest.approx(0.17, abs=0.005)
    train, clean = train_and_clean(source, meta_size=1000, meta_label="label", seed=0)
    assert (len(train), len(clean)) == (49000, 1000)
    assert clean.labels is not None
    assert (np.bincount(clean.labels) == 100).all()
    assert clean.images(np.array([999]))[0].size == (32, 32)


def test_clinc150(shared_data: Path) -> None:
    source = load(shared_data / "clinc150/train.parquet", label="intent", limit=300)
    assert (source.kind, source.feature_columns) == ("text", ("text",))
    assert source.labels is not None
    assert (np.bincount(source.labels) == 2).all()
    assert len(source.label_names) == 150
