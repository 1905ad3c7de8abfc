"""Protocol files: those that come with the package, and how one is found and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gdw.errors import ConfigError, nearest
from gdw.experiments.protocol import Protocol, error_prefix
from gdw.files.yaml_files import read_options

_SHIPPED = Path(__file__).parent / "protocols"


def shipped_protocols() -> dict[str, Path]:
    """The protocol files that come with the package, by name.

    >>> "smoke" in shipped_protocols()
    True
    """
    return {path.stem: path for path in sorted(_SHIPPED.glob("*.yaml"))}


def find_protocol(text: str) -> Path:
    """The protocol file that `text` means: a path, or the name of a shipped protocol.

    Raises:
        ConfigError: there is no such file; the message names the nearest shipped protocol.

    >>> find_protocol("smoke").name
    'smoke.yaml'
    """
    path = Path(text)
    if path.is_file():
        return path
    shipped = shipped_protocols()
    if text in shipped:
        return shipped[text]
    raise ConfigError(
        f"no protocol file {text!r}: it does not exist, and no shipped protocol has that name: expected a "
        f"path or one of {', '.join(shipped)}.{nearest(path.stem, shipped, cutoff=0.75)}"
    )


def read_protocol(path: Path) -> Protocol:
    """Read the protocol in a YAML file.

    `based_on: NAME_OR_PATH` takes all entries that the file does not have from another protocol.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or has an unknown option or a value that does not
            fit; the message names the file.

    >>> read_protocol(find_protocol("smoke")).name
    'smoke'
    """
    content = _content(path)
    with error_prefix(str(path)):
        return Protocol(**content).check()


def _content(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The entries of the file, and those of the protocol that it names with `based_on`."""
    content = read_options(path, "a protocol: name, base, data, methods, seeds, ...")
    content.setdefault("name", path.stem)
    basis = content.pop("based_on", None)
    if basis is None:
        return content
    chain = (*above, path.resolve())
    with error_prefix(f"{path}: based_on"):
        beside = path.parent / str(basis)
        found = beside if beside.is_file() else find_protocol(str(basis))
        if found.resolve() in chain:
            raise ConfigError(f"{basis!r} is based on this file itself: name another protocol")
    return {**_content(found, chain), **content}
