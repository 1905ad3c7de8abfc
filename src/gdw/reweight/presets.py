"""Named settings of GDW."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gdw.errors import ConfigError, nearest


@dataclass(frozen=True)
class Preset:
    """Settings that an explicit argument of `GDW` overrides one by one.

    `posterior`: whether `prepare` finds posterior labels, which then stand for both stages.
    """

    outer_lr: float
    clip: float
    min_weight: float
    weighting_network: Literal["mlp", "none"]
    weighting_lr: float
    posterior: bool = False


PRESETS = {
    "paper": Preset(
        outer_lr=100.0,
        clip=0.2,
        min_weight=1e-6,
        weighting_network="mlp",
        weighting_lr=1e-3,
    ),
    "robust": Preset(
        outer_lr=1000.0,
        clip=1.0,
        min_weight=0.0,
        weighting_network="none",
        weighting_lr=1e-3,
        posterior=True,
    ),
}
"""`paper`: as published for CIFAR-10 (Chen et al., 2021, section 4; CIFAR-100 takes `outer_lr=1000`).
`robust`: our recommended one. In a `gdw.Trainer` (or after `prepare`) the class-level weights come in closed
form from posterior labels, see `gdw.reweight.posterior_search`; elsewhere, without a look at the whole
training set, from the hypergradient alone, with steps large enough to matter.
"""


def resolve_preset(name: str) -> Preset:
    """The preset of that name. Raises `ConfigError` with the known names otherwise."""
    if name not in PRESETS:
        raise ConfigError(
            f"unknown preset {name!r}: expected one of {', '.join(PRESETS)}.{nearest(name, PRESETS)}"
        )
    return PRESETS[name]
