"""Pure tensor functions of the method: no modules, no state, no modes, any device, any class count."""

from gdw.functional.losses import (
    IGNORE_INDEX,
    autograd_class_gradient,
    class_gradient,
    class_probabilities,
    cross_entropy,
    cross_entropy_with_gradient,
)
from gdw.functional.weights import (
    broadcast_instance_weights,
    implied_weights,
    positive_part_weights,
    second_stage_weights,
    sums_to_zero,
    weighted_backward,
    weighted_class_gradient,
    zero_mean,
)

__all__ = [
    "IGNORE_INDEX",
    "autograd_class_gradient",
    "broadcast_instance_weights",
    "class_gradient",
    "class_probabilities",
    "cross_entropy",
    "cross_entropy_with_gradient",
    "implied_weights",
    "positive_part_weights",
    "second_stage_weights",
    "sums_to_zero",
    "weighted_backward",
    "weighted_class_gradient",
    "zero_mean",
]
