"""Run a cell of a grid whose method trains no network, see `gdw.experiments.contenders`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gdw.data.examples import Examples
from gdw.experiments.contenders import Labels, parse_contender
from gdw.runs.config import RunConfig
from gdw.runs.prepare import prepare
from gdw.runs.prepared_data import PreparedData
from gdw.train.evaluation import evaluate

# A class without a vote would have an infinite loss.
_SMALLEST = 1e-12


def contender_figures(
    contender: Mapping[str, Any], config: RunConfig
) -> tuple[dict[str, Any], PreparedData, NDArray[np.float64]]:
    """Fit a contender to the data of a run and measure it.

    Args:
        contender: its `name` and `options`.
        config: of the run; the model and the method in it are not used.

    Returns:
        The figures on the test set and the seconds that fitting took; the data; and the class probabilities
        `(N, C)` of the training examples, each predicted without its label.
    """
    prepared = prepare(config.data, seed=config.training.seed)
    assert prepared.test is not None, "cell_settings refuses a cell without test data"
    method = parse_contender(contender["name"], contender["options"])
    (X, y), (new, true) = _arrays(prepared.train), _arrays(prepared.test)
    began = time.perf_counter()
    classes = len(prepared.schema.label_names)
    fitted = method.fit(X, y, num_classes=classes, seed=config.training.seed)
    fitting = time.perf_counter() - began
    logits = torch.from_numpy(fitted.predict(new)).clamp(min=_SMALLEST).log()
    figures = evaluate(torch.nn.Identity(), (logits, torch.from_numpy(true)))
    return (
        {**figures, "training_seconds": fitting},
        prepared,
        fitted.left_out[: len(prepared.source)],
    )


def _arrays(examples: Examples) -> tuple[NDArray[np.float32], Labels]:
    """The inputs as one matrix `(N, F)`, and the labels `(N,)`."""
    encoded = examples.inputs[np.arange(len(examples))]
    return encoded.reshape(len(examples), -1).float().numpy(), examples.targets.numpy()
