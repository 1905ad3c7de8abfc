"""Run as a program: features of a folder of images, slowly, in small shards, to be killed in the middle."""

import sys
import time
from pathlib import Path

import torch

from gdw.data import fit_encoder, load
from gdw.data.features import extraction, network
from tests.data.fake_backbone import Network, image_backbone

CHANGED = (
    (network, "_BATCH_ON_CPU"),
    (network, "_has_bfloat16"),
    (extraction, "ROWS"),
    (extraction, "_BETWEEN_LOOKS"),
)
"""What `set_small` changes."""


class Slow(Network):
    """Takes a while for each batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.04)
        return super().forward(x)


def set_small() -> None:
    """Small batches and shards, and frequent looks at what others do."""
    network._BATCH_ON_CPU, extraction.ROWS, extraction._BETWEEN_LOOKS = 2, 4, 0.01
    network._has_bfloat16 = lambda device: False


if __name__ == "__main__":
    set_small()
    backbone = image_backbone()
    backbone.module.__class__ = Slow
    source = load(Path(sys.argv[1]), label="label")
    fit_encoder(source, backbone=backbone, progress="lines")
    assert isinstance(backbone.module, Network)
    print(backbone.module.computed)
