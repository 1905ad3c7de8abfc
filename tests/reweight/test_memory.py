"""Steps leave nothing behind: as many tensors are alive after many steps as after a few."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from gdw.reweight import METHODS
from tests.reweight.setting import Setting, batches

RUNS = [
    *((method, {}) for method in METHODS),
    *(("gdw", {"hypergradient": name}) for name in ("forward", "reference", "head")),
    ("gdw", {"hypergradient": "head", "head": "0"}),
    ("gdw", {"hypergradient": "head", "meta_features_every": 3}),
    ("gdw", {"retain_graph": True}),
]


@pytest.fixture(scope="module", autouse=True)
def only_new_objects() -> Iterator[None]:
    """Leave out the million objects of the libraries: to look through them takes a second each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def alive() -> int:
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize(("method", "options"), RUNS)
def test_no_tensor_stays_behind(method: str, options: dict[str, Any]) -> None:
    setting = Setting.of(method, **options)
    train, meta = batches(30), batches(30, seed=1)
    setting.train(train[:3], meta[:3])
    before = alive()
    setting.train(train[3:], meta[3:])
    assert alive() == before
