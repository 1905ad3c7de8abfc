"""What training recorded about each example, as arrays and as a file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw._version import __version__
from gdw.errors import RunError, one_line
from gdw.files.documents import require_format, write_atomically
from gdw.files.representation import ShortRepr

EVIDENCE = "evidence.safetensors"
FORMAT = 1
TOP = 8
"""How many classes are kept for each example."""

_MOST_CLASSES = 10**9
# The shape and the contents of each array. C: classes, K: min(C, 8), M: clean examples, N: examples.
_FORMS = {
    "given": ("N", "classes"),
    "p_given": ("N", "probabilities"),
    "top_classes": ("NK", "classes"),
    "top_probabilities": ("NK", "probabilities"),
    "weight_given": ("N", "weights"),
    "weight_top": ("N", "weights"),
    "visits": ("N", "counts"),
    "posterior_classes": ("NK", "classes"),
    "posterior_probabilities": ("NK", "probabilities"),
    "posterior_given": ("N", "probabilities"),
    "weights_by_label": ("CC", "weights"),
    "count_by_label": ("C", "weights"),
    "rows": ("N", "rows"),
    "clean_true": ("M", "classes"),
    "clean_given": ("M", "classes"),
    "clean_drawn": ("M", "probabilities"),
    "clean_agreement": ("1", "probabilities"),
}
_WHOLE = ("classes", "counts", "rows")
_TOGETHER = (
    ("weights_by_label", "count_by_label"),
    ("posterior_classes", "posterior_probabilities", "posterior_given"),
    ("clean_check", "clean_agreement"),
)

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Evidence(ShortRepr):
    """What training recorded about N examples and C classes in the second half of its epochs.

    K is `min(C, 8)`; M is the number of clean examples. A visit is one training batch that contains the
    example.

    Attributes:
        num_classes: C.
        given: int64 `(N,)`, the labels in the training data.
        p_given: float32 `(N,)`, the predicted probability of the given label before each update, as the
            mean over the visits.
        top_classes: int32 `(N, K)`, the classes with the largest mean probabilities, largest first.
        top_probabilities: float32 `(N, K)`, their mean probabilities.
        weight_given: float32 `(N,)`, the class-level weight at the given label, as the mean over the visits;
            0 without a visit.
        weight_top: float32 `(N,)`, the same at the most probable other class of each visit.
        visits: int32 `(N,)`. Where it is 0, the probabilities are those of the final model.
        posterior_classes: int32 `(N, K)`, as `top_classes`, but for the label posterior that the method
            prepared before training; None if the method prepared none.
        posterior_probabilities: float32 `(N, K)`, as `top_probabilities`.
        posterior_given: float32 `(N,)`, as `p_given`.
        weights_by_label: float32 `(C, C)`, the mean class-level weight by given label (row) and class
            (column); None if C > 512.
        count_by_label: float32 `(C,)`, the visits of each given label; None if C > 512.
        rows: int64 `(N,)`, the row of each example in what the user gave (a file, a folder or `X`), from 0;
            None if the examples are all its rows.
        clean_true: int64 `(M,)`, the verified labels of the clean examples; None if unknown.
        clean_given: int64 `(M,)`, the unverified labels of the clean examples; None if unknown.
        clean_drawn: float32 `(M,)`, 1 for a clean example that was drawn at random, 0 for one that was chosen
            for the doubt in its label and says nothing of others; None if all may count.
        clean_check: float32 `(M, 5)`, how models did on the clean examples that they were trained without:
            the columns are the tensors of `gdw.reweight.preparation.CleanCheck`; None if unknown.
        clean_agreement: float32 `(1,)`, the share of the given labels that these models predict.

    Example:
        >>> evidence = gdw.audit.Evidence.load("runs/animals/evidence.safetensors")  # doctest: +SKIP
        >>> len(evidence), evidence.num_classes  # doctest: +SKIP
        (1200, 2)
    """

    num_classes: int
    given: Ints
    p_given: Floats
    top_classes: Ints
    top_probabilities: Floats
    weight_given: Floats
    weight_top: Floats
    visits: Ints
    posterior_classes: Ints | None = None
    posterior_probabilities: Floats | None = None
    posterior_given: Floats | None = None
    weights_by_label: Floats | None = None
    count_by_label: Floats | None = None
    rows: Ints | None = None
    clean_true: Ints | None = None
    clean_given: Ints | None = None
    clean_drawn: Floats | None = None
    clean_check: Floats | None = None
    clean_agreement: Floats | None = None

    def __len__(self) -> int:
        return len(self.given)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """int64 `(N,)`, the row of each example in what the user gave, from 0."""
        return np.arange(len(self)) if self.rows is None else self.rows.astype(np.int64, copy=False)

    def positions(self, numbers: Ints) -> NDArray[np.int64]:
        """The position `(B,)` of the example of each row of `numbers` `(B,)`; -1 if it was not trained on."""
        known = self.numbers
        order = np.argsort(known, kind="stable")
        place = np.searchsorted(known[order], numbers).clip(max=max(len(known) - 1, 0))
        positions = order[place] if len(known) else np.zeros(len(numbers), dtype=np.int64)
        return np.where(known[positions] == numbers, positions, -1)

    @property
    def clean(self) -> tuple[Ints | None, Ints] | None:
        """`(clean_given, clean_true)` of those drawn at random, the default of `clean` in `noise_matrix`."""
        if self.clean_true is None:
            return None
        drawn = self.drawn
        return None if self.clean_given is None else self.clean_given[drawn], self.clean_true[drawn]

    @property
    def drawn(self) -> NDArray[np.bool_]:
        """`(M,)`, which clean examples may stand for others."""
        if self.clean_drawn is None:
            return np.ones(0 if self.clean_true is None else len(self.clean_true), dtype=bool)
        return self.clean_drawn > 0

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """The attributes that are known arrays, by name."""
        return {k: v for k, v in vars(self).items() if k != "num_classes" and v is not None}

    def save(self, path: str | Path) -> None:
        """Write all arrays to the safetensors file `path`, whole or not at all."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(array) for name, array in self._arrays().items()}
        metadata = {
            "format": str(FORMAT),
            "gdw_version": __version__,
            "classes": str(self.num_classes),
        }
        write_atomically(Path(path), lambda file: save_file(arrays, file, metadata=metadata))

    @classmethod
    def load(cls, path: str | Path) -> Evidence:
        """Read what `save` wrote. The file cannot run code.

        Raises:
            RunError: the file is missing, damaged, or was written by a newer version of gdw.
        """
        path = Path(path)
        metadata, arrays = _read(path)
        try:
            require_format(
                int(metadata["format"]), FORMAT, path, version=metadata.get("gdw_version")
            )
            largest = max(int(arrays[name].max(initial=0)) for name in ("given", "top_classes"))
            classes = int(metadata.get("classes", largest + 1))
            names = {field.name for field in fields(cls)}
            evidence = cls(num_classes=classes, **{k: v for k, v in arrays.items() if k in names})
            _check(evidence)
        except (LookupError, TypeError, ValueError) as error:
            raise RunError(f"{path} is damaged ({one_line(error)}): train again") from error
        return evidence


@dataclass(frozen=True, repr=False)
class ClassWeights(ShortRepr):
    """The mean class-level weights of a run.

    Attributes:
        weights: float32 `(C, C)`, by given label (row) and class (column).
        count: float32 `(C,)`, the number of visits of each given label.
        label_names: the names of the C classes.
    """

    weights: Floats
    count: Floats
    label_names: tuple[str, ...]


def _read(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """The metadata and the arrays of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise RunError(f"{path} does not exist: expected the evidence of a finished run")
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as error:
        raise RunError(
            f"{path} is damaged or not a safetensors file ({one_line(error)}): restore it, or train again"
        ) from error


def _check(evidence: Evidence) -> None:
    """Raise `ValueError` if shapes or types do not match, or values are out of range."""
    classes, arrays = evidence.num_classes, evidence._arrays()
    if not 0 < classes < _MOST_CLASSES:
        raise ValueError(f"found {classes} classes")
    clean = 0 if evidence.clean_true is None else evidence.clean_true.size
    sizes = {"1": 1, "C": classes, "K": min(classes, TOP), "M": clean, "N": evidence.given.size}
    for name, (shape, contents) in _FORMS.items():
        if name in arrays:
            _check_form(name, arrays[name], tuple(sizes[size] for size in shape), contents)
            _check_range(name, arrays[name], contents, classes)
    for together in _TOGETHER:
        if 0 < len(arrays.keys() & together) < len(together):
            raise ValueError(f"expected all or none of {', '.join(together)}")
    if evidence.clean_check is not None:
        _check_clean_check(evidence.clean_check)


def _check_form(name: str, array: NDArray[Any], shape: tuple[int, ...], contents: str) -> None:
    if array.shape != shape or array.dtype.kind != ("i" if contents in _WHOLE else "f"):
        raise ValueError(f"{name}: expected shape {shape}, found {array.shape} of {array.dtype}")


def _check_range(name: str, array: NDArray[Any], contents: str, classes: int) -> None:
    ranges: dict[str, tuple[float, float, str]] = {
        "classes": (0, classes - 1, f"classes from 0 to {classes - 1}"),
        "rows": (0, np.inf, "numbers from 0"),
        "probabilities": (-1e-4, 1 + 1e-4, "probabilities"),
    }
    if contents in ranges:
        low, high, expected = ranges[contents]
        if not ((array >= low) & (array <= high)).all():
            raise ValueError(f"{name}: expected {expected}")


def _check_clean_check(check: NDArray[Any]) -> None:
    if check.shape[1:] != (5,) or not len(check) or check.dtype.kind != "f":
        raise ValueError(f"clean_check: expected shape (M, 5), found {check.shape}")
    weights, shares = check[:, 0], check[:, 1:]
    if not ((weights > 0) & (weights < len(check) + 1)).all():
        raise ValueError("clean_check: expected weights with a mean of one")
    if not ((shares >= 0) & (shares <= 1 + 1e-4)).all():
        raise ValueError("clean_check: expected probabilities")
