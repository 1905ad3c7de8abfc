"""The fingerprint of a backbone: what tells two networks apart that give different features."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

_VERSION = 1


def fingerprint(
    module: nn.Module, architecture: Mapping[str, Any], settings: Mapping[str, Any]
) -> str:
    """SHA-256 of the weights, the architecture and the settings of the preprocessing, 64 hexadecimal digits.

    About 0.1 s for 100 MB of weights.

    Args:
        module: the network.
        architecture: what else changes its features, as JSON can hold it.
        settings: the settings of the preprocessing.
    """
    head = [_VERSION, dict(architecture), dict(settings)]
    digest = hashlib.sha256(json.dumps(head, sort_keys=True, default=str).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(memoryview(flat.view(torch.uint8).numpy()))
    return digest.hexdigest()
