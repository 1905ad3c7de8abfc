"""What to do next, as commands for this run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdw.options import Options
from gdw.runs.config import DataConfig
from gdw.runs.run import Run

# What a comparable run by another method does not take over: its data are named first, its method and its
# machine are its own.
_NOT_TAKEN_OVER = frozenset({
    "path", "add_clean", "method", "method_options", "meta_batch_size", "eval_batch_size", "accelerator",
    "devices", "nodes", "workers", "last_epochs", "progress", "checkpoints_kept", "checkpoint_every",
})  # fmt: skip


@dataclass(frozen=True)
class Advice:
    """A command and its purpose."""

    why: str
    command: str


def advice(run: Run, *, measured: bool, compared: bool) -> list[Advice]:
    """The next steps, most useful first, without those that are done.

    Args:
        run: the run.
        measured: figures on test data are known.
        compared: the figures of another run are known too.
    """
    folder, data = str(run.path), run.data_config
    if len(run.history) < run.config.training.epochs:
        resume = _line("train", "--resume", "--output", folder)
        return [
            Advice("Training has not finished. Continue it, then make this page again.", resume)
        ]
    steps: list[Advice] = []
    if run.issues is None:
        steps.append(
            Advice("Search for wrong labels, then make this page again.", _line("audit", folder))
        )
    elif data.noise is None and run.issues["is_label_issue"].any():
        # Labels that the run changed for an experiment are correct in the file.
        steps += _cleaning(folder, data, _level(run))
    if not measured:
        steps.append(
            Advice(
                "Measure the model on examples with verified labels that were not used in training.",
                _line("report", folder, "--test", "TEST_DATA"),
            )
        )
    if not compared and run.config.training.method != "plain":
        steps += _comparison(run, folder)
    predict = _line("predict", folder, "NEW_DATA", "--output", "predictions.csv")
    return [*steps, Advice("Predict the classes of new data.", predict)]


def _level(run: Run) -> str | None:
    """The level of the judgement of the audit; None if an earlier version made the audit."""
    judgement = (run.audit or {}).get("assessment")
    return None if judgement is None else str(judgement["level"])


def _cleaning(folder: str, data: DataConfig, level: str | None) -> list[Advice]:
    options = ("--config", f"{folder}/config.yaml")
    if level == "poor":
        longer = ("--epochs", "EPOCHS", "--output", f"{folder}-longer")
        return [
            Advice(
                "The model has learned too little to find wrong labels. Train it for longer, or with more "
                "verified examples, then search again.",
                _line("train", *options, *longer),
            )
        ]
    path = Path(data.path)
    cleaned = str(path.with_name(f"{path.stem}-cleaned{path.suffix}"))
    mode, how = "KEEP", "without those that are still marked"
    if level == "supported":
        mode, how = (
            "RELABEL",
            "with the suggested labels (or, with KEEP instead of RELABEL, without the suspicious examples)",
        )
    return [
        Advice(
            f"Check the suspicious examples above. Then write a copy of your data {how}. Your own file does "
            "not change.",
            _line("audit", folder, "--apply", mode, "--output", cleaned),
        ),
        Advice(
            "Train again on the cleaned copy, with the same options.",
            _line("train", cleaned, *options, "--output", f"{folder}-cleaned"),
        ),
    ]


def _comparison(run: Run, folder: str) -> list[Advice]:
    data, other = run.data_config, f"{folder}-plain"
    clean = any(value is not None for value in (data.meta, data.trusted, data.meta_size))
    words = ["train", data.path, *_changed(data), *_changed(run.config.model)]
    words += [*_changed(run.config.training), "--method", "plain"]
    words += [*(["--add-clean"] if clean else []), "--output", other]
    return [
        Advice(
            "To see the effect of the method, train without it on the same examples.", _line(*words)
        ),
        Advice("Then compare both runs on one page.", _line("report", folder, "--baseline", other)),
    ]


def _changed(options: Options) -> list[str]:
    """The flags of `gdw train` for the options of a record that differ from their defaults."""
    words: list[str] = []
    for name, field in type(options).model_fields.items():
        value, default = getattr(options, name), field.get_default(call_default_factory=True)
        if name not in _NOT_TAKEN_OVER and value != default:
            words += _flag("model" if name == "name" else name.replace("_", "-"), value)
    return words


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", ",".join(value) if isinstance(value, list) else str(value)]


def _line(*words: str) -> str:
    return "gdw " + shlex.join(words)
