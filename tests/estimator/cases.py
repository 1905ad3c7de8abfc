"""Small data with a pattern to learn, in every form that the estimator takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from gdw import GDWClassifier

N = 90
LABELS = np.array(["no", "yes"])


def quick(**options: Any) -> GDWClassifier:
    """A classifier that is done in a moment: plain training, unless told otherwise."""
    defaults = {"method": "plain", "epochs": 8, "batch_size": 16, "lr": 0.01, "random_state": 0}
    return GDWClassifier(**{**defaults, **options})


def codes(n: int = N) -> np.ndarray:
    return np.arange(n) % 2


def labels(n: int = N) -> np.ndarray:
    return LABELS[codes(n)]


def numbers(n: int = N, *, seed: int = 0) -> np.ndarray:
    """`(n, 4)`, the first column tells the class."""
    X = np.random.default_rng(seed).normal(size=(n, 4))
    X[:, 0] += 6 * codes(n)
    return X


def gaps(n: int = N) -> np.ndarray:
    X = numbers(n)
    X[::7, 1] = np.nan
    return X


def sparse(n: int = N) -> csr_matrix:
    X = np.random.default_rng(0).random((n, 30)) * (np.random.default_rng(1).random((n, 30)) < 0.1)
    X[np.arange(n), codes(n)] = 1.0
    return csr_matrix(X)


def frame(n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    colour = np.array(["red", "blue"], dtype=object)[codes(n)]
    colour[::11] = None
    return pd.DataFrame(
        {
            "age": np.where(rng.random(n) < 0.1, np.nan, rng.normal(40, 9, n)),
            "colour": colour,
            "size": pd.Categorical(rng.choice(["S", "M"], n)),
            "seen": pd.date_range("2024-01-01", periods=n, freq="h")[np.arange(n) // 2],
            "member": rng.random(n) < 0.5,
        }
    )


def texts(n: int = N) -> list[str]:
    rng = np.random.default_rng(0)
    words = [["bad", "poor", "awful"], ["good", "fine", "great"]]
    return [f"a {words[k][rng.integers(3)]} film {rng.integers(9)}" for k in codes(n)]


def images(n: int = N) -> np.ndarray:
    X = np.random.default_rng(0).integers(0, 80, (n, 8, 8, 3), dtype=np.uint8)
    X[codes(n) == 1, :4] += 150
    return X


FORMS = {
    "numbers": numbers,
    "float32": lambda: numbers().astype(np.float32),
    "lists": lambda: numbers().tolist(),
    "gaps": gaps,
    "sparse": sparse,
    "frame": frame,
    "numeric frame": lambda: pd.DataFrame(gaps(), columns=list("abcd")),
    "names": lambda: frame()[["colour", "size"]].to_numpy(dtype=object),
    "texts": texts,
    "series of texts": lambda: pd.Series(texts()),
    "images": images,
}
