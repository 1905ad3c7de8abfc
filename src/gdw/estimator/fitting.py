"""What `GDWClassifier.fit` does: read, choose what is clean, train, and look back at the labels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.examples import Examples
from gdw.estimator import own_clean
from gdw.estimator.examples import chosen, joined
from gdw.estimator.network import build_network, check_logits
from gdw.estimator.reading import Read, read
from gdw.estimator.runner import BuildNetwork, run
from gdw.estimator.settings import training_config
from gdw.reweight import METHODS
from gdw.train import TrainConfig

if TYPE_CHECKING:
    import pandas as pd

    from gdw.audit import Evidence


def fit(estimator: Any, X: Any, y: Any, **given: Any) -> None:
    """Train `estimator` and set its fitted attributes; arguments as of `GDWClassifier.fit`."""
    from sklearn.utils import check_random_state

    from gdw.audit import Recorder, noise_matrix

    seed = int(check_random_state(estimator.random_state).randint(2**31 - 1))
    config = training_config(estimator, seed)
    data = read(estimator, X, y, **given)
    build = partial(
        build_network,
        estimator.model,
        estimator.module,
        encoder=data.features.encoder,
        num_classes=len(data.classes),
        seed=seed,
    )
    network = build()
    check_logits(network, data.inputs, len(data.classes))
    train, clean, rows, weights = _divide(data, config, build, add_clean=estimator.add_clean)
    recorder = Recorder(len(rows))
    history = run(network, config, train, clean, sample_weight=weights, callbacks=[recorder])
    evidence = recorder.evidence()
    estimator.classes_ = data.classes
    estimator.history_ = history
    estimator.module_ = network
    estimator.label_issues_ = _label_issues(evidence, data.classes, data.rows[rows])
    estimator.noise_matrix_ = noise_matrix(evidence)
    estimator._features = data.features
    estimator._built_from = (estimator.model, estimator.module)


def _divide(
    data: Read, config: TrainConfig, build: BuildNetwork, *, add_clean: bool
) -> tuple[Examples, Examples | None, NDArray[np.int64], Tensor | None]:
    """What is trained on, the clean examples, which rows of `data` are doubted, and what each counts.

    The doubted rows are the first of what is trained on.
    """
    everything = np.arange(len(data.codes))
    doubted = everything if data.trusted is None else np.flatnonzero(~data.trusted)
    given = chosen(data.inputs, data.codes, doubted)
    clean, verified = data.meta, None
    if data.trusted is not None:
        verified = np.flatnonzero(data.trusted)
        clean = chosen(data.inputs, data.codes, verified)
    weights = _factors(data.weights, doubted)
    method = METHODS[config.method]
    if clean is None:
        if method.needs_clean:
            rows = own_clean.choose_clean(
                given,
                config=config,
                build=build,
                sample_weight=weights,
            )
            own_clean.warn(len(rows), len(given))
            # they are trained on as it is
            clean = chosen(data.inputs, data.codes, rows)
        return given, clean, doubted, weights
    # methods that join them themselves must not see them twice
    if add_clean and not method.takes_clean(config.method_options):
        order = doubted if verified is None else np.concatenate([doubted, verified])
        return joined(given, clean), clean, doubted, _factors(data.weights, order)
    return given, clean, doubted, weights


def _factors(weights: NDArray[np.float64] | None, rows: NDArray[np.int64]) -> Tensor | None:
    if weights is None:
        return None
    own = weights[rows]
    return torch.from_numpy((own / own.mean()).astype(np.float32))


def _label_issues(
    evidence: Evidence, classes: NDArray[Any], rows: NDArray[np.int64]
) -> pd.DataFrame:
    """The audit's table with the user's own labels and rows of `X`."""
    from gdw.audit import label_issues

    # Classes may look alike as text, as 1 and "1" do; their codes do not.
    table = label_issues(evidence, [str(k) for k in range(len(classes))])
    table["index"] = rows[table["index"].to_numpy()]
    for column in ("given_label", "suggested_label", "predicted_label"):
        table[column] = classes[table[column].astype(int).to_numpy()]
    del table["where"]
    return table
