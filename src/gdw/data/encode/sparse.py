"""Mostly-zero inputs, kept compressed and made dense a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class SparseInputs:
    """A float32 CSR matrix `(N, F)` whose rows are read as dense batches `(B, F)`.

    Bags of 20,000 words of a million texts fill 80 GB when dense, and about a hundredth of it so.
    """

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor:
        return torch.from_numpy(self.matrix[np.asarray(indices, dtype=np.int64)].toarray())
