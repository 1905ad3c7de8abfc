"""Logistic regression on features that treats all given labels as right."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from gdw.experiments.contenders import Contender, Features, Fitted, Labels, Probabilities
from gdw.options import Count, Number, Whole

_Strength = Annotated[Number, Field(gt=0, allow_inf_nan=False)]


class NIERM(Contender):
    """Noise-ignorant empirical risk minimisation (Zhu et al., NeurIPS 2024, arXiv 2411.00079).

    The weights W and biases of a logistic regression minimise `½ ‖W‖² + C Σ_i −log p(y_i|x_i)` over the
    given labels. C is the one of `strengths` whose regressions predict the given labels of the folds left out
    best. Then the regression is fitted to all examples.
    """

    folds: Annotated[Whole, Field(ge=2)] = Field(3, description="Number of folds.")
    strengths: tuple[_Strength, ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1), min_length=1, description="The values of C to choose from."
    )
    max_steps: Count = Field(100, description="Largest number of steps of L-BFGS.")

    def fit(self, X: Features, y: Labels, *, num_classes: int, seed: int) -> Fitted:
        import torch

        from gdw.reweight.preparation import all_but, stratified_folds

        # From the strongest penalty on, because each regression starts from the one before.
        strengths = sorted(self.strengths)
        left_out = np.zeros((len(strengths), len(y), num_classes))
        for part in stratified_folds(torch.from_numpy(y), self.folds, seed=seed):
            inside = all_but(part, len(y)).numpy()
            regressions = self._regressions(X[inside], y[inside], strengths, num_classes)
            for number, predict in enumerate(regressions):
                left_out[number, part] = predict(X[part])
        best = int((left_out.argmax(2) == y).mean(1).argmax())
        (predict,) = self._regressions(X, y, strengths[best : best + 1], num_classes)
        return Fitted(predict, left_out[best])

    def _regressions(
        self, X: Features, y: Labels, strengths: Sequence[float], num_classes: int
    ) -> Iterator[Callable[[Features], Probabilities]]:
        """The predictions of the regression for each of `strengths`, until the next one is asked for."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(max_iter=self.max_steps, warm_start=True)

        def predict(new: Features) -> Probabilities:
            # A class without an example in a fold has no column.
            probabilities = np.zeros((len(new), num_classes))
            probabilities[:, model.classes_] = model.predict_proba(new)
            return probabilities

        for strength in strengths:
            model.C = strength
            with warnings.catch_warnings():
                # Unless the penalty is weak, so many steps are enough.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(X, y)
            yield predict
