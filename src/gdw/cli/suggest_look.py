"""The data that `gdw suggest` chooses rows from, as quick models or a run see them, and what is verified."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.cli.app import say, waiting_on_terminal
from gdw.errors import ConfigError
from gdw.runs.config import DataConfig, RunConfig
from gdw.runs.model_config import ModelConfig
from gdw.train.config import TrainConfig

if TYPE_CHECKING:
    from gdw.data.verification import Verification
    from gdw.suggestion.known import Known
    from gdw.suggestion.suggesting import Looked


def look_at(
    passed: dict[str, Any], files: list[Path], earlier: Verification | None, seed: int
) -> tuple[Looked, Known, DataConfig]:
    """The data as quick models see them, and what is verified."""
    from gdw.runs.network import backbone_for, require_possible_early
    from gdw.suggestion.suggesting import known_rows, look, read_rows, verification_files

    if "path" not in passed:
        raise ConfigError(
            "name the data: gdw suggest DATA --label COLUMN --output FILE, or a run: gdw suggest --run RUN"
        )
    model = {"backbone": passed.pop("backbone")} if "backbone" in passed else {}
    config, found = verification_files(DataConfig(**passed), [*map(str, files)])
    whole = RunConfig(config, ModelConfig(**model), TrainConfig())
    require_possible_early(whole)
    with waiting_on_terminal("reading the data"):
        source, schema = read_rows(config, seed=seed)
        known = known_rows(source, schema, config, files=found, earlier=earlier)
        name, advice = backbone_for(whole, source, choose=True)
    for line in (*source.notes, *known.notes, advice):
        if line:
            say(line)
    chosen = whole.with_options(model={"backbone": name}).model
    # Features have a display of their own.
    with nullcontext() if chosen.frozen else waiting_on_terminal("comparing labels and examples"):
        return look(source, schema, config, chosen, seed=seed), known, config


def look_at_run(
    run: Path, passed: dict[str, Any], files: list[Path], earlier: Verification | None
) -> tuple[Looked, Known, DataConfig]:
    """The training data of a run as it sees them, and what is verified."""
    from gdw.suggestion.from_run import look_at_run as look
    from gdw.suggestion.suggesting import add_files, verification_files

    require_options_of_run(passed)
    looked, known, config = look(run, data=passed.get("path"))
    _, found = verification_files(DataConfig(path=config.path), [*map(str, files)])
    add_files(known, looked.source, config, found, earlier)
    for line in known.notes:
        say(line)
    return looked, known, config


def require_options_of_run(passed: dict[str, Any]) -> None:
    """`ConfigError` if the user wrote options of the data, which a run has."""
    others = sorted(passed.keys() - {"path"})
    if others:
        raise ConfigError(
            "with --run the options of the data are those of the run: leave "
            f"--{others[0].replace('_', '-')} out"
        )


def columns_aside(data: DataConfig) -> list[str]:
    """The columns of verified labels of a run: they are no inputs, and would show the answers."""
    named = (data.meta_label, data.trusted)
    return [name for name in named if name is not None and name != data.label]
