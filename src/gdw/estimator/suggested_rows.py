"""`GDWClassifier.suggest`: which rows to verify, by what a fit has learned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.audit import Evidence
from gdw.suggestion.strategies import chosen


class SuggestedRows:
    """The method `suggest` of a fitted estimator.

    Attributes:
        _learned: what training recorded, and how many clean examples of each class were verified, `(C,)`.
    """

    _learned: tuple[Evidence, NDArray[np.int64]]

    def suggest(
        self, n: int = 200, strategy: str = "mixed", *, random_state: int = 0
    ) -> NDArray[np.int64]:
        """Suggest rows whose labels to verify next. Those of `trusted` are counted, and not suggested.

        Parameters
        ----------
        n : int, default=200
            The number of rows. If fewer are left, all of them.
        strategy : {"mixed", "balanced", "doubtful", "random"}, default="mixed"
            See `gdw.suggest`.
        random_state : int, default=0
            Seeds the draw.

        Returns
        -------
        ndarray of shape (n,)
            Rows of the `X` of `fit`, int64, in the order in which to verify.

        Raises
        ------
        NotFittedError
            `fit` was not called.
        ValueError
            `n` or `strategy` cannot be used.
        """
        from sklearn.utils.validation import check_is_fitted

        from gdw.suggestion.of_evidence import opinions_of

        check_is_fitted(self)
        evidence, counted = self._learned
        opinions: Any = opinions_of(evidence)
        choice = chosen(opinions, n, strategy, counted=counted, seed=random_state)
        return evidence.numbers[choice.positions]
