"""The hypergradient `G = ∂L_meta/∂ω` of class-level weights through one virtual SGD step, by four engines.

`reference` differentiates the meta loss twice: slow, but plain autograd. `forward` and `finite_difference`
use `G_ij = −(1/n) D1_ij u_ij` with `u = J_z (η ⊙ ∇L(θ̂))`, so they need no graph of a graph. `head` restricts
everything to the last part of the model. `docs/method.md` explains them.
"""

from gdw.hypergradient.collective import Collective
from gdw.hypergradient.engines import Engine, Hypergradient
from gdw.hypergradient.inputs import default_forward
from gdw.hypergradient.preserve import MovableParameters, preserved_buffers
from gdw.hypergradient.problem import Problem
from gdw.hypergradient.random_state import RandomState
from gdw.hypergradient.registry import ENGINES, HEAD
from gdw.hypergradient.training_pass import TrainingPass

__all__ = [
    "ENGINES",
    "HEAD",
    "Collective",
    "Engine",
    "Hypergradient",
    "MovableParameters",
    "Problem",
    "RandomState",
    "TrainingPass",
    "default_forward",
    "preserved_buffers",
]
