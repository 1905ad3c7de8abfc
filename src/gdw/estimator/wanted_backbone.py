"""The backbone that `GDWClassifier` was told to use, and the encoder with it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import nn

from gdw.backbones.backbone import Backbone
from gdw.data.encode.encoder import Encoder, fit_encoder
from gdw.data.seen_as import seen_as
from gdw.data.source import Source
from gdw.errors import ConfigError
from gdw.runs.backbone_choice import choose_backbone
from gdw.runs.model_config import ModelConfig


@dataclass(frozen=True, eq=False)
class UsedBackbone:
    """The backbone of a fitted estimator.

    Attributes:
        name: of the backbone.
        finetune: what is trained of it.
        backbone: itself if it is trained. A pickle has its architecture only, or a module of the user.
    """

    name: str
    finetune: str = "none"
    backbone: Backbone | None = None

    def build(self, num_classes: int, *, seed: int) -> nn.Module:
        """A network with a copy of the backbone, that is to be trained."""
        from gdw.models.finetuned import build_finetuned

        assert self.backbone is not None, "only of a backbone that is trained"
        copied = replace(self.backbone, module=copy.deepcopy(self.backbone.module))
        finetune: Any = self.finetune
        network: nn.Module = build_finetuned(copied, num_classes, finetune, seed=seed)
        return network

    def __getstate__(self) -> dict[str, Any]:
        state, backbone = dict(vars(self)), self.backbone
        if backbone is not None and backbone.architecture:
            state["backbone"] = {
                field.name: getattr(backbone, field.name)
                for field in fields(backbone)
                if field.name != "module"
            }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state["backbone"], dict):
            from gdw.backbones.rebuilding import rebuilt

            parts = state["backbone"]
            state = {**state, "backbone": Backbone(module=rebuilt(parts["architecture"]), **parts)}
        vars(self).update(state)


@dataclass(frozen=True, eq=False)
class WantedBackbone:
    """What the parameters of `GDWClassifier` say of a backbone.

    Attributes:
        model: the name of the backbone, "auto" or "none", with `finetune` and `views`.
        given: a module or a `Backbone` in place of a name; None for a name.
        progress: what is shown while features are computed.
    """

    model: ModelConfig
    given: Any = None
    progress: str = "none"

    def fit(self, source: Source) -> tuple[Encoder, UsedBackbone | None]:
        """Fit the encoder of training data that may have images or texts.

        Returns:
            The encoder and the backbone; None if there is none.

        Raises:
            ConfigError: the backbone does not fit the data.
        """
        from gdw.runs.backbone_inputs import fit_to_backbone

        model = self.model
        if self.given is None:
            name = choose_backbone(model, source).name
            if name == "none":
                return fit_encoder(source), None
            model = model.model_copy(update={"backbone": name})
        own = None if self.given is None else own_backbone(self.given, kind=seen_as(source))
        encoder, backbone = fit_to_backbone(source, model, backbone=own, progress=self.progress)
        if model.finetune == "none":
            return encoder, UsedBackbone(backbone.name)
        return encoder, UsedBackbone(backbone.name, model.finetune, backbone)

    def require_none(self, form: str) -> None:
        """Refuse a backbone for data of a form that has neither images nor texts."""
        if self.given is not None or self.model.needs_backbone:
            raise ConfigError(
                f"a backbone takes images or texts, and X is {form}: leave backbone, finetune and views out"
            )


def own_backbone(given: Any, *, kind: str) -> Backbone:
    """The backbone that the user gave in place of a name.

    Args:
        given: a `Backbone`, or a module from pixels or tokens to features.
        kind: of the data: "image", "text", or "array" for arrays of images.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(given, Backbone):
        return given
    if not isinstance(given, nn.Module):
        raise ConfigError(
            "backbone: expected a name, an nn.Module or a gdw.backbones.Backbone, found "
            f"{type(given).__name__}"
        )
    from gdw.backbones.own_modules import of_module

    backbone: Backbone = of_module(given, kind="text" if kind == "text" else "image")
    return backbone
