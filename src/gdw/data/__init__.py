"""From files and arrays to batches: sources, encoders, noise, imbalance, splits, pairing of loaders.

Every random choice comes from an explicit seed. The names below are imported on first use. The kinds of noise
and imbalance are functions of the modules `gdw.data.noise` and `gdw.data.imbalance`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.data import augment, imbalance, noise
    from gdw.data.clean import assemble, train_and_clean
    from gdw.data.encode import Encoder, fit_encoder, load_encoder
    from gdw.data.examples import CyclingBatches, EpochBatches, Examples, Inputs, identity
    from gdw.data.image_checks import broken_images, check_images
    from gdw.data.imbalance import Imbalance, parse_imbalance
    from gdw.data.loading import load
    from gdw.data.noise import Noise, parse_noise, transition_matrix
    from gdw.data.pairing import Pair, PairedBatches, pair
    from gdw.data.rows import Kind
    from gdw.data.source import Source, from_arrays
    from gdw.data.split import split_clean, stratified_subset
    from gdw.data.text_files import ReadOptions

_HOME = {
    "CyclingBatches": "gdw.data.examples",
    "Encoder": "gdw.data.encode",
    "EpochBatches": "gdw.data.examples",
    "Examples": "gdw.data.examples",
    "Imbalance": "gdw.data.imbalance",
    "Inputs": "gdw.data.examples",
    "Kind": "gdw.data.rows",
    "Noise": "gdw.data.noise",
    "Pair": "gdw.data.pairing",
    "PairedBatches": "gdw.data.pairing",
    "ReadOptions": "gdw.data.text_files",
    "Source": "gdw.data.source",
    "assemble": "gdw.data.clean",
    "broken_images": "gdw.data.image_checks",
    "check_images": "gdw.data.image_checks",
    "fit_encoder": "gdw.data.encode",
    "from_arrays": "gdw.data.source",
    "identity": "gdw.data.examples",
    "load": "gdw.data.loading",
    "load_encoder": "gdw.data.encode",
    "pair": "gdw.data.pairing",
    "parse_imbalance": "gdw.data.imbalance",
    "parse_noise": "gdw.data.noise",
    "split_clean": "gdw.data.split",
    "stratified_subset": "gdw.data.split",
    "train_and_clean": "gdw.data.clean",
    "transition_matrix": "gdw.data.noise",
}
_MODULES = ("augment", "imbalance", "noise")

__all__ = [
    "CyclingBatches",
    "Encoder",
    "EpochBatches",
    "Examples",
    "Imbalance",
    "Inputs",
    "Kind",
    "Noise",
    "Pair",
    "PairedBatches",
    "ReadOptions",
    "Source",
    "assemble",
    "augment",
    "broken_images",
    "check_images",
    "fit_encoder",
    "from_arrays",
    "identity",
    "imbalance",
    "load",
    "load_encoder",
    "noise",
    "pair",
    "parse_imbalance",
    "parse_noise",
    "split_clean",
    "stratified_subset",
    "train_and_clean",
    "transition_matrix",
]


__getattr__ = lazy(__name__, _HOME, _MODULES)


def __dir__() -> list[str]:
    return sorted(__all__)
