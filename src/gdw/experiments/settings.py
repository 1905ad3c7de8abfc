"""From a cell of a protocol to the configuration of its run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdw.errors import ConfigError
from gdw.experiments.cells import Cell
from gdw.experiments.material import Material, parse_material
from gdw.experiments.protocol import DataEntry, Protocol, named
from gdw.runs.config import RunConfig

PLACEHOLDER = "${data}"


@dataclass(frozen=True)
class Places:
    """Where paths of a protocol lead: relative ones start at its own folder, `${data}` is `data_root`."""

    folder: Path
    data_root: Path | None = None

    def resolve(self, path: str) -> str:
        """The absolute path. Raises `ConfigError` when `${data}` stands in it and no folder was named."""
        if PLACEHOLDER in path:
            if self.data_root is None:
                raise ConfigError(
                    f"{path!r} is below the folder of your data sets: name it with --data-root DIR"
                )
            path = path.replace(PLACEHOLDER, str(self.data_root))
        return str((self.folder / path).resolve())


@dataclass(frozen=True)
class CellSettings:
    """Everything that decides what a cell computes.

    Attributes:
        config: the run, with paths that can be opened.
        written: the same as the protocol writes it, with the preparation and the column of true labels:
            what a cell that is already there is compared with.
        truth: the column of true labels, if any.
        material: what makes the files first, if anything does.
    """

    config: RunConfig
    written: dict[str, Any]
    truth: str | None
    material: Material | None


def cell_settings(protocol: Protocol, cell: Cell, *, places: Places, data: Path) -> CellSettings:
    """The run of `cell`; prepared files are, or will be, in the folder `data`.

    Raises:
        ConfigError: naming the entry of the protocol, an option that is unknown or does not fit.
    """
    entry = protocol.data_entry(cell.data)
    where = f"data.{cell.data}"
    material = named(where, lambda: parse_material(entry.prepare, places))
    raw = _sections(protocol, cell, entry)
    prepared = {} if material is None else material.places(data)
    raw["data"] = {**prepared, **raw["data"]}
    asked = named(f"{where} with methods.{cell.method}", lambda: RunConfig.parse(raw))
    if asked.data.test is None:
        raise ConfigError(f"{where}: expected test data to measure on, found none: give test")
    plain = asked.plain()
    for option, path in prepared.items():
        if plain["data"][option] == path:
            # Where prepared files lie is no setting: the folder of the grid may be moved.
            plain["data"][option] = f"prepared/{Path(path).name}"
    written = {section: plain[section] for section in ("data", "model", "training")}
    return CellSettings(
        config=named(where, lambda: asked.replaced(_resolved(asked, places))),
        written={**written, "prepare": entry.prepare, "truth": entry.truth},
        truth=entry.truth,
        material=material,
    )


def differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What has changed between two `CellSettings.written`, as text; nothing if they compute the same."""
    found = [
        f"{name} (was {earlier.get(name)!r}, now {now.get(name)!r})"
        for name in ("prepare", "truth")
        if earlier.get(name) != now.get(name)
    ]
    sections = ("data", "model", "training")
    try:
        before = RunConfig.parse({name: earlier[name] for name in sections})
    except (ConfigError, KeyError) as error:
        return [*found, f"settings that this version cannot read ({error})"]
    return found + RunConfig.parse({name: now[name] for name in sections}).conflicts(before)


def _sections(protocol: Protocol, cell: Cell, entry: DataEntry) -> dict[str, dict[str, Any]]:
    method = protocol.method_entry(cell.method)
    base = {name: dict(protocol.base.get(name) or {}) for name in ("data", "model", "training")}
    data = {**base["data"], **entry.data}
    # A spoiling that the entry itself names is part of the data set; the axes come on top of none.
    for axis, value in (("noise", cell.noise), ("imbalance", cell.imbalance)):
        if value is not None:
            data[axis] = value
    if entry.truth is not None:
        data["drop"] = [*data.get("drop", []), entry.truth]
    training = {
        "progress": "none",
        "checkpoints_kept": 1,
        **base["training"],
        **entry.training,
        **method.training,
        "method": method.method,
        "method_options": method.method_options,
        "seed": cell.seed,
    }
    return {"data": data, "model": {**base["model"], **entry.model}, "training": training}


def _resolved(config: RunConfig, places: Places) -> dict[str, dict[str, Any]]:
    """The options that are paths, absolute."""
    found: dict[str, dict[str, Any]] = {}
    for section, options in (("data", config.data), ("model", config.model)):
        given = {name: getattr(options, name) for name in options.paths}
        found[section] = {k: places.resolve(v) for k, v in given.items() if v is not None}
    kind, _, file = (config.data.noise or "").partition(":")
    if kind == "matrix":
        found["data"]["noise"] = f"matrix:{places.resolve(file)}"
    return found
