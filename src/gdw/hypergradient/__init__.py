"""The hypergradient `G = ∂L_meta/∂ω` of class-level weights through one virtual SGD step, three ways.

`reference` differentiates the meta loss twice (slow, obviously correct); `forward` and
`finite_difference` use `G_ij = −(1/n) D1_ij u_ij` with `u = J_z (η ⊙ ∇L(θ̂))`, so they need no graph of
a graph. See `docs/method.md`.
"""

from gdw.hypergradient.collective import Collective
from gdw.hypergradient.engines import ENGINES, Engine, Hypergradient, resolve_engine
from gdw.hypergradient.problem import Problem, TrainingPass, default_forward
from gdw.hypergradient.stillness import RandomState, moved, still_buffers

__all__ = [
    "ENGINES",
    "Collective",
    "Engine",
    "Hypergradient",
    "Problem",
    "RandomState",
    "TrainingPass",
    "default_forward",
    "moved",
    "resolve_engine",
    "still_buffers",
]
