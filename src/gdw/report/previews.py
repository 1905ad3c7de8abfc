"""Training examples for the page: a small picture, a text, or the cells of a row."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.source import Source
from gdw.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

THUMBNAIL = 128
_SMALL = 48
_LONGEST_TEXT = 300
_LONGEST_CELL = 80
_MOST_CELLS = 12


@dataclass(frozen=True)
class Preview:
    """One example of the page.

    Attributes:
        picture: a `data:` address, or None.
        small: the picture has few pixels, which the page shows as squares.
        text: or None.
        cells: pairs of column and value; empty for other kinds of data.
        problem: why the example cannot be shown, or None.
    """

    picture: str | None = None
    small: bool = False
    text: str | None = None
    cells: tuple[tuple[str, str], ...] = ()
    problem: str | None = None


def previews(source: Source, places: Sequence[str]) -> list[Preview]:
    """One preview for each of `places`, which are texts of `Source.where`.

    An example that is missing or cannot be read has a `problem`.
    """
    wanted = set(places)
    position = {
        place: i for i, place in enumerate(map(source.where, range(len(source)))) if place in wanted
    }
    return [_preview(source, position.get(place)) for place in places]


def _preview(source: Source, position: int | None) -> Preview:
    if position is None:
        return Preview(problem="no longer in the data")
    preview_of = {"image": _image, "text": _text, "table": _cells, "array": _array}[source.kind]
    try:
        return preview_of(source, np.array([position]))
    except DataError:
        return Preview(problem="cannot be read any more")


def _image(source: Source, index: NDArray[np.int64]) -> Preview:
    return _thumbnail(source.images(index)[0])


def _text(source: Source, index: NDArray[np.int64]) -> Preview:
    return Preview(text=_cut(source.texts(index)[0], _LONGEST_TEXT) or "(empty)")


def _cells(source: Source, index: NDArray[np.int64]) -> Preview:
    row = source.frame(index).iloc[0]
    return Preview(cells=_pairs({str(name): row[name] for name in row.index}))


def _array(source: Source, index: NDArray[np.int64]) -> Preview:
    from PIL import Image

    values = source.array(index)[0]
    if values.ndim == 1:
        return Preview(cells=_pairs({f"x{k}": value for k, value in enumerate(values)}))
    return _thumbnail(Image.fromarray(as_bytes(values)).convert("RGB"))


def as_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Numbers as grey levels: the smallest is black, the largest white. Bytes stay as they are."""
    if values.dtype == np.uint8:
        return values
    low, high = float(values.min()), float(values.max())
    scaled: NDArray[np.uint8] = ((values - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
    return scaled


def _thumbnail(picture: Image.Image) -> Preview:
    small = max(picture.size) <= _SMALL
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    # A picture of few pixels is kept exactly: JPEG would blur it.
    if small:
        picture.save(file, "PNG")
    else:
        picture.save(file, "JPEG", quality=80)
    kind = "png" if small else "jpeg"
    encoded = base64.b64encode(file.getvalue()).decode("ascii")
    return Preview(picture=f"data:image/{kind};base64,{encoded}", small=small)


def _pairs(values: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    pairs = [(_cut(name, _LONGEST_CELL), _written(value)) for name, value in values.items()]
    rest = len(pairs) - _MOST_CELLS
    return (*pairs[:_MOST_CELLS], ("", f"and {rest} more columns")) if rest > 0 else tuple(pairs)


def _written(value: Any) -> str:
    import pandas as pd

    if pd.isna(value):
        return "–"
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    return _cut(str(value), _LONGEST_CELL)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
