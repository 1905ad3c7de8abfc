"""What makes the files of a data set before its first cell runs: once, shared by all cells."""

from __future__ import annotations

import hashlib
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from gdw.errors import ConfigError, nearest
from gdw.options import Options

Say = Callable[[str], None]


class Resolver(Protocol):
    """Where paths of a protocol lead."""

    def resolve(self, path: str) -> str: ...


class Material(Options, ABC):
    """A way to make files; its fields are the options beside `how` under `prepare`."""

    what: ClassVar[str] = "prepare "
    paths: ClassVar[frozenset[str]] = frozenset()
    """The fields that are paths."""

    key: str = ""
    """Names the folder: a sum over the options as the protocol writes them."""

    @property
    @abstractmethod
    def files(self) -> Mapping[str, str]:
        """The names of the files by the option of `DataConfig` that each becomes."""

    @abstractmethod
    def write(self, folder: Path, say: Say) -> None:
        """Make the files in `folder`, which may hold what an interrupted attempt left."""

    def places(self, data: Path) -> dict[str, str]:
        """Where the files are, or will be, below the folder `data`, by option."""
        return {
            option: str((data / self.key / name).resolve()) for option, name in self.files.items()
        }

    def make(self, data: Path, say: Say) -> None:
        """Have the files ready: made in a folder that gets its name when all are whole."""
        done = data / self.key
        if done.is_dir():
            return
        unfinished = data / f"{self.key}.unfinished"
        unfinished.mkdir(parents=True, exist_ok=True)
        self.write(unfinished, say)
        unfinished.replace(done)


def parse_material(prepare: Mapping[str, Any] | None, places: Resolver) -> Material | None:
    """The preparation that `how` names, with its paths resolved.

    Raises `ConfigError` for an unknown one, or an option that does not fit.
    """
    if prepare is None:
        return None
    options = dict(prepare)
    how = str(options.pop("how", None))
    kinds = _kinds()
    if how not in kinds:
        raise ConfigError(
            f"prepare: expected how: to be one of {', '.join(kinds)}, found {how!r}.{nearest(how, kinds)}"
        )
    kind = kinds[how]
    for name in kind.paths & options.keys():
        if isinstance(options[name], str):
            options[name] = places.resolve(options[name])
    summed = hashlib.sha256(json.dumps(dict(prepare), sort_keys=True).encode()).hexdigest()
    return kind(**{**options, "key": f"{how}-{summed[:8]}"})


def clear_folder(folder: Path) -> None:
    """Remove what an interrupted attempt left, for makers that start anew."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _kinds() -> dict[str, type[Material]]:
    from gdw.experiments.digits import Digits
    from gdw.experiments.features import Features
    from gdw.experiments.layouts import Layout
    from gdw.experiments.subset import Subset

    return {"digits": Digits, "features": Features, "layout": Layout, "subset": Subset}
