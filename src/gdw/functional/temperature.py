"""Temperature scaling: how sure a model may be, learned from predictions with known labels.

Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (arXiv 1706.04599), section 4.2.
"""

from __future__ import annotations

from torch import Tensor

_SHARPEST, _FLATTEST = 0.05, 20.0


def fit_temperature(probabilities: Tensor, targets: Tensor) -> float:
    """The temperature, from 0.05 to 20, under which the targets are most likely.

    Args:
        probabilities: `(N, C)`, predictions for examples that the model was not trained on.
        targets: `(N, C)`, their class probabilities (one-hot for class labels).
    """
    log_p, q = _log(probabilities), targets.double()

    def slope(sharpness: float) -> float:
        expected = (log_p * (sharpness * log_p).softmax(1)).sum(1)
        return float((q.sum(1) * expected - (q * log_p).sum(1)).sum())

    # The loss is convex in one over the temperature: its slope changes sign once.
    low, high = 1 / _FLATTEST, 1 / _SHARPEST
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return 2 / (low + high)


def apply_temperature(probabilities: Tensor, temperature: float) -> Tensor:
    """`softmax(log p / temperature)`, `(N, C)` float64."""
    return (_log(probabilities) / temperature).softmax(1)


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.double().clamp(min=1e-12).log()
