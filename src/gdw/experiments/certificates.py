"""How often certificates hold: the scores of one model, and many draws of rows to verify."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gdw.certify import (
    VerifiedSample,
    decide,
    next_rows,
    ranking,
    share_wrong,
    verified_sample,
)
from gdw.certify.bounds import effective_size
from gdw.seeding import generator
from gdw.suggestion.opinions import TOP, opinions

Floats = NDArray[np.float64]

SIZES = (30, 100, 300)
_CHOSEN = 100
_PART = 0.5
_QUANTILE = 1.959964
DECISIONS = ("drop", "relabel")


@dataclass(frozen=True, eq=False)
class Scores:
    """What a model says of N labels, and what is true of them.

    Attributes:
        doubt: `(N,)`, how likely each label is wrong, predicted without the label itself.
        candidates: how many of the most doubtful labels may be changed.
        wrong: bool `(N,)`, whether it is.
        suggestion_wrong: bool `(N,)`, whether the suggested label is wrong.
    """

    doubt: Floats
    candidates: int
    wrong: NDArray[np.bool_]
    suggestion_wrong: NDArray[np.bool_]


def scores_of(given: NDArray[np.int64], true: NDArray[np.int64], left_out: Floats) -> Scores:
    """The scores of N labels.

    Args:
        given: int64 `(N,)`, the labels.
        true: int64 `(N,)`, the true ones.
        left_out: class probabilities `(N, C)`, each row by a model that did not learn from its label.
    """
    rows, count = np.arange(len(given)), left_out.shape[1]
    top = np.argsort(-left_out, axis=1, kind="stable")[:, : min(TOP, count)]
    found = opinions(given, count, top, np.take_along_axis(left_out, top, 1), left_out[rows, given])
    changed = found.likely != given
    # Rows whose suggestion is their label are not changed, so they come last.
    doubt = (found.wrong.astype(np.float64) + changed) / 2
    return Scores(doubt, int(changed.sum()), true != given, found.likely != true)


def certificate_figures(scores: Scores, draws: int, *, seed: int) -> dict[str, float]:
    """How often the statements of `gdw.certify` hold, over draws of rows to verify.

    Args:
        scores: of N labels, of which some are wrong.
        draws: how many times rows are drawn, for each number of rows.
        seed: of the draws.

    Returns:
        For each number m of `SIZES` that is at most N / 2: `coverage_m`, how often the 95 % interval of the
        share of wrong labels from m random rows contains it; `width_m`, its mean width divided by that of
        Wilson's interval; `drop_m_failed` and `relabel_m_failed`, how often a decision misses its target,
        half of the share of wrong labels; `drop_m_found` and `relabel_m_found`, how often there is one.
        `coverage_chosen` and `width_chosen` are those of 50 random rows and 50 that `next_rows` draws then.
    """
    figures: dict[str, float] = {}
    for m in SIZES:
        if 2 * m > len(scores.doubt):
            continue
        samples = [_random_rows(scores, m, seed, number) for number in range(draws)]
        figures |= _of_intervals(scores, samples, str(m), m)
        for what in DECISIONS:
            missed = [_misses(scores, sample, what) for sample in samples]
            figures[f"{what}_{m}_failed"] = float(np.mean([miss is True for miss in missed]))
            figures[f"{what}_{m}_found"] = float(np.mean([miss is not None for miss in missed]))
    if len(scores.doubt) < 2 * _CHOSEN:
        return figures
    chosen = [_chosen_rows(scores, seed, number) for number in range(draws)]
    return figures | _of_intervals(scores, chosen, "chosen", _CHOSEN)


def _random_rows(scores: Scores, m: int, seed: int, number: int) -> VerifiedSample:
    size = len(scores.wrong)
    rows = generator(seed, "certificates", m, number).choice(size, m, replace=False)
    return verified_sample(size, rows, scores.wrong[rows])


def _chosen_rows(scores: Scores, seed: int, number: int) -> VerifiedSample:
    """Half of the rows at random, and the other half as `next_rows` draws after a look at them."""
    half = _CHOSEN // 2
    first = _random_rows(scores, half, seed, number)
    second = next_rows(scores.doubt, half, verified=first, seed=number)
    rows = np.concatenate([first.rows, second.rows])
    probability = np.concatenate([first.probability, second.probability])
    return verified_sample(
        first.size, rows, scores.wrong[rows], probability, batch=np.repeat([0, 1], half)
    )


def _of_intervals(
    scores: Scores, samples: list[VerifiedSample], name: str, m: int
) -> dict[str, float]:
    truth = scores.wrong.mean()
    shares = [share_wrong(sample, scores.doubt) for sample in samples]
    width = np.mean([share.high - share.low for share in shares])
    return {
        f"coverage_{name}": float(np.mean([s.low <= truth <= s.high for s in shares])),
        f"width_{name}": float(width) / _wilson_width(scores.wrong, m),
    }


def _wilson_width(wrong: NDArray[np.bool_], m: int) -> float:
    """The mean width of Wilson's 95 % interval (1927) from m random rows, with the correction for N rows."""
    from scipy.stats import hypergeom

    x = np.arange(m + 1)
    n, p, z = effective_size(m, len(wrong)), x / m, _QUANTILE
    width = 2 * z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return float(hypergeom.pmf(x, len(wrong), int(wrong.sum()), m) @ width)


def _misses(scores: Scores, sample: VerifiedSample, what: str) -> bool | None:
    """Whether a decision misses its target; None if there is no decision."""
    order = np.argsort(-scores.doubt, kind="stable")
    ranked = ranking(
        sample,
        scores.doubt,
        suggestion_wrong=scores.suggestion_wrong[sample.rows],
        candidates=scores.candidates,
    )
    target = _PART * float(scores.wrong.mean())
    k = decide(ranked, what, target=target).rows
    if k is None:
        return None
    rest = scores.wrong[order[k:]]
    if what == "drop":
        return bool(rest.mean() > target)
    return bool(rest.sum() + scores.suggestion_wrong[order[:k]].sum() > target * len(order))
