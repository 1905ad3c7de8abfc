"""Preprocessing of texts: tokens of a fixed tokenizer, cut at its limit and filled up."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdw.backbones.backbone import PADDING
from gdw.errors import MissingDependencyError
from gdw.files.representation import ShortRepr


@dataclass(frozen=True, eq=False, repr=False)
class TextPreprocessing(ShortRepr):
    """Splits texts into tokens. It takes texts, and returns int64 `(B, L)`, filled up with -1 at the end.

    Attributes:
        tokenizer: the tokenizer in the JSON form of the library tokenizers.
        limit: the largest number of tokens of a text, with those that mark its beginning and end. The rest of
            a longer text is not read.
        prefix: what is put before each text.
        marks: whether the tokens for the beginning and the end are added.
    """

    tokenizer: str = field(repr=False)
    limit: int
    prefix: str = ""
    marks: bool = True

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "tokenizer": hashlib.sha256(self.tokenizer.encode()).hexdigest(),
            "limit": self.limit,
            "prefix": self.prefix,
            "marks": self.marks,
        }

    def __call__(self, raw: Sequence[str], /) -> Tensor:
        return padded(self.tokenised(raw)[0])

    def tokenised(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """The tokens of each text, and the number of texts that were longer than the limit."""
        found = self._fitted.encode_batch(
            [self.prefix + str(text) for text in texts], add_special_tokens=self.marks
        )
        return [one.ids for one in found], sum(bool(one.overflowing) for one in found)

    def note(self, cut: int, total: int) -> str:
        """The line for the user on `cut` of `total` texts that are longer than the limit."""
        verb = "is" if cut == 1 else "are"
        return f"{cut:,} of {total:,} texts {verb} longer than {self.limit} tokens: the rest is not used"

    @cached_property
    def _fitted(self) -> Any:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingDependencyError(
                "texts of this backbone need tokenizers, which is not installed: pip install 'gdw[text]'"
            ) from error

        tokenizer = Tokenizer.from_str(self.tokenizer)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.limit)
        return tokenizer


def padded(tokens: Sequence[Sequence[int]]) -> Tensor:
    """Lists of tokens as int64 `(B, L)`, filled up with -1 at the end; L is 1 or more.

    >>> padded([[5, 7], [6]])
    tensor([[ 5,  7],
            [ 6, -1]])
    """
    out = np.full((len(tokens), max(1, *map(len, tokens))), PADDING, dtype=np.int64)
    for row, one in enumerate(tokens):
        out[row, : len(one)] = one
    return torch.from_numpy(out)
