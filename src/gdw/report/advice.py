"""What to do next: commands to copy, for this run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from gdw.options import Options
from gdw.report.folder import RunParts
from gdw.runs.config import DataConfig

# What another method needs to train alike; the options of the method itself are its own.
_DATA = ("label", "meta", "meta_label", "meta_size", "trusted", "test", "test_label", "image", "text",
         "features", "drop", "limit", "noise", "imbalance", "image_size")  # fmt: skip
_MODEL = ("name", "pretrained", "weights")
_TRAINING = ("epochs", "batch_size", "accumulate", "optimizer", "lr", "momentum", "weight_decay", "schedule",
             "warmup_epochs", "clip_grad_norm", "augment", "precision", "seed")  # fmt: skip


@dataclass(frozen=True)
class Advice:
    """A command and what it is good for."""

    why: str
    command: str


def advice(parts: RunParts, *, measured: bool, compared: bool) -> list[Advice]:
    """The next steps, the most useful first; those that are done already are left out."""
    run, data = str(parts.path), parts.config.data
    if len(parts.history) < parts.config.training.epochs:
        go_on = _line("train", "--resume", "--output", run)
        return [
            Advice("This run has not finished: go on with it, then make this page again.", go_on)
        ]
    steps: list[Advice] = []
    if parts.issues is None:
        steps.append(
            Advice(
                "Find the labels that look wrong; then make this page again.", _line("audit", run)
            )
        )
    elif data.noise is None and parts.issues["is_label_issue"].any():
        # Labels spoiled for an experiment are not those in the file, which needs no cleaning.
        steps += _cleaning(run, data)
    if not measured:
        steps.append(
            Advice(
                "Measure the model on examples with checked labels that it has not seen.",
                _line("report", run, "--test", "TEST_DATA"),
            )
        )
    if not compared and parts.config.training.method != "plain":
        steps += _comparison(parts, run)
    steps.append(
        Advice("Use the model.", _line("predict", run, "NEW_DATA", "--output", "predictions.csv"))
    )
    return steps


def _cleaning(run: str, data: DataConfig) -> list[Advice]:
    path = Path(data.path)
    cleaned = str(path.with_name(f"{path.stem}-cleaned{path.suffix}"))
    return [
        Advice(
            "Look through the list above, then write a copy of your data with the suggested labels "
            "(KEEP in place of RELABEL leaves those examples out). Your own file stays as it is.",
            _line("audit", run, "--apply", "RELABEL", "--output", cleaned),
        ),
        Advice(
            "Train again, as before, on the cleaned copy.",
            _line("train", cleaned, "--config", f"{run}/config.yaml", "--output", f"{run}-cleaned"),
        ),
    ]


def _comparison(parts: RunParts, run: str) -> list[Advice]:
    data, other = parts.config.data, f"{run}-plain"
    clean = any(value is not None for value in (data.meta, data.trusted, data.meta_size))
    words = ["train", data.path, *_given(data, _DATA), *_given(parts.config.model, _MODEL)]
    words += [*_given(parts.config.training, _TRAINING), "--method", "plain"]
    words += [*(["--add-clean"] if clean else []), "--output", other]
    return [
        Advice(
            "See what the weighting is worth: train plainly on the same examples, …", _line(*words)
        ),
        Advice("… and put both on this page.", _line("report", run, "--baseline", other)),
    ]


def _given(options: Options, names: tuple[str, ...]) -> list[str]:
    """The words on the command line for those of `options` that are not as they are by default."""
    words = []
    for name in names:
        value = getattr(options, name)
        usual = type(options).model_fields[name].get_default(call_default_factory=True)
        if value is None or value == usual:
            continue
        words.append("--model" if name == "name" else f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(",".join(value) if isinstance(value, list) else str(value))
    return words


def _line(*words: str) -> str:
    return "gdw " + shlex.join(words)
