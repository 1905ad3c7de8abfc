"""`evaluation.json`: how good the model of a run is, as `gdw evaluate` keeps it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gdw.files.documents import Document

EVALUATION = "evaluation.json"
FIGURES = Document(format=1, remedy="run gdw evaluate again")
"""The format of `evaluation.json`."""

_Share = Annotated[float, Field(ge=0, le=1)]
_Shares = list[_Share | None]
_Count = Annotated[int, Field(ge=0, lt=10**15)]


class _Reliability(BaseModel):
    count: list[_Count]
    confidence: _Shares
    accuracy: _Shares

    @model_validator(mode="after")
    def _same_bins(self) -> _Reliability:
        means = [
            (p, a) for n, p, a in zip(self.count, self.confidence, self.accuracy, strict=True) if n
        ]
        if not means or any(None in pair for pair in means):
            raise ValueError("a bin with examples has no mean")
        return self


class Figures(BaseModel):
    """What `evaluation.json` must hold to be shown."""

    model_config = ConfigDict(strict=True)

    accuracy: _Share | None
    balanced_accuracy: _Share | None
    nll: Annotated[float, Field(ge=0, lt=1e300)] | None = None
    ece: _Share | None = None
    recall: _Shares
    classes: list[str]
    support: list[_Count] | None = None
    examples: _Count | None = None
    data: str | None = None
    reliability: _Reliability | None = None

    @model_validator(mode="after")
    def _same_classes(self) -> Figures:
        if not len(self.recall) == len(self.classes) == len(self.support or self.classes):
            raise ValueError("as many classes as recalls are expected")
        return self
