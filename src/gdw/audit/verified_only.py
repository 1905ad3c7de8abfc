"""What models did on the clean examples that somebody has verified, without those that stand in for some."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gdw.audit.evidence import Evidence, Ints

MOST_WITHOUT = 0.1
"""If classes without a verified example have more of the labels, the others do not speak for all."""


def of_verified(evidence: Evidence, verified: Ints, stand_ins: Ints) -> Evidence:
    """The evidence without the `clean_check` of examples that nobody has verified.

    Args:
        evidence: of a training whose clean examples were the verified ones and then the others.
        verified: int64 `(V,)`, the labels of the verified examples.
        stand_ins: int64 `(S,)`, the labels of the others.

    Returns:
        The same; without a `clean_check` if it would be of too few classes.
    """
    if evidence.clean_check is None:
        return evidence
    classes = evidence.num_classes
    of_verified = np.bincount(verified, minlength=classes)
    if float(np.mean(of_verified[evidence.given] == 0)) > MOST_WITHOUT:
        return replace(evidence, clean_check=None, clean_agreement=None)
    check = evidence.clean_check[: len(verified)].copy()
    # Each class has the same weight as before.
    of_all = of_verified + np.bincount(stand_ins, minlength=classes)
    check[:, 0] *= of_all[verified] / of_verified[verified]
    check[:, 0] /= check[:, 0].mean()
    return replace(evidence, clean_check=check)
