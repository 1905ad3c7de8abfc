"""The encoder of texts for a language model that is fine-tuned: tokens, padded batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gdw.backbones.preprocess_texts import TextPreprocessing, padded
from gdw.data.encode.encoder import require_kind, write_settings
from gdw.data.examples import Inputs
from gdw.data.source import Source, chunks
from gdw.errors import RunError
from gdw.files.documents import write_text_atomically
from gdw.files.representation import ShortRepr

TOKENIZER = "tokenizer.json"
CHUNK = 4096


@dataclass(frozen=True, eq=False, repr=False)
class TokenEncoder(ShortRepr):
    """Encodes texts as tokens, int64 `(N, L)`; each batch is as long as its longest text.

    Shorter texts are filled up with -1. Nothing is fitted: the tokenizer is that of the backbone, and a copy
    of it is saved.

    Attributes:
        preprocessing: the tokenizer and its limit.
        notes: one line for the user if texts of the training data are longer than the limit; it is not saved.
    """

    preprocessing: TextPreprocessing
    notes: tuple[str, ...] = field(default=(), repr=False)
    name: ClassVar[str] = "tokens"
    kind: ClassVar[Literal["text"]] = "text"
    mean_std: ClassVar[None] = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of the longest example, `(L,)`."""
        return (self.preprocessing.limit,)

    @classmethod
    def fit(cls, source: Source, *, preprocessing: TextPreprocessing) -> TokenEncoder:
        """The encoder of a backbone for the training texts, which are read once to count the long ones."""
        require_kind(source, "text")
        cut = sum(
            preprocessing.tokenised(source.texts(rows))[1] for rows in chunks(len(source), CHUNK)
        )
        notes = (preprocessing.note(cut, len(source)),) if cut else ()
        return cls(preprocessing, notes)

    def encode(self, source: Source) -> Inputs:
        require_kind(source, "text")
        rows: list[list[int]] = []
        for indices in chunks(len(source), CHUNK):
            rows += self.preprocessing.tokenised(source.texts(indices))[0]
        return TokenInputs(rows)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomically(folder / TOKENIZER, self.preprocessing.tokenizer)
        write_settings(folder, self.name, dict(self.preprocessing.settings))

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> TokenEncoder:
        path = folder / TOKENIZER
        try:
            tokenizer = path.read_text(encoding="utf-8")
        except OSError as error:
            raise RunError(
                f"{path} does not exist, a part of the saved encoder: restore it or train again"
            ) from error
        preprocessing = TextPreprocessing(
            tokenizer, int(settings["limit"]), str(settings["prefix"]), bool(settings["marks"])
        )
        if preprocessing.settings["tokenizer"] != settings["tokenizer"]:
            raise ValueError(f"{TOKENIZER} is not the tokenizer of training")
        return cls(preprocessing)


class TokenInputs:
    """The tokens of N texts of different lengths. A batch is int64 `(B, L)`, filled up with -1 at the end.

    Attributes:
        ragged: batches of the same examples may differ in L.
    """

    ragged = True

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        self._ends = np.cumsum(lengths)
        self._starts = self._ends - lengths
        # One array, because a list of lists needs about ten times the memory.
        self._tokens = np.fromiter(
            (token for row in rows for token in row), dtype=np.int32, count=int(lengths.sum())
        )

    def __len__(self) -> int:
        return len(self._ends)

    def __repr__(self) -> str:
        return f"TokenInputs({len(self)} texts, {self._digest})"

    @cached_property
    def _digest(self) -> str:
        content = hashlib.blake2b(self._tokens.tobytes(), digest_size=10)
        content.update(self._ends.tobytes())
        return content.hexdigest()

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor:
        chosen = np.asarray(indices, dtype=np.int64)
        spans = zip(self._starts[chosen].tolist(), self._ends[chosen].tolist(), strict=True)
        return padded([self._tokens[start:end].tolist() for start, end in spans])
