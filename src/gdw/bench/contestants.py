"""The steps that are timed: from a workload to a function that takes one whole step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch.nn.functional as F

from gdw.bench import peers
from gdw.bench.workloads import Workload, sgd
from gdw.reweight import build

Step = Callable[[], None]
Contestant = Callable[[Workload], Step]


def plain(workload: Workload) -> Step:
    """Forward, `loss.backward()`, SGD, images as they come: what everything else is compared with."""
    model = workload.build()
    optimizer = sgd(model)
    (x, y), _ = workload.batches()

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(workload.forward(model, x).float(), y).backward()
        optimizer.step()

    return step


def plain_channels_last(workload: Workload) -> Step:
    """The same with model and images channels-last: what our steps do to images by themselves."""
    return plain(replace(workload, channels_last=True))


def _ours(
    method: str, *, meta_share: float = 1.0, channels_last: bool | None = None, **options: Any
) -> Contestant:
    """`meta_share`: how large the meta batch is beside the training batch."""

    def contestant(workload: Workload) -> Step:
        model = workload.build()
        optimizer = sgd(model)
        reweighter = build(method, model, optimizer, forward=workload.forward, **options)
        reweighter.channels_last = channels_last
        batch, (u, v) = workload.batches()
        size = max(1, round(meta_share * len(v)))
        meta = u[:size], v[:size]
        steps = max(options.get(name, 1) for name in ("meta_every", "meta_features_every"))

        def step() -> None:
            for _ in range(steps):
                optimizer.zero_grad()
                reweighter.backward(batch, meta)
                optimizer.step()

        return step

    return contestant


STEPS_PER_CALL = {"gdw, every 5th step": 5, "gdw, head only, features for 2 steps": 2}
"""How many steps one call takes, where it is not one: a fair share of those that cost more."""


CONTESTANTS: dict[str, Contestant] = {
    "plain": plain,
    "plain, channels-last": plain_channels_last,
    "gdw": _ours("gdw"),
    "gdw, images as they come": _ours("gdw", channels_last=False),
    "gdw, graph kept": _ours("gdw", retain_graph=True),
    "gdw, half the meta batch": _ours("gdw", meta_share=0.5),
    "gdw, forward mode": _ours("gdw", hypergradient="forward"),
    "gdw, head only": _ours("gdw", hypergradient="head"),
    "gdw, head only, images as they come": _ours("gdw", hypergradient="head", channels_last=False),
    "gdw, head only, features for 2 steps": _ours(
        "gdw", hypergradient="head", meta_features_every=2
    ),
    "gdw, every 5th step": _ours("gdw", meta_every=5),
    "mwn": _ours("mwn"),
    "l2rw": _ours("l2rw"),
    "gdw, double backward": peers.double_backward,
    "mwn by higher": peers.by_higher,
    "mwn by torchopt": peers.by_torchopt,
    "mwn by betty-ml": peers.by_betty,
}

_OF_IMAGES = (
    "plain, channels-last",
    "gdw, images as they come",
    "gdw, head only, images as they come",
)
_COMPILED = ("plain", "gdw", "gdw, head only")
_VARIANT = (
    *_COMPILED,
    "gdw, half the meta batch",
    "gdw, head only, features for 2 steps",
    "gdw, double backward",
)


def contestants_of(workload: Workload) -> list[str]:
    """Who takes part: all on the plain form of a model, the main ones on its variants.

    With `torch.compile`, which takes minutes for each and which the peers cannot do, three.
    """
    if workload.compiled:
        return list(_COMPILED)
    if workload == Workload(workload.model):
        return [n for n in CONTESTANTS if workload.has_images or n not in _OF_IMAGES]
    return list(_VARIANT)
