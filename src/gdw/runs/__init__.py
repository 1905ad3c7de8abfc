"""A whole run: from configured paths to a run folder, and from a run folder to predictions."""

from gdw.runs.config import DataConfig, ModelConfig, RunConfig, read_config_file
from gdw.runs.saved import SavedRun
from gdw.runs.training import Training

__all__ = ["DataConfig", "ModelConfig", "RunConfig", "SavedRun", "Training", "read_config_file"]
