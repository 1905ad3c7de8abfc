"""A whole run: from configured paths to a run folder, and from a run folder to predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.runs.config import DataConfig, ModelConfig, RunConfig, read_config_file
    from gdw.runs.saved import SavedRun
    from gdw.runs.training import Training

_HOME = {
    "DataConfig": "gdw.runs.config",
    "ModelConfig": "gdw.runs.config",
    "RunConfig": "gdw.runs.config",
    "SavedRun": "gdw.runs.saved",
    "Training": "gdw.runs.training",
    "read_config_file": "gdw.runs.config",
}

__all__ = ["DataConfig", "ModelConfig", "RunConfig", "SavedRun", "Training", "read_config_file"]


__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
