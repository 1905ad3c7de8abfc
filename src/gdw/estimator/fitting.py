"""`GDWClassifier.fit`: encode the data, choose clean examples if there are none, train, find label issues."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.examples import Examples
from gdw.errors import ConfigError, warn_user
from gdw.estimator.encoding import EncodedData, encode
from gdw.estimator.network import build_network, check_network, train_network
from gdw.estimator.own_clean import BuildNetwork, choose_missing, warn_of_none_doubted
from gdw.estimator.parameters import for_data, training_config, wanted_backbone
from gdw.reweight import METHODS
from gdw.train import TrainConfig
from gdw.train.chosen_clean import with_stand_ins

if TYPE_CHECKING:
    from gdw.audit import Evidence


class DataNoteWarning(UserWarning):
    """What `GDWClassifier` does not use of the data, or reads in another way than it looks."""


class AuditWarning(UserWarning):
    """There are signs that the `label_issues_` of a `GDWClassifier` are mostly wrong."""


def fit(estimator: Any, X: Any, y: Any, **arguments: Any) -> None:
    """Train `estimator` and set its fitted attributes. `arguments` are those of `GDWClassifier.fit`."""
    from gdw.audit import Recorder

    # The parameters are checked before the data.
    config, wanted = training_config(estimator), wanted_backbone(estimator)
    data = encode(estimator, X, y, wanted=wanted, **arguments)
    config, model = for_data(estimator, config, data.encoder, examples=len(data.rows))
    for note in data.notes:
        warnings.warn(note, DataNoteWarning, stacklevel=3)
    build = partial(
        build_network,
        model,
        estimator.module,
        encoder=data.encoder.encoder,
        backbone=data.encoder.backbone,
        num_classes=len(data.classes),
        seed=config.seed,
    )
    network = build()
    check_network(network, data.examples, len(data.classes))
    split = _split(data, config, build, add_clean=estimator.add_clean)
    recorder = Recorder(len(split.rows))
    history = train_network(
        network,
        config,
        split.train,
        split.clean,
        sample_weight=split.weights,
        callbacks=[recorder],
    )
    evidence = replace(recorder.evidence(), rows=data.rows[split.rows])
    estimator.classes_ = data.classes
    estimator.history_ = history
    estimator.module_ = network
    evidence = split.of_verified(evidence)
    _audit(estimator, evidence)
    estimator.backbone_ = None if (used := data.encoder.backbone) is None else used.name
    estimator._encoder = data.encoder
    estimator._learned = evidence, split.verified_of(len(data.classes))
    estimator._built_from = (model, estimator.module, wanted.given)


@dataclass(frozen=True, eq=False)
class _Split:
    """The data of a fit, divided.

    Attributes:
        train: the training examples.
        clean: the clean examples, the verified ones first; None if there are none.
        rows: the rows of the `EncodedData` whose labels are in doubt: the first of the training examples.
        weights: the sample weights of the training examples; None if all are equal.
        verified: how many of the clean examples somebody has verified.
    """

    train: Examples
    clean: Examples | None
    rows: NDArray[np.int64]
    weights: Tensor | None
    verified: int

    @property
    def _clean_labels(self) -> NDArray[np.int64]:
        return np.array([], np.int64) if self.clean is None else self.clean.targets.numpy()

    def verified_of(self, classes: int) -> NDArray[np.int64]:
        """The number of verified examples of each class, `(C,)`."""
        return np.bincount(self._clean_labels[: self.verified], minlength=classes)

    def of_verified(self, evidence: Evidence) -> Evidence:
        """The evidence without what models did on clean examples that nobody has verified."""
        from gdw.audit.part_of_check import checked_on

        labels = self._clean_labels
        return checked_on(evidence, labels, np.arange(len(labels)) < self.verified)


def _split(
    data: EncodedData, config: TrainConfig, build: BuildNetwork, *, add_clean: bool
) -> _Split:
    """Divide the data into training examples and clean ones, which are chosen where there are too few."""
    trusted = np.zeros(len(data.rows), dtype=bool) if data.trusted is None else data.trusted
    verified, doubted = np.flatnonzero(trusted), np.flatnonzero(~trusted)
    if not len(doubted):
        warn_of_none_doubted()
        doubted = verified
    given = data.examples.select(doubted)
    clean = data.examples.select(verified) if len(verified) else data.meta
    if add_clean:
        _check_addition(data, clean, config)
    if add_clean and clean is not None:
        weights = _mean_one(data.weights, np.concatenate([doubted, verified]))
        return _Split(given.joined(clean), clean, doubted, weights, len(clean))
    weights = _mean_one(data.weights, doubted)
    chosen = None
    if doubted is not verified:
        chosen = _missing(data, given, clean, config, build, weights)
    count = 0 if clean is None else len(clean)
    if chosen is not None:
        clean = with_stand_ins(clean, chosen)
    return _Split(given, clean, doubted, weights, count)


def _check_addition(data: EncodedData, clean: Examples | None, config: TrainConfig) -> None:
    """Raise `ConfigError` if the clean examples cannot be added. A fold may have none of `trusted`."""
    if METHODS[config.method].takes_clean(config.method_options):
        raise ConfigError(
            f"method {config.method!r} trains on the clean examples anyway: leave add_clean out, "
            "or they count twice"
        )
    if clean is None and data.trusted is None:
        raise ConfigError("add_clean needs clean examples: give meta= or trusted=, or leave it out")


def _missing(
    data: EncodedData,
    given: Examples,
    clean: Examples | None,
    config: TrainConfig,
    build: BuildNetwork,
    weights: Tensor | None,
) -> Examples | None:
    """The clean examples that are chosen because nobody gave them; None if there are enough."""
    if not METHODS[config.method].needs_clean:
        return None
    return choose_missing(
        given,
        clean,
        data.classes,
        name="trusted" if data.trusted is not None else "" if data.meta is None else "meta",
        config=config,
        build=build,
        sample_weight=weights,
    )


def _mean_one(weights: NDArray[np.float64] | None, rows: NDArray[np.int64]) -> Tensor | None:
    """The weights of `rows`, scaled to a mean of one."""
    if weights is None:
        return None
    selected = weights[rows]
    return torch.from_numpy((selected / selected.mean()).astype(np.float32))


def _audit(estimator: Any, evidence: Evidence) -> None:
    """Set the attributes of the audit: its table has the user's labels."""
    import pandas as pd

    from gdw.audit import ClassWeights, assess, label_issues, noise_matrix
    from gdw.audit.issues import in_order_of_training
    from gdw.audit.matrix import noise_cells

    classes = estimator.classes_
    # Different classes may have the same text, such as 1 and "1"; their codes differ.
    table = label_issues(evidence, [str(k) for k in range(len(classes))])
    wrong = in_order_of_training(evidence, table, table["is_label_issue"], bool)
    estimator.assessment_ = assess(evidence, noise_cells(evidence), wrong)
    # A series has dates as such, not as numbers.
    names = tuple(map(str, pd.Series(classes)))
    estimator.noise_matrix_ = replace(noise_matrix(evidence), label_names=names)
    estimator.class_weights_ = None
    if evidence.weights_by_label is not None and evidence.count_by_label is not None:
        estimator.class_weights_ = ClassWeights(
            evidence.weights_by_label, evidence.count_by_label, names
        )
    for column in ("given_label", "suggested_label", "predicted_label"):
        table[column] = classes[table[column].astype(int).to_numpy()]
    del table["where"]
    estimator.label_issues_ = table
    if estimator.assessment_.level == "poor":
        warn_user(_distrust(estimator.assessment_.reason), AuditWarning)


def _distrust(reason: str) -> str:
    return (
        f"do not trust label_issues_ as it is (assessment_.level is 'poor'): {reason}. Train longer "
        "(epochs=) or verify more examples (trusted= or meta=) and fit again, or check the list by eye"
    )
