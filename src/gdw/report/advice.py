"""What to do next, as commands for this run."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from gdw.errors import counted
from gdw.options import Options
from gdw.report.review import apply_command, cleaned_name
from gdw.runs.cleaned_copy import mode_to_propose
from gdw.runs.decisions import Settled
from gdw.runs.run import Run
from gdw.train.recommended import CHOSEN

# What a comparable run by another method does not take over: its data are named first, its method and its
# machine are its own.
_NOT_TAKEN_OVER = frozenset({
    "path", "add_clean", "method", "method_options", "meta_batch_size", "eval_batch_size", "accelerator",
    "capture", "devices", "nodes", "workers", "last_epochs", "progress", "checkpoints_kept",
    "checkpoint_every",
})  # fmt: skip


_WITHOUT_DECISIONS = {
    "RELABEL": "Or trust the list: write a copy in which all examples that are marked “check” have the "
    "suggested label. (With KEEP instead of RELABEL, the copy leaves these examples out.)",
    "KEEP": "Or write a copy that leaves out all examples that are marked “check”.",
}


@dataclass(frozen=True)
class Advice:
    """A command and its purpose."""

    why: str
    command: str


def advice(
    run: Run,
    *,
    measured: bool,
    compared: bool,
    data: str | None = None,
    decided: Settled | None = None,
) -> list[Advice]:
    """The next steps, most useful first, without those that are done.

    Args:
        run: the run.
        measured: figures on test data are known.
        compared: the figures of another run are known too.
        data: where the training data are now, if they were moved.
        decided: what a person has decided with `gdw verify`.
    """
    folder = str(run.path)
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
    elif run.data_config.noise is None and run.issues["is_label_issue"].any():
        # Labels that the run changed for an experiment are correct in the file.
        steps += _cleaning(run, data) if decided is None else _decided(run, data, decided)
    steps += _verifying(run, data)
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


def _verifying(run: Run, data: str | None) -> list[Advice]:
    """How to verify some examples of a run that had none."""
    config, folder = run.data_config, str(run.path)
    # The last two change the labels or the rows for an experiment.
    if any((config.meta, config.trusted, config.meta_size, config.noise, config.imbalance)):
        return []
    place = data or config.path
    options = _changed(config, without={"test", "test_label", "meta_label"})
    again = ("--config", f"{folder}/config.yaml", "--meta", "verify.jsonl")
    lines = (
        _line("suggest", place, *options, "--output", "verify.jsonl"),
        _line("verify", "verify.jsonl"),
        _line("train", place, *again, "--output", f"{folder}-verified"),
    )
    return [
        Advice(
            "Nobody has verified an example yet, so nothing shows how far to trust these figures. Choose "
            "some, say on a page in the browser what each one is, and train again with the answers.",
            "\n".join(lines),
        )
    ]


def _cleaning(run: Run, data: str | None) -> list[Advice]:
    folder, level = str(run.path), _level(run)
    options = ("--config", f"{folder}/config.yaml")
    by_hand = Advice(
        "Decide on the examples to check at the end of this page, and save your decisions. Then write a "
        "copy of your data with them. Your own data do not change.",
        apply_command(run, data=data),
    )
    if level == "poor":
        longer = ("--epochs", "EPOCHS", "--output", f"{folder}-longer")
        return [
            Advice(
                "The model has learned too little to find wrong labels. Train it for longer, or with more "
                "verified examples, then search again.",
                _line("train", *options, *longer),
            ),
            by_hand,
        ]
    cleaned, moved = cleaned_name(data or run.data_config.path), ("--data", data) if data else ()
    mode = mode_to_propose(run.require("issues"), level)
    if mode is None:
        return [by_hand, _again_on(cleaned, folder)]
    unseen = _line("audit", folder, *moved, "--apply", mode, "--output", cleaned)
    return [by_hand, Advice(_WITHOUT_DECISIONS[mode], unseen), _again_on(cleaned, folder)]


def _decided(run: Run, data: str | None, decided: Settled) -> list[Advice]:
    """What follows the decisions of a person."""
    folder, moved = str(run.path), ("--data", data) if data else ()
    cleaned = cleaned_name(data or run.data_config.path)
    rest = Advice(
        f"Decide on the other {counted(decided.left, 'label issue')}.",
        _line("verify", folder, "--issues", *moved),
    )
    return [
        *([rest] if decided.left else []),
        Advice(
            "Write a copy of your data with the decisions of gdw verify. Your own data do not change. (If "
            "you decide on this page too, use the command at its end instead.)",
            _line(
                *("audit", folder, *moved, "--apply", "RELABEL"),
                *(*decided.alone(run.path, _level(run)), "--output", cleaned),
            ),
        ),
        _again_on(cleaned, folder),
    ]


def _again_on(cleaned: str, folder: str) -> Advice:
    options = ("--config", f"{folder}/config.yaml", "--output", f"{folder}-cleaned")
    return Advice(
        "Train again on the copy, with the same options.", _line("train", cleaned, *options)
    )


def _comparison(run: Run, folder: str) -> list[Advice]:
    data, other = run.data_config, f"{folder}-plain"
    clean = any(value is not None for value in (data.meta, data.trusted, data.meta_size))
    model, sees = run.config.model, run.schema.kind in ("image", "text")
    # What the data would choose is said, so that the other run has the same.
    words = ["train", data.path, *_changed(data), *_changed(model, ["backbone"] if sees else [])]
    chosen = CHOSEN if model.uses_backbone else ["epochs"]
    words += [*_changed(run.config.training, chosen), "--method", "plain"]
    words += [*(["--add-clean"] if clean else []), "--output", other]
    return [
        Advice(
            "To see the effect of the method, train without it on the same examples.", _line(*words)
        ),
        Advice("Then compare both runs on one page.", _line("report", folder, "--baseline", other)),
    ]


def _changed(
    options: Options, always: Collection[str] = (), *, without: Collection[str] = ()
) -> list[str]:
    """The flags for the options that differ from their defaults, or that are in `always`."""
    words: list[str] = []
    left_out = _NOT_TAKEN_OVER.union(without)
    for name, field in type(options).model_fields.items():
        value, default = getattr(options, name), field.get_default(call_default_factory=True)
        differs = value != default and (name, value) != ("backbone", "none")
        if name not in left_out and value is not None and (differs or name in always):
            words += _flag("model" if name == "name" else name.replace("_", "-"), value)
    return words


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", ",".join(value) if isinstance(value, list) else str(value)]


def _line(*words: str) -> str:
    return "gdw " + shlex.join(words)
