"""Import the names of a package on first use, so that `import gdw` and `gdw --help` stay fast."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy(
    package: str, home: Mapping[str, str], modules: Sequence[str] = ()
) -> Callable[[str], Any]:
    """Make the `__getattr__` for the `__init__` of a package.

    Args:
        package: the name of the package.
        home: the module of each public name.
        modules: submodules that are public themselves.
    """

    def get(name: str) -> Any:
        if name in home:
            return getattr(importlib.import_module(home[name]), name)
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
