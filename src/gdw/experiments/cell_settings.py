"""From a cell of a protocol to the configuration of its run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdw.errors import ConfigError
from gdw.experiments.cells import Cell
from gdw.experiments.contenders import CONTENDERS, parse_contender
from gdw.experiments.dataset_builders import DatasetBuilder, parse_builder
from gdw.experiments.protocol import SECTIONS, DataEntry, Protocol, ProtocolPaths, error_prefix
from gdw.reweight.registry import modernised
from gdw.runs.config import RunConfig

MADE = "prepared/"
"""How `CellSettings.written` begins the path of a file that is made first."""


@dataclass(frozen=True)
class CellSettings:
    """Everything that decides the result of a cell.

    Attributes:
        config: the run, with paths that can be opened.
        written: the same as the protocol writes it, with `prepare` and `truth`. A cell that is in the folder
            already is compared with it.
        truth: the column of true labels, if there is one.
        contender: name and options of a method that trains no network, see `gdw.experiments.contenders`; the
            method in `config` then stands for nothing.
        records_weights: whether the weights are recorded after each epoch, which changes no result.
        answers: what a person verifies, see `gdw.experiments.answers`; None for nothing.
        certificates: how many draws of rows to verify are tried, see `gdw.experiments.certificates`; None for
            none.
        builder: makes the files of the data set before the first run, if they are not there as they are.
    """

    config: RunConfig
    written: dict[str, Any]
    truth: str | None
    contender: dict[str, Any] | None
    builder: DatasetBuilder | None
    records_weights: bool = False
    answers: dict[str, Any] | None = None
    certificates: int | None = None


def cell_settings(
    protocol: Protocol, cell: Cell, *, paths: ProtocolPaths, data: Path
) -> CellSettings:
    """The settings of `cell`.

    Args:
        protocol: the protocol of the cell.
        cell: one of its cells.
        paths: where the protocol's paths lead.
        data: the folder below which files that are made first are, or will be.

    Raises:
        ConfigError: an option is unknown or does not fit; the message names the entry of the protocol.
    """
    entry = protocol.data_entry(cell.data)
    where, validation = f"data.{cell.data}", protocol.rows == "validation"
    with error_prefix(where):
        builder = parse_builder(entry.prepare, paths, validation=validation)
        if builder is None and validation:
            raise ConfigError("rows: validation needs files that prepare makes, found no prepare")
    sections = _sections(protocol, cell, entry)
    contender = _contender(protocol, cell)
    made = {} if builder is None else builder.places(data)
    sections["data"] = {**made, **sections["data"]}
    with error_prefix(f"{where} with methods.{cell.method}"):
        config = RunConfig.parse(sections)
    if config.data.test is None:
        raise ConfigError(f"{where}: expected test data to measure on, found none: give test")
    with error_prefix(where):
        resolved = config.replaced(_resolved(config, paths))
    prepare = {**(entry.prepare or {}), "rows": "validation"} if validation else entry.prepare
    written = {**_written(config, made), "prepare": prepare, "truth": entry.truth}
    if contender is not None:
        written["contender"] = contender
    answers = _answers(protocol, cell, entry)
    if answers is not None:
        written["answers"] = answers
    certificates = None if contender is None else protocol.certificates
    if certificates is not None:
        written["certificates"] = certificates
    records = protocol.records_weights
    return CellSettings(
        resolved, written, entry.truth, contender, builder, records, answers, certificates
    )


def differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What changed between two `CellSettings.written`, as text; empty if both give the same result.

    `earlier` may use the spelling of gdw 0.1.0 for the method and its options.
    """
    changed = [
        f"{name} (was {earlier.get(name)!r}, now {now.get(name)!r})"
        for name in ("prepare", "truth", "contender", "answers", "certificates")
        if earlier.get(name) != now.get(name)
    ]
    try:
        before = RunConfig.parse({**{name: earlier[name] for name in SECTIONS}, **_modern(earlier)})
    except (ConfigError, KeyError) as error:
        return [*changed, f"settings that this version cannot read ({error})"]
    return changed + RunConfig.parse({name: now[name] for name in SECTIONS}).conflicts(before)


def _modern(earlier: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The section `training` of `earlier` in today's spelling, without a deprecation warning."""
    training = earlier["training"]
    method, options, _ = modernised(training["method"], training["method_options"])
    return {"training": {**training, "method": method, "method_options": options}}


def _sections(protocol: Protocol, cell: Cell, entry: DataEntry) -> dict[str, dict[str, Any]]:
    method = protocol.method_entry(cell.method)
    base = {name: dict(protocol.base.get(name) or {}) for name in SECTIONS}
    data = {**base["data"], **entry.data, **method.data}
    # Noise that the entry itself names is a part of the data set; the null of an axis leaves it there.
    for axis, value in (("noise", cell.noise), ("imbalance", cell.imbalance)):
        if value is not None:
            data[axis] = value
    if entry.truth is not None:
        drop = data.get("drop", [])
        data["drop"] = [*drop, entry.truth] if isinstance(drop, list) else drop
    trains = method.method not in CONTENDERS
    training = {
        "progress": "none",
        "checkpoints_kept": 1,
        **base["training"],
        **entry.training,
        **method.training,
        "method": method.method if trains else "plain",
        "method_options": method.method_options if trains else {},
        "seed": cell.seed,
    }
    return {"data": data, "model": {**base["model"], **entry.model}, "training": training}


def _contender(protocol: Protocol, cell: Cell) -> dict[str, Any] | None:
    method = protocol.method_entry(cell.method)
    if method.method not in CONTENDERS:
        return None
    with error_prefix(f"methods.{cell.method}"):
        parse_contender(method.method, method.method_options)
    return {"name": method.method, "options": method.method_options}


def _answers(protocol: Protocol, cell: Cell, entry: DataEntry) -> dict[str, Any] | None:
    options = protocol.method_entry(cell.method).answers
    if options is None or entry.answers is None:
        return None
    from gdw.experiments.answers import Answers

    with error_prefix(f"methods.{cell.method}.answers"):
        return Answers(rows=entry.answers, **options).model_dump()


def _written(config: RunConfig, made: Mapping[str, str]) -> dict[str, Any]:
    plain = config.plain()
    for option, path in made.items():
        if plain["data"][option] == path:
            # The place of files that are made first is not a setting: the grid's folder may be moved.
            plain["data"][option] = f"{MADE}{Path(path).name}"
    return {section: plain[section] for section in SECTIONS}


def _resolved(config: RunConfig, paths: ProtocolPaths) -> dict[str, dict[str, Any]]:
    """The options that are paths, absolute."""
    sections: dict[str, dict[str, Any]] = {}
    for section, options in (("data", config.data), ("model", config.model)):
        values = {name: getattr(options, name) for name in options.paths}
        sections[section] = {k: paths.resolve(v) for k, v in values.items() if v is not None}
    kind, _, file = (config.data.noise or "").partition(":")
    if kind == "matrix":
        sections["data"]["noise"] = f"matrix:{paths.resolve(file)}"
    return sections
