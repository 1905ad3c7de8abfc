"""From rows to tensors: preprocessing fitted on the training data, saved beside the model."""

from __future__ import annotations

from gdw.data.encode.contract import Encoder
from gdw.data.encode.registry import fit_encoder, load_encoder

__all__ = ["Encoder", "fit_encoder", "load_encoder"]
