"""`gdw suggest --for certificate`: its options, and what it says."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.cli.app import note
from gdw.cli.suggest_look import columns_aside, look_at, require_options_of_run
from gdw.errors import ConfigError, nearest, shown

if TYPE_CHECKING:
    from gdw.data.verification import Queue, Verification
    from gdw.suggestion.suggesting import Suggestion

TRAINING, CERTIFICATE = "training", "certificate"
PURPOSES = (TRAINING, CERTIFICATE)

_INSTEAD = {
    "strategy": "it has a draw of its own; --strategy random is the other one that certifies",
    "verified": "rows are drawn from all of DATA, and --output FILE adds to a file that has some",
    "meta": "rows are drawn from all of DATA",
    "trusted": "rows are drawn from all of DATA, and --drop COLUMN keeps the column from being an input",
    "meta_label": "--drop COLUMN keeps the column from being an input",
    "limit": "rows are drawn from all of DATA",
}


def is_for_certificate(purpose: str, passed: Collection[str]) -> bool:
    """Whether `--for` is "certificate".

    Args:
        purpose: its value.
        passed: the names of the options that the user wrote.

    Raises:
        ConfigError: the value is unknown, or an option does not go together with it.
    """
    if purpose not in PURPOSES:
        raise ConfigError(
            f"--for: expected one of {', '.join(PURPOSES)}, found {purpose!r}.{nearest(purpose, PURPOSES)}"
        )
    if purpose == TRAINING:
        return False
    for name, instead in _INSTEAD.items():
        if name in passed:
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"--for certificate: leave {flag} out ({instead})")
    return True


def certifying(
    passed: dict[str, Any],
    run: Path | None,
    fields: Collection[str],
    n: int,
    seed: int,
    output: Path,
    earlier: Verification | None,
) -> tuple[Suggestion, Queue, list[str]]:
    """Draw rows for a certificate, and write them.

    Args:
        passed: the options of the data that the user wrote.
        run: the run whose data they are; None for none.
        fields: the options of the data that `gdw suggest` has.
        n, seed: how many rows, and of the draw.
        output: the verification file.
        earlier: the rows that it has.

    Returns:
        The rows, the file, and what to say: what is certain now, what it will be, and last what to do next.
    """
    if run is not None:
        require_options_of_run(passed)
    _require_all_rows(earlier)
    if run is not None:
        passed = _options_of_run(run, passed, fields)
        if line := _note_on_run(run, output):
            note(line)
    from gdw.suggestion.for_certificate import rows_for_certificate

    looked, known, config = look_at(passed, [], earlier, seed)
    found, prospect = rows_for_certificate(looked, known, n, earlier, seed=seed)
    queue = found.write(output, config, earlier)
    return found, queue, [*prospect.lines(), _what_is_next(queue.path, run)]


def _require_all_rows(earlier: Verification | None) -> None:
    """`DataError` if rows that are added to a file would be drawn from a part of the data."""
    if earlier is not None:
        from gdw.suggestion.draws import require_sample

        require_sample(earlier.queue)


def _options_of_run(
    run: Path, passed: Mapping[str, Any], fields: Collection[str]
) -> dict[str, Any]:
    """The options of the data and the backbone of a run, as if the user had passed them.

    Args:
        run: its folder.
        passed: options that the user wrote; the path of the data counts.
        fields: the options of `gdw suggest`.

    Raises:
        DataError: the run was not trained on its data as they are.
    """
    from gdw.runs.run import load
    from gdw.suggestion.run_certificate import require_whole

    opened = load(run)
    require_whole(opened)
    data, model = opened.data_config, opened.model_config
    options = {name: getattr(data, name) for name in data.model_fields_set & set(fields)}
    options |= {
        "drop": [*data.drop, *columns_aside(data)],
        "backbone": model.backbone if model.uses_backbone else "none",
    }
    for name in ("meta", "trusted", "meta_label"):
        options.pop(name, None)
    return options | ({"path": passed["path"]} if "path" in passed else {})


def _what_is_next(queue: Path, run: Path | None) -> str:
    name = "RUN" if run is None else shlex.quote(str(run))
    return f"then: gdw audit {name} --verified {shlex.quote(str(queue))}"


def _note_on_run(run: Path, output: Path) -> str:
    """That the verification file of a run could be added to, in one line; empty if it could not."""
    from gdw.data.verification import is_queue, read_queue
    from gdw.errors import DataError
    from gdw.runs.run import load
    from gdw.suggestion.draws import require_sample

    meta = load(run).data_config.meta
    if meta is None or not is_queue(meta) or Path(meta).resolve() == output.resolve():
        return ""
    try:
        require_sample(read_queue(meta))
    except DataError:
        return ""
    return (
        f"the rows of {shown(meta)} were drawn at random: --output {shown(meta)} would add to them"
    )
