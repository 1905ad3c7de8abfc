"""A finished (or interrupted) run, read back: its model on new data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gdw.data.encode import Encoder, load_encoder
from gdw.data.examples import Examples
from gdw.data.images import check_images
from gdw.data.source import Source
from gdw.models import build_model
from gdw.runs.config import RunConfig
from gdw.runs.schema import Schema
from gdw.runs.training import ENCODER
from gdw.train.evaluation import evaluate, evaluation_mode
from gdw.train.run_folder import RunFolder


class SavedRun:
    """The model of a run folder with the preprocessing it was trained with.

    Attributes:
        config: what the run was told.
        schema: the form of its data, with the names of the classes.
        model: the trained network, in evaluation mode, on the CPU.
    """

    def __init__(
        self, config: RunConfig, schema: Schema, encoder: Encoder, model: nn.Module
    ) -> None:
        self.config, self.schema, self.model = config, schema, model
        self._encoder = encoder

    @classmethod
    def open(cls, path: str | Path) -> SavedRun:
        """Read a run folder. Nothing in it can run code.

        Raises:
            RunError: no run there, unfinished, damaged, or of a newer version.
        """
        run = RunFolder.open(path)
        config = RunConfig.from_run(run.config, run.file("config.yaml"))
        folder = run.file(ENCODER)
        schema, encoder = Schema.read(folder), load_encoder(folder)
        model = build_model(
            config.model.name,
            input_shape=encoder.input_shape,
            num_classes=len(schema.label_names),
            mean_std=encoder.mean_std,
            kind=schema.kind,
            seed=0,
        )
        run.load_model(model)
        return cls(config, schema, encoder, model.eval())

    def load(self, path: str, *, label: str | None, limit: int | None = None) -> Source:
        """Read examples of the training data's form, see `Schema.load`; images are checked."""
        source = self.schema.load(path, label=label, limit=limit)
        check_images(source)
        return source

    def evaluate(self, source: Source) -> dict[str, Any]:
        """`accuracy`, `balanced_accuracy`, `nll`, `ece`, `recall` and `support` of each class."""
        assert source.labels is not None, "load it with its label column"
        labels = torch.from_numpy(source.labels.copy())
        figures = evaluate(self.model, Examples(self._encoder.encode(source), labels))
        support = np.bincount(source.labels, minlength=len(self.schema.label_names))
        return {**figures, "support": support.tolist(), "examples": len(source)}

    def predict_proba(self, source: Source, *, batch_size: int = 512) -> NDArray[np.float32]:
        """Class probabilities `(N, C)`, float32, in the order of `source`."""
        return torch.cat(list(self._probabilities(source, batch_size))).numpy()

    def _probabilities(self, source: Source, batch_size: int) -> Iterator[Tensor]:
        inputs = self._encoder.encode(source)
        with evaluation_mode(self.model), torch.no_grad():
            for start in range(0, len(source), batch_size):
                batch = inputs[np.arange(start, min(start + batch_size, len(source)))]
                yield self.model(batch).softmax(1)
