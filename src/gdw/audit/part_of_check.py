"""What models did on some of the clean examples: those that show how often labels are wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence, Ints

MOST_WITHOUT = 0.1
"""If classes without such an example have more of the labels, the others do not speak for all."""


def checked_on(evidence: Evidence, labels: Ints, kept: NDArray[np.bool_]) -> Evidence:
    """The evidence whose `clean_check` is of some clean examples; those of each class keep their weight.

    Args:
        evidence: of a training.
        labels: int64 `(M,)`, the labels of its clean examples.
        kept: `(M,)`, the examples that somebody has verified, or that were drawn at random.

    Returns:
        The same; without a `clean_check` if it would be of too few classes.
    """
    if evidence.clean_check is None or kept.all():
        return evidence
    of_all, of_kept = (
        np.bincount(part, minlength=evidence.num_classes) for part in (labels, labels[kept])
    )
    if float(np.mean(of_kept[evidence.given] == 0)) > MOST_WITHOUT:
        return replace(evidence, clean_check=None, clean_agreement=None)
    check, some = evidence.clean_check[kept].copy(), labels[kept]
    check[:, 0] *= of_all[some] / of_kept[some]
    check[:, 0] /= check[:, 0].mean()
    return replace(evidence, clean_check=check)
