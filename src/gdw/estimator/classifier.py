"""`gdw.GDWClassifier`: the trainer behind scikit-learn's conventions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from gdw.data.examples import Inputs
from gdw.estimator import fitting, network, settings, state
from gdw.estimator.features import conform, validated
from gdw.estimator.runner import probabilities

# The trained network leaves as bytes instead.
_MODULE, _SAVED = "module_", "_saved_module"


class GDWClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A neural classifier for data with doubtful labels, which learns from a few clean ones what to trust.

    Method and source: `gdw.GDW` (Chen et al., NeurIPS 2021, arXiv 2111.00056), or any other of
    `gdw.reweight.METHODS`.

    Attributes of a fitted classifier:
        classes_: `(C,)`, sorted, of the type of `y`.
        n_features_in_, feature_names_in_: of arrays and data frames, as in scikit-learn.
        label_issues_: a data frame with a row for each example that was doubted, most suspicious first:
            `index` (its row in `X`), `given_label`, `suggested_label`, `suggested_probability`, `score` (0 to
            1, how likely the given label is wrong), `is_label_issue`, and cleanlab's names for the same.
        noise_matrix_: a `gdw.audit.NoiseMatrix`, the estimated P(given label | true label).
        history_: a list of one dict an epoch.
        module_: the trained `nn.Module`, in evaluation mode; its logits are in the order of `classes_`.
    """

    def __init__(
        self,
        method: str = "robust",
        *,
        preset: str | None = None,
        model: str = "auto",
        module: nn.Module | network.Factory | None = None,
        epochs: int = settings.EPOCHS,
        batch_size: int = settings.BATCH_SIZE,
        optimizer: str = "adamw",
        lr: float = settings.LR,
        weight_decay: float = settings.WEIGHT_DECAY,
        label_smoothing: float = 0.0,
        hypergradient: str | None = None,
        method_options: dict[str, Any] | None = None,
        add_clean: bool = False,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        progress: bool = False,
    ) -> None:
        """
        Args:
            method: a name in `gdw.reweight.METHODS`, such as `"gdw"`, `"mwn"`, `"l2rw"` or `"plain"`.
            preset: named settings of GDW, see `gdw.reweight.PRESETS`; other methods have none.
            model: a name that `gdw.models.build_model` knows, such as `"mlp:256"`, `"resnet20"` or
                `"torchvision:resnet18"`; `"auto"` goes by the data.
            module: a network of one's own in place of `model`: an `nn.Module`, of which a copy is trained as
                it stands, or a function `(input_shape, num_classes) -> nn.Module`. Arrays reach it unscaled,
                as float32, tensors in their own type, and all else as it would reach a `model`.
            epochs: passes over the data.
            batch_size: examples a step, of the given and of the clean ones.
            optimizer, lr, weight_decay: `"adamw"` or `"sgd"` and its settings; the rate falls to
                zero along a cosine.
            label_smoothing: share of each label spread over all classes.
            hypergradient: for methods with a meta batch, `"finite_difference"`, `"forward"`, `"reference"`
                or `"head"`; None: the method's own.
            method_options: further keyword arguments of the method.
            add_clean: add the clean examples to those trained on, for methods that do not do so themselves
                (`robust` does).
            device: `"auto"`, `"cpu"`, `"cuda"`, `"gpu"` or `"mps"`.
            random_state: seed of initial weights, order and dropout; None draws one from NumPy's
                global state.
            progress: show a bar on a terminal, or a line an epoch elsewhere, on standard error.

        What does not fit is said by `fit`.
        """
        self.method = method
        self.preset = preset
        self.model = model
        self.module = module
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.hypergradient = hypergradient
        self.method_options = method_options
        self.add_clean = add_clean
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        meta: tuple[Any, ArrayLike] | None = None,
        trusted: ArrayLike | None = None,
    ) -> GDWClassifier:
        """Train on `X` with the doubtful labels `y`.

        Args:
            X: numbers `(N, F)`, dense (NaN: missing) or sparse; a data frame with numbers, dates and
                categories, missing values included; a list of N texts; images `(N, H, W)` or `(N, H, W, 3)`.
            y: `(N,)`, classes of any one type.
            sample_weight: `(N,)`, not negative: how much each example counts, as a factor of its gradient
                beside the learned weights. Examples of weight zero are left out.
            meta: `(X, y)` of clean examples, at least one of each class.
            trusted: `(N,)` booleans, true for the clean rows of `X`; these are not doubted.

        With neither `meta` nor `trusted`, examples that look right to networks trained without them stand in
        for clean ones (`NoCleanExamplesWarning`). Methods without need of clean examples do without.

        Raises:
            ValueError: data, labels or options that cannot be used (`DataError`, `ConfigError`, and
                scikit-learn's own).
            ModelError: a `module` whose outputs do not fit the classes.
            DivergenceError: training went to infinity.
        """
        fitting.fit(self, X, y, sample_weight=sample_weight, meta=meta, trusted=trusted)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Class probabilities `(N, C)`, float32, in the order of `classes_`.

        Raises `NotFittedError` before `fit`, and `ValueError` for other data than those of `fit`.
        """
        check_is_fitted(self)
        return np.concatenate([p for _, p in probabilities(self.module_, self._inputs(X))])

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row, `(N,)`, of the type of `y`; errors as `predict_proba`."""
        check_is_fitted(self)
        likeliest = [p.argmax(axis=1) for _, p in probabilities(self.module_, self._inputs(X))]
        predicted: NDArray[Any] = self.classes_[np.concatenate(likeliest)]
        return predicted

    def _inputs(self, X: Any) -> Inputs:
        form = self._features.form
        rows = validated(self, conform(X, form), form, fitting=False)
        inputs: Inputs = self._features.encode(rows)
        return inputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.module is None
        tags.non_deterministic = False
        return tags

    def __getstate__(self) -> dict[str, Any]:
        saved: dict[str, Any] = dict(super().__getstate__())
        if _MODULE in saved:
            saved[_SAVED] = state.to_bytes(saved.pop(_MODULE))
        return saved

    def __setstate__(self, saved: dict[str, Any]) -> None:
        saved = dict(saved)
        trained = saved.pop(_SAVED, None)
        super().__setstate__(saved)
        if trained is not None:
            built = network.build_network(
                *self._built_from,
                encoder=self._features.encoder,
                num_classes=len(self.classes_),
                seed=0,
            )
            self.module_ = state.from_bytes(built, trained)
