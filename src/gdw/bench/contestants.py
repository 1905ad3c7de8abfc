"""The steps that are timed: from a workload to a function that takes one whole step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F

from gdw.bench import peers
from gdw.bench.workloads import Workload, sgd
from gdw.reweight import build

Step = Callable[[], None]
Contestant = Callable[[Workload], Step]


def plain(workload: Workload) -> Step:
    """Forward, `loss.backward()`, SGD: what everything else is compared with."""
    model = workload.build()
    optimizer = sgd(model)
    (x, y), _ = workload.batches()

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(workload.forward(model, x).float(), y).backward()
        optimizer.step()

    return step


def _ours(method: str, **options: Any) -> Contestant:
    def contestant(workload: Workload) -> Step:
        model = workload.build()
        optimizer = sgd(model)
        reweighter = build(method, model, optimizer, forward=workload.forward, **options)
        batch, meta = workload.batches()

        def step() -> None:
            for _ in range(options.get("meta_every", 1)):
                optimizer.zero_grad()
                reweighter.backward(batch, meta)
                optimizer.step()

        return step

    return contestant


STEPS_PER_CALL = {"gdw, every 5th step": 5}
"""How many steps one call takes, where it is not one: a fair share of those that cost more."""


CONTESTANTS: dict[str, Contestant] = {
    "plain": plain,
    "gdw": _ours("gdw"),
    "gdw, forward mode": _ours("gdw", hypergradient="forward"),
    "gdw, head only": _ours("gdw", hypergradient="head"),
    "gdw, every 5th step": _ours("gdw", meta_every=5),
    "mwn": _ours("mwn"),
    "l2rw": _ours("l2rw"),
    "gdw, double backward": peers.double_backward,
    "mwn by higher": peers.by_higher,
    "mwn by torchopt": peers.by_torchopt,
}
