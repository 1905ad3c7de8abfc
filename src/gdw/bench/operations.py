"""The operations that a step calls, and what it fetches from the device: the cost where a GPU is fast.

On a GPU a small network is limited by the host: by how many operations it calls, and by how often it waits
for a number. Both are counted here with tensors that have a shape but no data, so no GPU is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gdw.bench.contestants import Step
from gdw.bench.workloads import MODELS, Workload, sgd
from gdw.reweight import build

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain training": ("plain", {}),
    "GDW": ("gdw", {}),
    "GDW, head only": ("gdw", {"hypergradient": "head"}),
    "GDW, preset short": ("gdw", {"preset": "short"}),
    "Meta-Weight-Net": ("mwn", {}),
    "L2RW": ("l2rw", {}),
}

_aten = torch.ops.aten
_READS: dict[Any, Any] = {
    _aten._local_scalar_dense.default: 1.0,
    _aten.equal.default: True,
    _aten.is_nonzero.default: True,
}


class OperationCounter(TorchDispatchMode):
    """Counts operations; inside, tensors on the device "meta" stand for those on a GPU.

    Attributes:
        operations: the operations that were called.
        clones: those that copied a tensor to a new one.
        reads: how often Python got a number, or the CPU a tensor, from the device.
        uploads: how often the device got a tensor from the CPU, which is waited for too.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = self.clones = self.reads = self.uploads = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.operations += 1
        self.clones += func is _aten.clone.default
        kwargs = kwargs or {}
        devices = {t.device.type for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        if "meta" in devices and func in _READS:
            self.reads += 1
            return _READS[func]
        if func is _aten._to_copy.default and (target := kwargs.get("device")) is not None:
            source, target = args[0], torch.device(target)
            self.reads += source.device.type == "meta" and target.type == "cpu"
            self.uploads += source.device.type == "cpu" and target.type == "meta"
            if source.device.type == "meta" and target.type == "cpu":
                return torch.zeros(source.shape, dtype=kwargs.get("dtype") or source.dtype)
        if func is _aten.copy_.default:
            self.uploads += args[0].device.type == "meta" and args[1].device.type == "cpu"
        return func(*args, **kwargs)


def counted(step: Step) -> OperationCounter:
    """What one step does, after two that are not counted."""
    step()
    step()
    with OperationCounter() as counter:
        step()
    counts: OperationCounter = counter
    return counts


def run(*, log: Callable[[str], None]) -> list[dict[str, Any]]:
    """Count the operations of a step of each method on each model.

    Returns:
        For each model the counts of PyTorch's own forward and backward pass, then those of each method.
    """
    results = []
    for model in MODELS:
        workload = Workload(model)
        log(f"counting: {workload.describe()}")
        steps = {"PyTorch's forward and backward": _plain(workload)}
        for title, (method, options) in METHODS.items():
            steps[title] = _of_method(workload, method, options)
        counts = {title: vars(counted(step)) for title, step in steps.items()}
        names = ("operations", "clones", "reads", "uploads")
        of_steps = {title: {n: count[n] for n in names} for title, count in counts.items()}
        results.append({"model": workload.describe(), "steps": of_steps})
    return results


def table(
    results: Sequence[Mapping[str, Any]],
) -> tuple[tuple[str, ...], list[tuple[str, ...]], str]:
    """Header, rows and a note for the results of `run`."""
    rows = []
    for result in results:
        steps = result["steps"]
        base = next(iter(steps.values()))["operations"]
        for title, count in steps.items():
            ratio = f"{count['operations'] / base:.2f}"
            figures = (f"{count[name]:,}" for name in ("operations", "clones", "reads", "uploads"))
            operations, *others = figures
            rows.append((result["model"], title, operations, ratio, *others))
    note = (
        "operations: of PyTorch that one backward() calls, without the optimizer's step; ratio: to PyTorch's "
        "own forward and backward pass; clones: operations that copy a tensor to a new one; reads: numbers "
        "that Python waits for, and uploads: tensors that are copied from the CPU, both within a step"
    )
    return ("model", "step", "operations", "ratio", "clones", "reads", "uploads"), rows, note


def _batches(workload: Workload) -> list[tuple[Tensor, Tensor]]:
    return [(x.to("meta"), y.to("meta")) for x, y in workload.batches()]


def _plain(workload: Workload) -> Step:
    model, ((x, y), _) = workload.build().to("meta"), _batches(workload)

    def step() -> None:
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()

    return step


def _of_method(workload: Workload, method: str, options: Mapping[str, Any]) -> Step:
    model = workload.build().to("meta")
    reweighter = build(method, model, sgd(model), **options)
    # As in gdw.Trainer. A loop of the user's own is told the rows of a loss that is NaN, every 50 steps.
    reweighter.names_rows = False
    batch, meta = _batches(workload)

    def step() -> None:
        model.zero_grad()
        reweighter.backward(batch, meta)

    return step
