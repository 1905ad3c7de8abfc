"""Encoders: preprocessing from rows to tensors, fitted on the training data and saved with the model."""

from __future__ import annotations

from gdw.data.encode.encoder import Encoder, fit_encoder, load_encoder

__all__ = ["Encoder", "fit_encoder", "load_encoder"]
