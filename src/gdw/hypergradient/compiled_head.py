"""The head of a compiled model: what it receives is recorded by a hook that is compiled with the model.

Compiled code calls the hooks that were there when it was compiled, and no others. So the hook is registered
once. It only keeps tensors that are computed anyway, and breaks no graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gdw.errors import ModelError
from gdw.hypergradient.head import Captured
from gdw.hypergradient.inputs import map_tensors


class Recorder:
    """Holds what a module received and returned in its last pass, detached.

    Args:
        module: a part of a model that is compiled.

    Attributes:
        remove: takes the hook away.
    """

    def __init__(self, module: nn.Module) -> None:
        self._inputs: tuple[Any, ...] | None = None
        self._output: Any = None
        self.remove: Callable[[], None] = module.register_forward_hook(self._record).remove

    def _record(self, _: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self._inputs = map_tensors(inputs, Tensor.detach)
        self._output = map_tensors(output, Tensor.detach)

    def compile(self, run: Callable[[], Any]) -> None:
        """Call `run`, a pass of the model. The next pass compiles the model anew if it had no hook yet."""
        self._inputs = None
        run()
        if self._inputs is None:
            torch.compiler.reset()

    @contextmanager
    def recording(self, name: str) -> Iterator[Captured]:
        """Inside, one pass of the model fills the yielded record.

        Raises:
            ModelError: on exit, if the pass did not call the module `name`.
        """
        captured, self._inputs = Captured(), None
        yield captured
        if self._inputs is None:
            raise ModelError(
                f"the compiled model did not call its head {name!r}: name another module with head=, or use "
                "hypergradient='finite_difference'"
            )
        captured.inputs, captured.output = self._inputs, self._output
        self._inputs = self._output = None


def is_compiled_with(model: nn.Module, module: nn.Module) -> bool:
    """Whether `module` belongs to a part of the model that is compiled."""
    parts = (m for m in model.modules() if hasattr(m, "_orig_mod") or m._compiled_call_impl)
    return any(module is inner for part in parts for inner in part.modules())
