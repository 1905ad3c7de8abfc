"""Protocol files: those that come with the package, by name, and a user's own, by path."""

from __future__ import annotations

from pathlib import Path

import yaml

from gdw.errors import ConfigError, nearest
from gdw.experiments.protocol import Protocol, named

_FOLDER = Path(__file__).parent / "protocols"


def shipped_protocols() -> dict[str, Path]:
    """The files that come with the package, by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def find_protocol(text: str) -> Path:
    """The file that `text` means: a path, or the bare name of a shipped protocol.

    Raises `ConfigError` naming the nearest shipped one.
    """
    path = Path(text)
    if path.is_file():
        return path
    shipped = shipped_protocols()
    if text in shipped:
        return shipped[text]
    raise ConfigError(
        f"no protocol file {text!r}, nor a shipped one of that name: expected a path or one of "
        f"{', '.join(shipped)}.{nearest(text, shipped)}"
    )


def read_protocol(path: Path) -> Protocol:
    """The protocol in a YAML file.

    Raises:
        ConfigError: not YAML, an unknown option, or one with a value that does not fit; names the file.
    """
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(written, dict):
        raise ConfigError(f"{path} must hold a protocol: name, base, data, methods, seeds, ...")
    written.setdefault("name", path.stem)
    return named(str(path), lambda: Protocol(**written).check())
