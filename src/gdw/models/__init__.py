"""Classifiers by name: MLPs, ResNets for photographs and for CIFAR, and those of torchvision and timm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.backbones.normalize import Normalize
    from gdw.models.build import build_model, choose_model
    from gdw.models.mlp import MLP
    from gdw.models.resnet import ResNet
    from gdw.models.resnet_cifar import CifarResNet
    from gdw.models.wide_resnet import WideResNet

_HOME = {
    "MLP": "gdw.models.mlp",
    "CifarResNet": "gdw.models.resnet_cifar",
    "Normalize": "gdw.backbones.normalize",
    "ResNet": "gdw.models.resnet",
    "WideResNet": "gdw.models.wide_resnet",
    "build_model": "gdw.models.build",
    "choose_model": "gdw.models.build",
}

__all__ = ["MLP", "CifarResNet", "Normalize", "ResNet", "WideResNet", "build_model", "choose_model"]


__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
