"""Pretrained networks that turn images or texts into features.

>>> from gdw.backbones import names
>>> names.kind_of("package:minilm")
'text'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.backbones.backbone import Backbone
    from gdw.backbones.loading import load_backbone
    from gdw.backbones.own_modules import of_module

_HOME = {
    "Backbone": "gdw.backbones.backbone",
    "load_backbone": "gdw.backbones.loading",
    "of_module": "gdw.backbones.own_modules",
}

__all__ = ["Backbone", "load_backbone", "of_module"]

__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
