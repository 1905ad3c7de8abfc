"""A whole run: from the user's files to a run folder, and from a run folder to figures and predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.runs.auditing import RunAudit, audit
    from gdw.runs.config import DataConfig, RunConfig
    from gdw.runs.config_files import read_config_file
    from gdw.runs.evaluating import evaluate, evaluate_file
    from gdw.runs.model_config import ModelConfig
    from gdw.runs.predicting import predict, predict_proba
    from gdw.runs.run import Run, load
    from gdw.runs.training import Training

_HOME = {
    "DataConfig": "gdw.runs.config",
    "ModelConfig": "gdw.runs.model_config",
    "Run": "gdw.runs.run",
    "RunAudit": "gdw.runs.auditing",
    "RunConfig": "gdw.runs.config",
    "Training": "gdw.runs.training",
    "audit": "gdw.runs.auditing",
    "evaluate": "gdw.runs.evaluating",
    "evaluate_file": "gdw.runs.evaluating",
    "load": "gdw.runs.run",
    "predict": "gdw.runs.predicting",
    "predict_proba": "gdw.runs.predicting",
    "read_config_file": "gdw.runs.config_files",
}

__all__ = [
    "DataConfig",
    "ModelConfig",
    "Run",
    "RunAudit",
    "RunConfig",
    "Training",
    "audit",
    "evaluate",
    "evaluate_file",
    "load",
    "predict",
    "predict_proba",
    "read_config_file",
]

__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
