"""The engines by the names that the option `hypergradient` takes."""

from __future__ import annotations

from gdw.hypergradient.engines import Engine, finite_difference
from gdw.hypergradient.exact import forward_mode, reference
from gdw.hypergradient.head_only import head_only

HEAD = "head"

ENGINES: dict[str, Engine] = {
    "finite_difference": finite_difference,
    "forward": forward_mode,
    "reference": reference,
    HEAD: head_only,
}
