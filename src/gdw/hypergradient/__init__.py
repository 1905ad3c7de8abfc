"""The hypergradient `G = ∂L_meta/∂ω` of class-level weights through one virtual SGD step, four ways.

`reference` differentiates the meta loss twice (slow, obviously correct); `forward` and
`finite_difference` use `G_ij = −(1/n) D1_ij u_ij` with `u = J_z (η ⊙ ∇L(θ̂))`, so they need no graph of
a graph; `head` restricts all to the last part of the model. See `docs/method.md`.
"""

from gdw.hypergradient.batch import default_forward
from gdw.hypergradient.collective import Collective
from gdw.hypergradient.engines import Engine, Hypergradient
from gdw.hypergradient.problem import Problem
from gdw.hypergradient.registry import ENGINES, HEAD, resolve_engine
from gdw.hypergradient.stillness import Point, RandomState, still_buffers
from gdw.hypergradient.training_pass import TrainingPass

__all__ = [
    "ENGINES",
    "HEAD",
    "Collective",
    "Engine",
    "Hypergradient",
    "Point",
    "Problem",
    "RandomState",
    "TrainingPass",
    "default_forward",
    "resolve_engine",
    "still_buffers",
]
