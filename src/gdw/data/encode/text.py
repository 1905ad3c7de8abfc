"""The encoder of texts: TF-IDF of words and pairs of words."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from gdw.data.encode.encoder import SparseInputs, require_kind, write_settings
from gdw.data.examples import Inputs
from gdw.data.source import Source, chunks
from gdw.errors import DataError
from gdw.files.representation import ShortRepr

CHUNK = 16384
VERSION = 2


@dataclass(frozen=True, eq=False, repr=False)
class TextEncoder(ShortRepr):
    """Encodes texts as TF-IDF rows of unit length, float32 `(N, F)`, in a sparse matrix.

    Texts are brought to the Unicode form NFC, and a word is a letter or digit with the letters, digits and
    combining marks that follow it. The terms are words and pairs of neighbouring words, with sublinear counts
    (1 + log of the count). Words that do not occur in the training data are ignored. If most texts have no
    spaces (one word, or a script without spaces between words), the terms are runs of one to three
    characters instead.

    Attributes:
        vocabulary: the F terms.
        idf: float64 `(F,)`, the inverse document frequency of each term.
        by_character: whether the terms are runs of characters.
        version: the version of the rules for terms. In version 1, of gdw 0.1.0, texts stay as they are, and
            combining marks are not parts of words.
    """

    vocabulary: tuple[str, ...] = field(repr=False)
    idf: NDArray[np.float64]
    by_character: bool
    version: int = VERSION
    name: ClassVar[str] = "text"
    kind: ClassVar[Literal["text"]] = "text"
    mean_std: ClassVar[None] = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (len(self.vocabulary),)

    @classmethod
    def fit(cls, source: Source, *, max_features: int) -> TextEncoder:
        texts = source.texts(np.arange(len(source)))
        spaced = sum(len(text.split()) > 1 for text in texts)
        by_character = 2 * spaced < len(texts)
        vectorizer = _vectorizer(by_character, VERSION, max_features=max_features)
        try:
            vectorizer.fit(texts)
        except ValueError as error:
            raise DataError(
                f"no words in the text column {source.feature_columns[0]!r} of {source.origin}: expected "
                "texts of letters or digits; name the right column with text="
            ) from error
        return cls(tuple(vectorizer.get_feature_names_out()), vectorizer.idf_, by_character)

    @cached_property
    def _fitted(self) -> Any:
        vectorizer = _vectorizer(self.by_character, self.version, vocabulary=self.vocabulary)
        vectorizer.idf_ = self.idf
        return vectorizer

    def encode(self, source: Source) -> Inputs:
        from scipy.sparse import csr_matrix, vstack

        require_kind(source, "text")
        parts = [
            self._fitted.transform(source.texts(indices)) for indices in chunks(len(source), CHUNK)
        ]
        empty = csr_matrix((0, len(self.vocabulary)), dtype=np.float32)
        return SparseInputs(vstack(parts or [empty], format="csr", dtype=np.float32))

    def save(self, folder: Path) -> None:
        settings = {
            "by_character": self.by_character,
            "version": self.version,
            "vocabulary": list(self.vocabulary),
            "idf": self.idf.tolist(),
        }
        write_settings(folder, self.name, settings)

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> TextEncoder:  # noqa: ARG003
        vocabulary = tuple(str(word) for word in settings["vocabulary"])
        idf = np.array(settings["idf"], dtype=np.float64)
        if not vocabulary or idf.shape != (len(set(vocabulary)),):
            raise ValueError(f"{len(vocabulary)} words do not match idf of shape {idf.shape}")
        version = int(settings.get("version", 1))
        if not 1 <= version <= VERSION:
            raise ValueError(f"the rules for terms have the unknown version {version}")
        return cls(vocabulary, idf, bool(settings["by_character"]), version)


def _vectorizer(by_character: bool, version: int, **options: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    if by_character:
        options |= {"analyzer": "char_wb", "ngram_range": (1, 3)}
    else:
        # The default pattern of scikit-learn drops words of one letter, such as "I".
        pattern = r"(?u)\b\w+\b" if version == 1 else rf"(?u)\w[\w{_marks()}]*"
        options |= {"ngram_range": (1, 2), "token_pattern": pattern}
    if version > 1:
        options["preprocessor"] = _normalised
    return TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **options)


def _normalised(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()


@lru_cache
def _marks() -> str:
    """The combining marks, as ranges for a regular expression: vowel signs, points and accents.

    Without the variation selectors, which choose how the same character is drawn.
    """
    marks = [
        code
        for code in range(0x20000)
        if unicodedata.category(chr(code)) in ("Mn", "Mc") and not 0xFE00 <= code <= 0xFE0F
    ]
    known = set(marks)
    starts = [code for code in marks if code - 1 not in known]
    ends = [code for code in marks if code + 1 not in known]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))
