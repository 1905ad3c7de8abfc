"""Which rows to verify, by strategy, with the probability that each one was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gdw.errors import ConfigError, nearest
from gdw.files.representation import ShortRepr
from gdw.seeding import generator
from gdw.suggestion.opinions import Opinions
from gdw.suggestion.quotas import quotas

Strategy = Literal["random", "balanced", "doubtful", "mixed"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Choice(ShortRepr):
    """The R rows to verify, in order. After any of them, the rows before it are balanced as well.

    Attributes:
        positions: int64 `(R,)`.
        probabilities: float64 `(R,)`, how likely each row was to be chosen; NaN where nothing was drawn. The
            rows with a probability are by themselves a random sample of the data.
        reasons: why each one was chosen: "random", "balanced", "doubtful" or "certificate".
    """

    positions: Positions
    probabilities: NDArray[np.float64]
    reasons: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.positions)


def choose(
    opinions: Opinions,
    n: int,
    strategy: Strategy = "mixed",
    *,
    taken: NDArray[np.bool_] | None = None,
    counted: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Choice:
    """Choose rows to verify.

    `random`: every row is equally likely. `balanced`: equally many of each likely class, drawn within it.
    `doubtful`: the labels in most doubt first. `mixed`: half of them `balanced`; the other half are those in
    most doubt of each likely class, equally many of each.

    Args:
        opinions: of N examples and C classes.
        n: the number of rows. If there are fewer, all are chosen.
        strategy: one of `STRATEGIES`.
        taken: bool `(N,)`, the rows that are not to be chosen.
        counted: int64 `(C,)`, how many rows of each class are verified already. Classes with few of them
            get more.
        seed: of the draw.
    """
    free = np.ones(len(opinions), dtype=bool) if taken is None else ~taken
    rows, rng = np.flatnonzero(free), generator(seed, "suggest", strategy)
    n = min(n, len(rows))
    if counted is None:
        counted = np.zeros(opinions.num_classes, dtype=np.int64)
    if strategy == "random":
        drawn = rng.choice(rows, n, replace=False)
        return Choice(drawn, np.full(n, n / max(1, len(rows))), ("random",) * n)
    rows = rng.permutation(rows)  # equal doubts are ordered at random
    if strategy == "doubtful":
        order = np.argsort(-opinions.doubt[rows], kind="stable")
        return _doubtful(rows[order[:n]])
    strata = opinions.strata
    half = n if strategy == "balanced" else n - n // 2
    balanced, quota = _balanced(rows, strata, half, counted, rng)
    if strategy == "balanced":
        return balanced
    rest = rows[~np.isin(rows, balanced.positions)]
    rest = rest[np.argsort(-opinions.doubt[rest], kind="stable")]
    shares = quotas(n - half, _count(strata[rest], len(counted)), counted + quota).drawn(rng)
    return _alternating(balanced, _doubtful(_first(rest, strata, shares, rng)))


def chosen(
    opinions: Opinions,
    n: int,
    strategy: str,
    *,
    taken: NDArray[np.bool_] | None = None,
    counted: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Choice:
    """As `choose`, with the options of a user.

    Raises:
        ConfigError: an unknown strategy, less than one row, or a seed that is no whole number from 0.
    """
    named = require_options(n, strategy, seed)
    return choose(opinions, int(n), named, taken=taken, counted=counted, seed=int(seed))


def require_options(n: Any, strategy: str, seed: Any) -> Strategy:
    """Check the options of `chosen`, before long work, and return the strategy."""
    for name, value, least in (("n", n, 1), ("random_state", seed, 0)):
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or value < least:
            raise ConfigError(
                f"{name}: expected a whole number of {least} or more, found {value!r}"
            )
    return strategy_named(strategy)


def strategy_named(name: str) -> Strategy:
    """The strategy of this name; `ConfigError` if there is none."""
    for strategy in STRATEGIES:
        if name == strategy:
            return strategy
    raise ConfigError(
        f"unknown strategy {name!r}: expected one of {', '.join(STRATEGIES)}."
        f"{nearest(str(name), STRATEGIES)}"
    )


def _balanced(
    rows: Positions,
    strata: NDArray[np.int64],
    n: int,
    counted: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[Choice, NDArray[np.int64]]:
    """Equally many rows of each class, and how many of each class."""
    available = _count(strata[rows], len(counted))
    shares = quotas(n, available, counted)
    quota = shares.drawn(rng)
    drawn = _first(rows, strata, quota, rng)
    likelihood = shares.expected / np.maximum(available, 1)
    return Choice(drawn, likelihood[strata[drawn]], ("balanced",) * len(drawn)), quota


def _first(
    rows: Positions, strata: NDArray[np.int64], quota: NDArray[np.int64], rng: np.random.Generator
) -> Positions:
    """The first `quota` `(C,)` of `rows` of each class, one of each class after the other."""
    order = np.argsort(strata[rows], kind="stable")
    classes = strata[rows][order]
    rank = np.arange(len(rows)) - np.searchsorted(classes, classes)
    chosen = np.flatnonzero(rank < quota[classes])
    # The classes come in another order in each round.
    turn = np.lexsort((rng.random(len(chosen)), rank[chosen]))
    first: Positions = rows[order[chosen[turn]]]
    return first


def _doubtful(positions: Positions) -> Choice:
    count = len(positions)
    return Choice(positions, np.full(count, np.nan), ("doubtful",) * count)


def _alternating(one: Choice, other: Choice) -> Choice:
    """The rows of both in turn."""
    turn = np.argsort(np.concatenate([np.arange(len(one)), np.arange(len(other)) + 0.5]))
    reasons = one.reasons + other.reasons
    return Choice(
        np.concatenate([one.positions, other.positions])[turn],
        np.concatenate([one.probabilities, other.probabilities])[turn],
        tuple(reasons[i] for i in turn),
    )


def _count(strata: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    return np.bincount(strata, minlength=num_classes)
