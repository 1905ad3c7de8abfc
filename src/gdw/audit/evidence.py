"""What training saw of each example, as arrays and as a file that cannot run code."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.errors import RunError
from gdw.files.atomic import write_atomically

EVIDENCE = "evidence.safetensors"
FORMAT = 1
TOP = 8
"""How many classes are kept of each example."""

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What training saw of N examples and C classes over the second half of its epochs.

    K is `min(C, 8)`, M the number of clean examples.

    Attributes:
        num_classes: C.
        given: `(N,)` int64, the labels trained on.
        p_given: `(N,)` float32, mean predicted probability of the given label, before each update.
        top_classes, top_probabilities: `(N, K)` int32 and float32, the classes of the largest mean
            probabilities, largest first.
        weight_given, weight_top: `(N,)` float32, mean class-level weight at the given label, and at the
            likeliest other class of each visit; 0 without a visit.
        visits: `(N,)` int32; where it is 0 the probabilities are those of the final model.
        posterior_classes, posterior_probabilities, posterior_given: the same as the top three for the
            labels that the method prepared; None if it prepared none.
        weights_by_label, count_by_label: `(C, C)` and `(C,)` float32, mean class-level weight
            `[given label, class]` and the visits behind it; None where C > 512.
        rows: `(N,)` int64, 0-based rows of the file or folder; None for examples that came from none.
        clean_true, clean_given: `(M,)` int64, the labels of the clean examples, and those that the doubtful
            column gives them; None where unknown.
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

    def __len__(self) -> int:
        return len(self.given)

    @property
    def clean(self) -> tuple[Ints | None, Ints] | None:
        """What `noise_matrix` takes for the clean examples."""
        return None if self.clean_true is None else (self.clean_given, self.clean_true)

    def save(self, path: str | Path) -> None:
        """Write all arrays to `path`, whole or not at all."""
        from safetensors.numpy import save_file

        arrays = {
            field.name: np.ascontiguousarray(getattr(self, field.name))
            for field in fields(self)
            if field.name != "num_classes" and getattr(self, field.name) is not None
        }
        about = {"format": str(FORMAT), "classes": str(self.num_classes)}
        write_atomically(Path(path), lambda file: save_file(arrays, file, metadata=about))

    @classmethod
    def load(cls, path: str | Path) -> Evidence:
        """What `save` wrote. Nothing in the file can run code.

        Raises:
            RunError: no such file, no safetensors file, a damaged one, or one of a newer format.
        """
        path = Path(path)
        about, arrays = _read(path)
        try:
            number = int(about["format"])
            if number > FORMAT:
                raise RunError(
                    f"{path} has format {number}, this gdw reads up to {FORMAT}: upgrade gdw"
                )
            highest = max(int(arrays[n].max(initial=0)) for n in ("given", "top_classes"))
            classes = int(about.get("classes", highest + 1))
            names = {field.name for field in fields(cls)}
            found = cls(num_classes=classes, **{k: v for k, v in arrays.items() if k in names})
            _check(found)
        except (LookupError, TypeError, ValueError) as error:
            raise RunError(f"{path} is damaged ({error}): train again") from error
        return found


def _read(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise RunError(f"there is no file {path}: expected the evidence of a finished run")
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise RunError(
            f"{path} is damaged, or no safetensors file ({reason}): restore it, or train again"
        ) from error


def _check(found: Evidence) -> None:
    """`ValueError` for arrays that do not go together or lead out of the classes."""
    n, c = len(found.given), found.num_classes
    width = min(c, TOP)
    shapes = {
        "given": ((n,), "i"), "p_given": ((n,), "f"), "visits": ((n,), "i"), "rows": ((n,), "i"),
        "weight_given": ((n,), "f"), "weight_top": ((n,), "f"), "posterior_given": ((n,), "f"),
        "top_classes": ((n, width), "i"), "top_probabilities": ((n, width), "f"),
        "posterior_classes": ((n, width), "i"), "posterior_probabilities": ((n, width), "f"),
        "weights_by_label": ((c, c), "f"), "count_by_label": ((c,), "f"),
    }  # fmt: skip
    for name, (shape, kind) in shapes.items():
        array = getattr(found, name)
        if array is not None and (array.shape != shape or array.dtype.kind != kind):
            raise ValueError(
                f"{name}: expected shape {shape}, found {array.shape} of {array.dtype}"
            )
    for name in ("given", "top_classes", "posterior_classes", "clean_true", "clean_given"):
        array = getattr(found, name)
        if array is not None and array.size and not 0 <= array.min() <= array.max() < c:
            raise ValueError(f"{name}: expected classes from 0 to {c - 1}")
    if found.rows is not None and found.rows.size and found.rows.min() < 0:
        raise ValueError("rows: expected numbers from 0")
    for name in ("p_given", "top_probabilities", "posterior_given", "posterior_probabilities"):
        array = getattr(found, name)
        if array is not None and not (array >= -1e-4).all() & (array <= 1 + 1e-4).all():
            raise ValueError(f"{name}: expected probabilities")
