"""`gdw train`: train on the user's files and fill a run folder."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gdw.cli.app import notes_of_warnings, say, waiting_on_terminal
from gdw.cli.introduction import introduce
from gdw.cli.record_flags import add_record_flags, value_of_flag
from gdw.errors import ConfigError, counted
from gdw.options import Options
from gdw.reweight.registry import METHODS
from gdw.runs.config import DataConfig, RunConfig
from gdw.runs.model_config import ModelConfig
from gdw.train.config import TrainConfig
from gdw.train.recommended import CHOSEN

if TYPE_CHECKING:
    from gdw.runs.training import Training
    from gdw.train.output import FitResult

NEEDS_ARGUMENTS = True
EXAMPLES = (
    (
        "a table; in verified.csv are 10 or more rows of each class that you checked",
        "gdw train data.csv --label animal --meta verified.csv --output runs/animals",
    ),
    (
        "one file, whose column checked is true in the rows that you verified",
        "gdw train data.csv --label animal --trusted checked --output runs/animals",
    ),
    (
        "photographs in one folder for each class, verified ones likewise in another",
        "gdw train photos --meta verified --output runs/photos",
    ),
    ("go on after an interruption", "gdw train --resume --output runs/animals"),
)
EPILOG = "\n\n".join(
    (
        "Methods (gdw methods says what they do, gdw methods NAME lists their options for --set):",
        *(
            f"{family}: {', '.join(name for name, _ in members)}"
            for family, members in METHODS.families().items()
        ),
    )
)

RECORDS: dict[str, type[Options]] = {
    "data": DataConfig,
    "model": ModelConfig,
    "training": TrainConfig,
}
"""The sections of a configuration file; each field of their records has a flag."""

_RUN = "Run folder and progress"


@add_record_flags(
    tuple(RECORDS.values()),
    first=(
        "output", "label", "meta", "trusted", "test", "method", "epochs", "name", "augment", "resume"
    ),
    panels=(
        "Your data", "Verified examples", "Method", "Training", "Model", _RUN, "Machine", "Experiments"
    ),
    names={"path": "DATA", "name": "--model", "method_options": "--set"},
    completions={"method": METHODS},
    defaults=dict.fromkeys(CHOSEN, "chosen for the data"),
)  # fmt: skip
def train(
    ctx: typer.Context,
    output: Annotated[
        Path,
        typer.Option(
            help="The run folder, which is created. With --resume, the one to go on with.",
            metavar="FOLDER",
            rich_help_panel=_RUN,
        ),
    ],
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the run in --output with the options it was started with. DATA is not needed.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    stop_after: Annotated[
        int | None,
        typer.Option(
            help="Stop when this many epochs are done, and save; --resume goes on. If not given, train to "
            "the end.",
            min=1,
            metavar="N",
            rich_help_panel=_RUN,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file of options, such as the config.yaml of a run. Options of the command line "
            "take precedence, also to take a switch back: --no-NAME, such as --no-add-clean. If not given, "
            "only the command line counts.",
            metavar="FILE",
            rich_help_panel=_RUN,
        ),
    ] = None,
    **options: Any,
) -> None:
    """Train a classifier on DATA, with the help of verified examples.

    The run folder --output then holds the model and all that evaluate, predict, audit and report need.
    """
    from gdw.cli.errors import INTERRUPTED

    passed = {name: value for name, value in options.items() if _is_passed(ctx, name)}
    with _waiting(passed.get("progress")):
        training = _training(passed, config, output, resume=resume)
        began = time.perf_counter()
        training.read()
    # Features have a display of their own.
    with nullcontext() if training.config.model.frozen else _waiting(passed.get("progress")):
        announced = training.note
        if announced:
            say(announced)
        before_import = time.perf_counter()
        # PyTorch takes seconds to import: the mistakes that users make come before.
        from gdw.train.before_training import StoppedInPreparation

        began += time.perf_counter() - before_import
        prepared = training.prepare()
        network = training.build_model(prepared)
    read = time.perf_counter()
    if training.is_first_process:
        introduce(training, prepared, network, announced=announced)
    try:
        result = training.fit(prepared, network, stop_after=stop_after)
    except StoppedInPreparation as stopped:
        how = "start it again with the same command"
        if stopped.resumable:
            how = f"to go on: gdw train --resume --output {shlex.quote(str(output))}"
        raise KeyboardInterrupt(f"stopped during preparation; {stopped.kept}; {how}") from None
    if training.is_first_process:
        took = time.perf_counter() - read
        say(f"time: reading and encoding {read - began:.1f} s, training {took:.1f} s")
        _conclude(training, result)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)


def _waiting(progress: str | None) -> AbstractContextManager[None]:
    """On a terminal a sign of life while the data are read, from the process that speaks for all."""
    first = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"
    if progress == "none" or not first:
        return nullcontext()
    return waiting_on_terminal("reading and encoding the data")


def _is_passed(ctx: typer.Context, name: str) -> bool:
    """Whether the user wrote the option, so that its value is not only the default."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _training(
    passed: Mapping[str, Any], file: Path | None, output: Path, *, resume: bool
) -> Training:
    """The run that the command line, the configuration file and, to resume, the run folder describe."""
    from gdw.runs.config_files import read_config_file
    from gdw.runs.run import ENCODER
    from gdw.runs.skipped_images import SKIPPED
    from gdw.runs.training import Training
    from gdw.train.run_folder import require_own_place

    sections = read_config_file(file) if file is not None else {}
    _forget_options_of_another(sections.get("training"), passed.get("method"))
    _add_flags(sections, passed)
    data = sections["data"]
    if (
        isinstance(data, dict)
        and str(data.get("trusted")).endswith(".jsonl")
        and "meta" not in data
    ):
        data["meta"] = data.pop("trusted")  # a verification file, not a column
    if not isinstance(data, dict) or "path" in data:
        config = _parse(sections)
        if not resume:
            read = (getattr(config.data, name) for name in sorted(config.data.paths))
            require_own_place(output, read, leftovers=(ENCODER, SKIPPED))
        return Training(config, output, resume=resume, choose=True)
    if resume:
        with notes_of_warnings(FutureWarning):
            return Training.resume(output, sections)
    raise ConfigError("name the data to train on: gdw train DATA --label COLUMN --output RUN")


def _add_flags(sections: dict[str, Any], passed: Mapping[str, Any]) -> None:
    """Put the flags of the command line into the sections of their records."""
    for name, record in RECORDS.items():
        section = sections.setdefault(name, {})
        if isinstance(section, dict):
            fields = record.model_fields.keys() & passed.keys()
            section.update({field: value_of_flag(field, passed[field]) for field in fields})


def _parse(sections: Mapping[str, Any]) -> RunConfig:
    """The records of the sections; a spelling that is out of date is a note on standard error."""
    with notes_of_warnings(FutureWarning):
        return RunConfig.parse(sections)


def _forget_options_of_another(options: Any, method: str | None) -> None:
    """If the command line names another method than the file, the file's method options do not apply."""
    if isinstance(options, dict) and method not in (None, options.get("method", method)):
        options.pop("method_options", None)


def _conclude(training: Training, result: FitResult) -> None:
    output = shlex.quote(str(training.output))
    if result.epochs_done < training.config.training.epochs:
        say(
            f"stopped: {counted(result.epochs_done, 'epoch is', 'epochs are')} done and "
            f"saved; to go on: gdw train --resume --output {output}"
        )
        return
    if result.epochs_before == result.epochs_done:
        say(f"complete: all {result.epochs_done} epochs were done before")
    if "test_accuracy" in result.final:
        say(
            f"test accuracy {result.final['test_accuracy']:.2%}, "
            f"balanced {result.final['test_balanced_accuracy']:.2%} "
            f"({_mean_of_last(result.averaged_epochs)})"
        )
    say(f"run folder: {training.output}")
    measure = "" if "test_accuracy" in result.final else f"gdw evaluate {output} DATA, or "
    say(f"next: {measure}gdw audit {output}")


def _mean_of_last(epochs: int) -> str:
    return "of the last epoch" if epochs == 1 else f"mean of the last {epochs} epochs"
