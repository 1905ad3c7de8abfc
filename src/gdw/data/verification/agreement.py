"""How far two annotators agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Agreement:
    """How far two annotators agree on the rows that both have labelled.

    Attributes:
        one, other: their names.
        rows: the number of rows that both have labelled.
        agree: the number of them with the same label.
        kappa: Cohen's kappa: 1 for full agreement, 0 for as much as by chance; None if all labels are the
            same one, so that chance alone agrees always.
    """

    one: str
    other: str
    rows: int
    agree: int
    kappa: float | None


def agreements(labels: Mapping[str, Mapping[int, str]]) -> list[Agreement]:
    """The agreement of each pair of annotators that have rows in common.

    >>> agreements({"ann": {0: "cat", 1: "dog", 2: "cat"}, "bob": {0: "cat", 1: "cat", 2: "cat"}})
    [Agreement(one='ann', other='bob', rows=3, agree=2, kappa=0.0)]

    Args:
        labels: for each annotator, the label of each row that he or she labelled.
    """
    found = []
    for one, other in combinations(sorted(labels), 2):
        shared = sorted(labels[one].keys() & labels[other].keys())
        if shared:
            pairs = [(labels[one][row], labels[other][row]) for row in shared]
            agree = sum(a == b for a, b in pairs)
            found.append(Agreement(one, other, len(shared), agree, kappa(pairs)))
    return found


def kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa (1960) of pairs of labels: `(p_o - p_e) / (1 - p_e)`.

    `p_o` is the share of pairs that agree, and `p_e` the share that would agree by chance, from how often
    each of both annotators uses each label.
    """
    if len({label for pair in pairs for label in pair}) == 1:
        return None
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(*zip(*pairs, strict=True)))
