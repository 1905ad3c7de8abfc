"""Features of a run that an audit looks up and never computes."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gdw.data import from_arrays
from gdw.errors import RunError
from gdw.runs.kept_features import kept_features


@dataclass(frozen=True)
class Encoder:
    """Gives kept features of two views, or asks its network for them."""

    kept: bool
    backbone: Any = None
    progress: str = "auto"

    def encode(self, source: Any) -> torch.Tensor:
        if not self.kept:
            self.backbone.module(source)
        assert self.progress == "none"
        return torch.arange(len(source) * 2 * 3).reshape(len(source), 2, 3)


def run_with(encoder: Encoder) -> Any:
    return SimpleNamespace(encoder=encoder)


def test_the_first_view_counts() -> None:
    rows = kept_features(run_with(Encoder(kept=True)))(from_arrays(np.eye(4), [0, 1, 0, 1]))
    assert len(rows) == 4
    found = rows[np.array([2, 0])]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[12, 13, 14], [0, 1, 2]])


def test_features_that_are_gone_are_not_computed() -> None:
    find = kept_features(run_with(Encoder(kept=False)))
    with pytest.raises(RunError, match=r"not in the cache any more.*gdw predict RUN DATA"):
        find(from_arrays(np.eye(4), [0, 1, 0, 1]))
