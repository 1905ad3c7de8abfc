"""The steps that are timed, by name: each turns a workload into a function that takes one whole step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gdw.bench import other_packages
from gdw.bench.language_model import LanguageModel
from gdw.bench.workloads import Workload, sgd
from gdw.reweight import build

Step = Callable[[], None]
MakeStep = Callable[[Workload], Step]


@dataclass(frozen=True)
class Contestant:
    """A step that is timed.

    Attributes:
        title: its name in tables.
        make_step: builds the model of a workload and returns the function that takes a step.
        steps_per_call: how many steps one call takes. A method whose steps differ in cost takes one round
            of them.
        only_images: whether it takes part only where the inputs are images.
    """

    title: str
    make_step: MakeStep
    steps_per_call: int = 1
    only_images: bool = False


def plain_step(workload: Workload) -> Step:
    """Forward pass, `loss.backward()` and SGD on NCHW images: the base of all ratios."""
    model = workload.build()
    optimizer = sgd(model)
    batch, _ = workload.batches()

    def step() -> None:
        optimizer.zero_grad()
        workload.loss(model, batch).backward()
        optimizer.step()

    return step


def plain_step_channels_last(workload: Workload) -> Step:
    """The plain step with channels-last model and images, a format that gdw's own steps choose on a CPU."""
    return plain_step(replace(workload, channels_last=True))


def _gdw_package(
    title: str,
    method: str,
    *,
    meta_share: float = 1.0,
    channels_last: bool | None = None,
    **options: Any,
) -> Contestant:
    """The step of a method of this package; the meta batch is `meta_share` times the training batch."""
    rounds = ("meta_every", "meta_features_every", "meta_gradient_every")
    steps_per_call = max(options.get(name, 1) for name in rounds)

    def make_step(workload: Workload) -> Step:
        model = workload.build()
        optimizer = sgd(model)
        reweighter = build(method, model, optimizer, **workload.options, **options)
        reweighter.channels_last = channels_last
        batch, (u, v) = workload.batches()
        size = max(1, round(meta_share * len(v)))
        meta = u[:size], v[:size]

        def step() -> None:
            for _ in range(steps_per_call):
                optimizer.zero_grad()
                reweighter.backward(batch, meta)
                optimizer.step()

        return step

    return Contestant(title, make_step, steps_per_call, only_images=channels_last is False)


CONTESTANTS: dict[str, Contestant] = {
    "plain": Contestant("plain SGD", plain_step),
    "plain, channels-last": Contestant(
        "plain SGD, channels-last", plain_step_channels_last, only_images=True
    ),
    "gdw": _gdw_package("GDW", "gdw"),
    "gdw, images as they come": _gdw_package("GDW, NCHW images", "gdw", channels_last=False),
    "gdw, graph kept": _gdw_package("GDW, `retain_graph`", "gdw", retain_graph=True),
    "gdw, half the meta batch": _gdw_package("GDW, half the meta batch", "gdw", meta_share=0.5),
    "gdw, forward mode": _gdw_package("GDW, forward mode", "gdw", hypergradient="forward"),
    "gdw, head only": _gdw_package("GDW, head only", "gdw", hypergradient="head"),
    "gdw, head only, images as they come": _gdw_package(
        "GDW, head only, NCHW images", "gdw", hypergradient="head", channels_last=False
    ),
    "gdw, head only, features for 2 steps": _gdw_package(
        "GDW, head only, meta features kept for 2 steps",
        "gdw",
        hypergradient="head",
        meta_features_every=2,
    ),
    "gdw, gradient for 4 steps": _gdw_package(
        "GDW, meta gradient kept for 4 steps", "gdw", meta_gradient_every=4
    ),
    "gdw, every 5th step": _gdw_package("GDW, every 5th step", "gdw", meta_every=5),
    "mwn": _gdw_package("Meta-Weight-Net", "mwn"),
    "l2rw": _gdw_package("L2RW", "l2rw"),
    "gdw, double backward": Contestant(
        "GDW, double backward (research code)", other_packages.double_backward
    ),
    "mwn by higher": Contestant("Meta-Weight-Net, package higher", other_packages.higher_step),
    "mwn by torchopt": Contestant(
        "Meta-Weight-Net, package torchopt", other_packages.torchopt_step
    ),
    "mwn by betty-ml": Contestant("Meta-Weight-Net, package betty-ml", other_packages.betty_step),
    "mwn by betty-ml, sama": Contestant(
        "Meta-Weight-Net, package betty-ml, SAMA",
        lambda workload: other_packages.betty_step(workload, "sama"),
    ),
}

_COMPILED = ("plain", "gdw", "gdw, head only")
_MAIN = (
    *_COMPILED,
    "gdw, half the meta batch",
    "gdw, head only, features for 2 steps",
    "gdw, double backward",
)
_LANGUAGE = ("plain", "gdw", "gdw, half the meta batch", "gdw, head only", "mwn", "l2rw")


def contestants_of(workload: Workload) -> list[str]:
    """The names of the contestants on `workload`: all for the default form of a model, else the main ones.

    With `torch.compile` there are three: it takes minutes for each, and the other packages cannot use it. On
    a language model there are the methods of this package.
    """
    if isinstance(workload, LanguageModel):
        return list(_LANGUAGE)
    if workload.compiled:
        return list(_COMPILED)
    if workload == Workload(workload.model):
        return [
            name
            for name, contestant in CONTESTANTS.items()
            if workload.has_images or not contestant.only_images
        ]
    return list(_MAIN)
