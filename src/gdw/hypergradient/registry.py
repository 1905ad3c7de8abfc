"""The engines by the names that the option `hypergradient` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from gdw.hypergradient.engines import Engine, Hypergradient, finite_difference
from gdw.hypergradient.exact import forward_mode, reference
from gdw.hypergradient.head_only import head_only
from gdw.hypergradient.inputs import Batch

if TYPE_CHECKING:
    from gdw.hypergradient.problem import Problem
    from gdw.hypergradient.training_pass import TrainingPass

HEAD = "head"


def automatic(
    problem: Problem, training_pass: TrainingPass, weights: Tensor | None, meta_batch: Batch
) -> Hypergradient:
    """An MLP in closed form, any other model by `finite_difference`. Arguments: see `Engine`."""
    if training_pass.chain is None:
        return finite_difference(problem, training_pass, weights, meta_batch)
    from gdw.hypergradient.closed_form import closed_form

    return closed_form(problem, training_pass, weights, meta_batch)


ENGINES: dict[str, Engine] = {
    "auto": automatic,
    "finite_difference": finite_difference,
    "forward": forward_mode,
    "reference": reference,
    HEAD: head_only,
}
