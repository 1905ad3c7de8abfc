"""The names of the networks of torchvision and timm, read from their source: importing them takes seconds."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from gdw.errors import ConfigError, nearest

_REGISTERED = re.compile(r"^@register_model[^\n]*\n(?:@[^\n]*\n)*def (\w+)\(", re.MULTILINE)


@cache
def known_names(library: str) -> frozenset[str]:
    """The names that `library` registers, "torchvision" or "timm"; empty if it is not installed."""
    found = find_spec(library)
    if found is None or found.origin is None:
        return frozenset()
    sources = sorted((Path(found.origin).parent / "models").glob("*.py"))
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in sources)
    return frozenset(name for text in texts for name in _REGISTERED.findall(text))


def require_known(library: str, name: str) -> None:
    """Check that `library` has a network of this name.

    Raises:
        ConfigError: it has none. The message has the nearest name.
    """
    known = known_names(library)
    # timm takes names with a tag too, such as "resnet50.a1_in1k", and names of other repositories.
    plain = name.partition(".")[0] if library == "timm" else name
    if not known or plain in known or ":" in name:
        return
    raise ConfigError(
        f"{library} has no network {name!r}: expected one that {library}.list_models() lists."
        + nearest(plain, sorted(known))
    )
