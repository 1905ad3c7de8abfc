"""Loading a backbone by its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gdw.backbones.names import BackboneName, parse, require_available
from gdw.errors import ConfigError

if TYPE_CHECKING:
    from gdw.backbones.backbone import Backbone, BackboneKind


def load_backbone(
    name: str, *, kind: BackboneKind | None = None, image_size: int | None = None
) -> Backbone:
    """A pretrained network without its classifier, in evaluation mode.

    Nothing is fetched but a model of the Hub, of torchvision or of timm that `name` names, and that is not on
    this machine.

    Args:
        name: "package:efficientnet-lite0", "package:minilm", "package:wordllama", "torchvision:NAME",
            "timm:NAME", "hf:NAME_OR_FOLDER", "sentence-transformers:NAME_OR_FOLDER", or a folder.
        kind: what the data are, "image" or "text"; default: what the backbone takes.
        image_size: the side of the images in pixels; default: that of the backbone.

    Raises:
        ConfigError: there is no such backbone, it cannot be fetched, its weights are pickled or do not fit,
            or it does not take `kind` or images of `image_size`.
        MissingDependencyError: its library is not installed.
    """
    if image_size is not None and image_size < 1:
        raise ConfigError(f"expected an image_size of 1 pixel or more, found {image_size}")
    require_available(name)
    backbone = _load(parse(name), name, kind, image_size)
    if kind is not None and backbone.kind != kind:
        raise ConfigError(
            f"backbone {name!r} takes {backbone.kind}s, and the data are {kind}s: choose one for {kind}s"
        )
    return backbone


def _load(
    parsed: BackboneName, name: str, kind: BackboneKind | None, image_size: int | None
) -> Backbone:
    if parsed.library == "package":
        from gdw.backbones.packages import load_package

        return load_package(parsed.name, image_size)
    if parsed.library == "torchvision":
        from gdw.backbones.vision_libraries import load_torchvision

        return load_torchvision(parsed.name, image_size)
    if parsed.library == "timm" and parsed.folder is None:
        from gdw.backbones.vision_libraries import load_timm

        return load_timm(parsed.name, image_size)
    return _from_folder(_folder(parsed, name), parsed, name, kind, image_size)


def _folder(parsed: BackboneName, name: str) -> Path:
    if parsed.folder is not None:
        return parsed.folder
    from gdw.backbones.hub import fetched

    return fetched(parsed.repository or "", name)


def _from_folder(
    folder: Path,
    parsed: BackboneName,
    name: str,
    kind: BackboneKind | None,
    image_size: int | None,
) -> Backbone:
    from gdw.backbones.folders import read_folder

    library = read_folder(folder, library=parsed.library).library
    if library == "sentence-transformers":
        from gdw.backbones.sentences import load_sentence_transformer

        return load_sentence_transformer(folder, name)
    if library == "timm":
        from gdw.backbones.vision_libraries import load_timm

        return load_timm(str(folder), image_size, folder=folder)
    from gdw.backbones.hf import load_hf

    return load_hf(folder, name, kind, image_size)
