"""The features that a pretrained network computed for the examples of a run, as they are kept on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.features.cache_folder import features_folder
from gdw.data.source import Source
from gdw.errors import RunError
from gdw.runs.run import ENCODER, Run


class KeptFeatures:
    """Encoded inputs `(N, F)`, or `(N, V, F)` with V views, as float32 rows `(N, F)` of the first view."""

    def __init__(self, inputs: Any) -> None:
        self._inputs = inputs

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = self._inputs[indices].float().numpy()
        return rows[:, 0] if rows.ndim == 3 else rows


def kept_features(run: Run) -> Callable[[Source], KeptFeatures]:
    """A function that looks features up. It computes none: it raises `GDWError` if some are not kept."""

    def find(source: Source) -> KeptFeatures:
        encoder: Any = run.encoder
        return KeptFeatures(replace(encoder, backbone=_Absent(), progress="none").encode(source))

    return find


def require_backbone(run: Run) -> None:
    """Check, before data are read, that the backbone of a run can be used if its features are not kept.

    Raises:
        MissingDependencyError: its library is not installed.
    """
    model = run.model_config
    if model.uses_backbone and not (model.frozen and _keeps_features(run)):
        from gdw.backbones.names import require_installed

        require_installed(model.backbone)


def _keeps_features(run: Run) -> bool:
    """Whether the cache has features by the backbone of the run."""
    try:
        settings = json.loads((run.folder.file(ENCODER) / "encoder.json").read_text("utf-8"))
        return any(features_folder().glob(f"*{settings['fingerprint'][:16]}*"))
    except (OSError, ValueError, LookupError, TypeError):
        return True  # A damaged encoder is reported when it is loaded.


class _Absent:
    """In place of the network, so that features that are not kept are not computed."""

    def __getattr__(self, name: str) -> Any:
        raise RunError(
            "they are not in the cache any more (gdw predict RUN DATA --output FILE computes them again)"
        )
