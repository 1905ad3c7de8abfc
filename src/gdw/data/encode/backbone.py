"""The encoder of images and texts by a frozen pretrained network, whose features are computed once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from gdw.data.encode.encoder import require_kind, write_settings
from gdw.data.encode.image import SIZE_SAMPLE, evenly_spaced, naming_all
from gdw.data.examples import Inputs
from gdw.data.grey_range import GreyRange, read_grey_range
from gdw.data.rows import Kind
from gdw.data.seen_as import seen_as
from gdw.data.source import Source
from gdw.errors import ConfigError, RunError, counted
from gdw.files.memory import memory_share
from gdw.files.representation import ShortRepr

if TYPE_CHECKING:
    from gdw.backbones.backbone import Backbone
    from gdw.data.features.inputs import FeatureRows
    from gdw.data.features.raw import RawExamples
    from gdw.data.features.reporting import Kind as ReporterKind
    from gdw.data.features.reporting import Reporter


@dataclass(frozen=True, eq=False, repr=False)
class BackboneEncoder(ShortRepr):
    """Encodes images or texts as the features of a backbone, standardised as in training.

    The features are kept in a cache by the contents of the examples, so they are computed once for all
    commands. All are read into one tensor if they need at most `memory_limit` bytes; otherwise they stay in
    the files.

    Attributes:
        backbone_name: the name of the backbone.
        fingerprint: of the backbone: features of another one are never used.
        kind: "image" or "text", or "array" for arrays of images.
        settings: those of the preprocessing of the backbone.
        width: F.
        views: V, the number of views of an image: itself, then random crops, half of them mirrored.
        seed: of the views.
        mean, scale: float64 `(F,)`, mean and standard deviation of each feature of the training examples.
        grey: the values of black and white in grey images of more than 8 bits, or in arrays; None: each image
            is read by its own range.
        memory_limit: in bytes; default: `memory_share()` at the time of encoding.
        progress: what the user sees while features are computed, as `TrainConfig.progress`.
        backbone: the backbone itself; default: it is loaded by its name if features must be computed.
        notes: one line each for the user, on the training examples; they are not saved.
    """

    backbone_name: str
    fingerprint: str
    kind: Kind
    settings: Mapping[str, Any] = field(repr=False)
    width: int
    views: int
    seed: int
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    grey: GreyRange | None = None
    memory_limit: int | None = None
    progress: ReporterKind = "auto"
    backbone: Backbone | None = field(default=None, repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)
    # The rows that `fit` found, so that `encode` of the same source does not look for them again.
    _found: WeakKeyDictionary[Source, FeatureRows] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )
    name: ClassVar[str] = "backbone"
    mean_std: ClassVar[None] = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the rows of sources, which cannot be pickled, and without the network.
        return _restored, ({**self._saved(), "progress": self.progress}, self.memory_limit)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.width,) if self.views == 1 else (self.views, self.width)

    @classmethod
    def fit(
        cls,
        source: Source,
        *,
        backbone: Backbone,
        views: int = 1,
        seed: int = 0,
        progress: ReporterKind = "auto",
    ) -> BackboneEncoder:
        from gdw.data.features.inputs import mean_and_scale

        _require_fitting(source, backbone, views)
        grey, notes = _range(source)
        nothing = np.empty(0)
        unfitted = cls(
            backbone.name,
            backbone.fingerprint,
            source.kind,
            dict(backbone.preprocessing.settings),
            backbone.width,
            views,
            seed,
            nothing,
            nothing,
            grey,
            progress=progress,
            backbone=backbone,
        )
        rows = unfitted._rows(source)
        mean, scale = mean_and_scale(rows)
        notes += unfitted._note_on_cut(rows)
        encoder = replace(unfitted, mean=mean, scale=scale, notes=notes)
        encoder._found[source] = rows
        return encoder

    def encode(self, source: Source) -> Inputs:
        from gdw.data.features.inputs import FeatureInputs

        require_kind(source, self.kind)
        rows = self._found.pop(source, None)
        if rows is None:
            rows = self._rows(source)
            for note in self._note_on_cut(rows):
                self._reporter().note(f"{note} ({source.origin})")
        inputs = FeatureInputs(rows, self.mean, self.scale)
        limit = memory_share() if self.memory_limit is None else self.memory_limit
        return inputs.in_memory() if rows.size <= limit else inputs

    def _rows(self, source: Source) -> FeatureRows:
        from gdw.data.features.extraction import Request, find_or_compute
        from gdw.data.features.network import precision
        from gdw.data.features.store import FeatureStore

        reporter = self._reporter()
        store = FeatureStore(
            self.backbone_name,
            self.fingerprint,
            self.width,
            say=reporter.note,
            precision=precision(self.backbone_name),
        )
        request = Request(raw_examples(source, self.settings, self.grey), self.views, self.seed)
        with naming_all(source) if source.kind == "image" else nullcontext():
            return find_or_compute(request, store, self._load, reporter)

    def _load(self) -> Backbone:
        """The backbone of the training.

        Raises:
            RunError: the backbone of this name is another one now.
        """
        if self.backbone is not None:
            return self.backbone
        found = _loaded(self.backbone_name, self.settings.get("image_size"))
        if found.fingerprint != self.fingerprint:
            raise RunError(
                f"the backbone {self.backbone_name} is not that of the training any more: its weights or its "
                f"preprocessing changed (fingerprint {found.fingerprint[:12]}, expected "
                f"{self.fingerprint[:12]}): install the version of the training, or train again"
            )
        return found

    def _reporter(self) -> Reporter:
        from gdw.data.features.reporting import make_reporter

        return make_reporter(self.progress)

    def _note_on_cut(self, rows: FeatureRows) -> tuple[str, ...]:
        if not rows.cut:
            return ()
        are = counted(rows.cut, "text is", "texts are")
        return (
            f"{are} longer than the {self.settings.get('limit')} tokens that {self.backbone_name} reads: "
            "the rest is not used",
        )

    def _saved(self) -> dict[str, Any]:
        return {
            "backbone": self.backbone_name,
            "fingerprint": self.fingerprint,
            "kind": self.kind,
            "preprocessing": dict(self.settings),
            "views": self.views,
            "seed": self.seed,
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "grey": self.grey,
        }

    def save(self, folder: Path) -> None:
        write_settings(folder, self.name, self._saved())

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> BackboneEncoder:  # noqa: ARG003
        return _restored(settings)


def _loaded(name: str, image_size: int | None) -> Backbone:
    from gdw.backbones.loading import load_backbone

    return load_backbone(name, image_size=image_size)


def _restored(settings: Mapping[str, Any], memory_limit: int | None = None) -> BackboneEncoder:
    mean = np.array(settings["mean"], dtype=np.float64)
    scale = np.array(settings["scale"], dtype=np.float64)
    if mean.ndim != 1 or not len(mean) or mean.shape != scale.shape or not (scale > 0).all():
        raise ValueError(f"mean {mean.shape} and scale {scale.shape} do not match")
    kind, views = settings["kind"], int(settings["views"])
    if kind not in ("image", "text", "array") or views < 1:
        raise ValueError(f"kind {kind!r} or {views} views")
    grey = settings["grey"]
    return BackboneEncoder(
        str(settings["backbone"]),
        str(settings["fingerprint"]),
        kind,
        dict(settings["preprocessing"]),
        len(mean),
        views,
        int(settings["seed"]),
        mean,
        scale,
        None if grey is None else (float(grey[0]), float(grey[1])),
        memory_limit,
        settings.get("progress", "auto"),
    )


def _range(source: Source) -> tuple[GreyRange | None, tuple[str, ...]]:
    """The values of black and white, and notes on them."""
    if source.kind == "array":
        from gdw.data.encode.pixels import value_range

        return value_range(source), ()
    if source.kind == "image":
        return read_grey_range(source, evenly_spaced(len(source), SIZE_SAMPLE))
    return None, ()


def raw_examples(
    source: Source, settings: Mapping[str, Any], grey: GreyRange | None = None
) -> RawExamples:
    """The images or texts of `source` for a backbone.

    Args:
        source: images, texts, or arrays of images.
        settings: those of the preprocessing of the backbone.
        grey: the values of black and white; default: those of each image, or of all arrays.
    """
    from gdw.data.features.raw import ImageFiles, Pixels, Texts

    if source.kind == "text":
        return Texts(source)
    if source.kind == "image":
        return ImageFiles(source, grey, side=settings.get("image_size", 0))
    from gdw.data.encode.pixels import quantizer, value_range

    return Pixels(source, quantizer(source, *(grey or value_range(source))))


def _require_fitting(source: Source, backbone: Backbone, views: int) -> None:
    """Check that a backbone takes the kind of the data.

    Raises:
        ConfigError: it does not, or there are no views of this kind.
    """
    kind = seen_as(source)
    if kind != backbone.kind:
        raise ConfigError(
            f"{backbone.name} takes {backbone.kind} data, but {source.origin} is {kind} data: choose a "
            "backbone for it, or backbone none"
        )
    if views < 1:
        raise ConfigError(f"expected 1 view or more, found {views}")
    if views > 1 and kind == "text":
        raise ConfigError(
            f"views are flipped and cropped images, but {source.origin} is text data: leave views out"
        )
