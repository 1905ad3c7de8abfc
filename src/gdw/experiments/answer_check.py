"""Whether a method holds the clean examples themselves in doubt, where some of the answers are wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gdw.train.monitoring import Callback, TrainingView


class AnswerCheck(Callback):
    """Reads how a method judges the answers of a person before its first step.

    An answer is in doubt if an audit would replace it, were it the label in the data, by models that were
    trained without it: `doubted` of `gdw.reweight.preparation.CleanCheck`.

    Args:
        wrong: bool `(M,)`, whether each of the first M clean examples has a wrong label.

    Attributes:
        figures: the shares of the wrong and of the right answers that are in doubt; None where there are no
            such answers, or the method does not check them.
    """

    def __init__(self, wrong: NDArray[np.bool_]) -> None:
        self._wrong = wrong
        self.figures: dict[str, float | None] = {
            "wrong_answers_doubted": None,
            "right_answers_doubted": None,
        }

    def on_start(self, training: TrainingView) -> None:
        check = training.clean_check()
        if check is None:
            return
        doubted = check.doubted[: len(self._wrong)].numpy()
        for name, rows in zip(self.figures, (self._wrong, ~self._wrong), strict=True):
            self.figures[name] = float(doubted[rows].mean()) if rows.any() else None
