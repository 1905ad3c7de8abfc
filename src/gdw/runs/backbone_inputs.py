"""What a backbone sees of the data of a run: features that are computed once, or pixels and tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gdw.data.encode.encoder import Encoder, fit_encoder
from gdw.data.seen_as import seen_as
from gdw.data.source import Source
from gdw.runs.model_config import ModelConfig

if TYPE_CHECKING:
    from gdw.backbones.backbone import Backbone


def fit_to_backbone(
    source: Source,
    model: ModelConfig,
    *,
    backbone: Backbone | None = None,
    image_size: int | None = None,
    seed: int = 0,
    progress: Any = "auto",
) -> tuple[Encoder, Backbone]:
    """Fit the encoder of a frozen or fine-tuned backbone to the training data.

    Args:
        source: the training data.
        model: the options of the network, with the name of the backbone.
        backbone: the backbone itself; default: it is loaded by its name.
        image_size: the size to which images are resized; default: that of the backbone.
        seed: of the views.
        progress: what is shown while features are computed, as `TrainConfig.progress`.

    Returns:
        The encoder and the backbone.

    Raises:
        ConfigError: the backbone cannot be loaded, or does not fit the data.
    """
    if backbone is None:
        from gdw.backbones.loading import load_backbone

        kind: Any = seen_as(source)
        backbone = load_backbone(model.backbone, kind=kind, image_size=image_size)
    if model.finetune == "none":
        options = {"views": model.views, "seed": seed, "progress": progress}
        return fit_encoder(source, backbone=backbone, **options), backbone
    if source.kind == "text":
        from gdw.data.encode.tokens import TokenEncoder

        preprocessing: Any = backbone.preprocessing
        return TokenEncoder.fit(source, preprocessing=preprocessing), backbone
    size = backbone.preprocessing.settings["image_size"]
    return fit_encoder(source, image_size=size), backbone
