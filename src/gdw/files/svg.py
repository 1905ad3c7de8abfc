"""A matplotlib figure as an `<svg>` element of a page that may be light or dark."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def as_svg(figure: Figure, name: str) -> str:
    """The figure as an `<svg>` element without a background; black becomes the page's text colour.

    `name` makes the identifiers in the picture differ from those in other pictures of the same page.
    """
    from matplotlib import rc_context

    file = io.StringIO()
    metadata: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    look: Any = {"svg.fonttype": "none", "svg.hashsalt": f"gdw-{name}"}
    with rc_context(look), warnings.catch_warnings():
        # The browser draws the text and has the letters that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # The names of groups repeat from picture to picture, and nothing refers to them.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    # Matplotlib leaves out the colour of what is black.
    return text.replace("#000000", "currentColor").replace("<svg", '<svg fill="currentColor"', 1)
