"""Evidence made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.audit import Evidence
from gdw.audit.evidence import TOP


def evidence(p: Any, given: Any, *, q: Any = None, **more: Any) -> Evidence:
    """Of mean probabilities `p` `(N, C)`, given labels, and a label posterior `q` `(N, C)`."""
    p, given = np.asarray(p, dtype=np.float32), np.asarray(given, dtype=np.int64)
    n, c = p.shape
    if q is not None:
        q = np.asarray(q, dtype=np.float32)
        more["posterior_classes"], more["posterior_probabilities"] = top(q)
        more["posterior_given"] = q[np.arange(n), given]
    classes, probabilities = top(p)
    ones = np.ones(n, dtype=np.float32)
    return Evidence(
        num_classes=c,
        given=given,
        p_given=p[np.arange(n), given],
        top_classes=classes,
        top_probabilities=probabilities,
        weight_given=0.25 * ones,
        weight_top=ones,
        visits=np.full(n, 3, dtype=np.int32),
        **more,
    )


def top(p: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    order = np.argsort(-p, axis=1, kind="stable")[:, :TOP]
    return order.astype(np.int32), np.take_along_axis(p, order, 1)


def drawn(n: int, c: int, *, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Probabilities `(n, c)` and labels."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(c, 0.3), n).astype(np.float32), rng.integers(0, c, n)
