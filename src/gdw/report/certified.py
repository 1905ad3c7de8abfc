"""The certificate of an audit on the page: what is sure, the curve of relabelling, and what must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from gdw.certify.decision import WHOSE, Scores
from gdw.certify.groups import ClassPair, ClassShare, known_classes
from gdw.errors import RunError
from gdw.report.style import BLUE, WIDE, figure_of, panels, percent_axes, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_Share = Annotated[float, Field(ge=0, le=1)]


class _Proven(BaseModel):
    low: _Share
    high: _Share
    estimate: _Share
    confidence: _Share
    rows: int
    verified: int
    sentence: str
    assumptions: list[str]


class _Decided(BaseModel):
    sentence: str


class _Applied(BaseModel):
    mode: str
    output: str
    sentence: str


class Relabelled(BaseModel):
    """The share of wrong labels over the number of relabelled rows, see `gdw.certify.Curve`."""

    rows: list[int]
    share: list[float | None]
    low: list[float | None]
    high: list[float | None]
    scores: Scores = ""
    of: int | None = None

    @property
    def whose(self) -> str:
        """Whose order and suggestions these are, as an end of a phrase."""
        return WHOSE[self.scores]

    @property
    def total(self) -> str:
        """Which labels the share is of."""
        if self.scores == "list" and self.of is not None:
            return f"the {self.of:,} labels that were not verified before the training"
        return "all labels"


class Certified(BaseModel):
    """What the page shows of the certificate in `audit.json`."""

    share: _Proven
    decisions: list[_Decided]
    relabelled: Relabelled
    notes: list[str]
    classes: list[ClassShare] = []
    applied: _Applied | None = None
    decided_by: str = ""

    @property
    def known_classes(self) -> list[ClassPair]:
        """The classes of which something is known, those that are surely wrong most often first."""
        return known_classes(self.classes)


def certified(audit: dict[str, Any] | None) -> Certified | None:
    """The certificate in the content of `audit.json`; None if it has none.

    Raises:
        RunError: it is damaged.
    """
    plain = (audit or {}).get("certificate")
    if plain is None:
        return None
    try:
        return Certified.model_validate(plain)
    except ValidationError:
        raise RunError(
            "audit.json is damaged: its certificate is incomplete; run gdw audit again"
        ) from None


def plot_relabelled(points: Relabelled, *, width: float = WIDE) -> Figure:
    """Plot the share of wrong labels over the number of relabelled rows, with its band.

    Args:
        points: the curve.
        width: in inches.
    """
    (axes,) = panels(None, (width, 3.2))
    known = [
        point
        for point in zip(points.rows, points.share, points.low, points.high, strict=True)
        if None not in point
    ]
    rows, share, low, high = zip(*known, strict=True) if known else ((), (), (), ())
    axes.fill_between(rows, low, high, color=BLUE, alpha=0.25, linewidth=0, label="interval")
    axes.plot(rows, share, color=BLUE, linewidth=2, label="best guess")
    axes.set_xlabel("relabelled rows, the most suspicious first")
    axes.set_ylabel("labels still wrong")
    axes.set_ylim(bottom=0)
    tidy(axes)
    percent_axes(axes.yaxis)
    axes.legend(frameon=False, fontsize="small")
    return figure_of(axes)
