"""The files of a saved encoder: JSON, and scikit-learn objects through skops; never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gdw.errors import RunError

FORMAT = 1
SETTINGS = "encoder.json"

# Types beyond the scikit-learn and NumPy ones that skops itself trusts. A file with any other is
# refused.
TRUSTED = frozenset({"numpy.dtype"})


def write_settings(folder: Path, encoder: str, settings: Mapping[str, Any]) -> None:
    """Write the settings of the encoder called `encoder`."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, "encoder": encoder, **settings}
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    # a killed process must not leave half a file under the name that is read
    unfinished = folder / (SETTINGS + ".tmp")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(folder / SETTINGS)


def read_settings(folder: Path) -> dict[str, Any]:
    """Read what `write_settings` wrote; `RunError` when it is missing, damaged or from a newer version."""
    path = folder / SETTINGS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"no encoder in {folder}: expected a file {SETTINGS} there; give the folder of a finished run"
        ) from None
    except (OSError, ValueError) as error:
        raise damaged(path) from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise damaged(path)
    if content["format"] > FORMAT:
        raise RunError(
            f"{path} was written by a newer gdw (format {content['format']}, this version reads "
            f"{FORMAT}): upgrade gdw"
        )
    return content


def write_sklearn(folder: Path, name: str, fitted: Any) -> None:
    import skops.io

    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / (name + ".tmp")
    unfinished.write_bytes(skops.io.dumps(fitted))
    unfinished.replace(folder / name)


def read_sklearn(folder: Path, name: str) -> Any:
    """Read what `write_sklearn` wrote; `RunError` for a missing, damaged or untrusted file."""
    import zipfile

    import skops.io

    path = folder / name
    try:
        content = path.read_bytes()
        found = skops.io.get_untrusted_types(data=content)
        refused = sorted(set(found) - TRUSTED)
        if refused:
            raise RunError(
                f"{path} holds objects of types that gdw never saves ({', '.join(refused)}): do not use "
                "this run, or train again"
            )
        return skops.io.loads(content, trusted=found)
    except FileNotFoundError:
        raise RunError(
            f"no file {path}, a part of the saved encoder: restore it or train again"
        ) from None
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise damaged(path) from error
    except (zipfile.BadZipFile, EOFError, ImportError) as error:
        raise damaged(path) from error


def damaged(path: Path) -> RunError:
    return RunError(f"{path} is damaged: restore it from a copy of the run, or train again")
