"""Tokenised texts of different lengths in one batch, as the tokenizers of transformers return them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MASK = "attention_mask"


def filled_up(inputs: Sequence[Any], pad: int = 0) -> list[Any]:
    """The inputs of a batch, with tokens filled up at the end to the longest text.

    It concerns items that are mappings with an attention mask, which says which tokens count. Each value of a
    mapping that is as long as its mask is filled up: `input_ids` with `pad`, the others with 0. Other items
    stay as they are.

    >>> short, long = {"input_ids": [5], MASK: [1]}, {"input_ids": [6, 7], MASK: [1, 1]}
    >>> [item["input_ids"].tolist() for item in filled_up([short, long])]
    [[5, 0], [6, 7]]

    Args:
        inputs: one mapping of arrays, tensors or lists for each example.
        pad: the token by which the model finds the end of a text.
    """
    lengths = _lengths(inputs)
    if len(set(lengths)) < 2:
        return list(inputs)
    longest = max(lengths)
    return [
        _wider(item, length, longest, pad) for item, length in zip(inputs, lengths, strict=True)
    ]


def _lengths(inputs: Sequence[Any]) -> list[int]:
    """The number of tokens of each text; nothing if the inputs are no tokenised texts."""
    if not all(isinstance(item, Mapping) and MASK in item for item in inputs):
        return []
    shapes = [np.shape(item[MASK]) for item in inputs]
    return [length for (length,) in shapes] if {len(shape) for shape in shapes} == {1} else []


def _wider(item: Mapping[str, Any], length: int, longest: int, pad: int) -> dict[str, Any]:
    fill = {"input_ids": pad}
    return {
        name: np.pad(np.asarray(value), (0, longest - length), constant_values=fill.get(name, 0))
        if np.shape(value) == (length,)
        else value
        for name, value in item.items()
    }
