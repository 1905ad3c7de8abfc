"""A trained network as bytes: safetensors, which holds numbers and no code."""

from __future__ import annotations

from torch import nn


def to_bytes(network: nn.Module) -> bytes:
    """Parameters and buffers of `network`, wherever they are."""
    from safetensors.torch import save

    # tied tensors are written twice: the format knows no sharing
    return save(
        {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
    )


def from_bytes(network: nn.Module, saved: bytes) -> nn.Module:
    """Fill `network`, built as the saved one was, and put it in evaluation mode."""
    from safetensors.torch import load

    network.load_state_dict(load(saved))
    return network.eval()
