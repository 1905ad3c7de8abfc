"""What `gdw train` says before it trains: the data, the verified examples, the method and the network."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gdw.cli.app import say
from gdw.errors import counted, shortened
from gdw.reweight.registry import METHODS

if TYPE_CHECKING:
    from gdw.runs.config import DataConfig
    from gdw.runs.prepared_data import PreparedData
    from gdw.runs.training import Training

# With the 200 rows that gdw suggest chooses by default, each of so many classes gets two, which already help
# (docs/verified.md); ten of each of 150 classes would keep a person busy for more than an hour.
_ENOUGH = 100
_NOT_OF_SUGGEST = {
    "path", "meta", "meta_label", "meta_size", "trusted", "test", "test_label", "add_clean", "noise",
    "imbalance",
}  # fmt: skip
_EXAMPLES = {"image": ("image", "images"), "text": ("text", "texts")}


def introduce(
    training: Training, prepared: PreparedData, network: Any, *, announced: str = ""
) -> None:
    """Say what will be trained: the data, the method, the network, and how long.

    The note on the backbone has been `announced` before its features were computed, if one process trains.
    """
    if training.note != announced:
        say(training.note)
    for line in (
        *_about_data(training.config.data, prepared),
        *_without_verified(training, prepared),
    ):
        say(line)
    options = training.config.training
    parameters, trained = _sizes(network)
    count = f"{parameters:,} parameters" + (
        "" if trained == parameters else f", {trained:,} trained"
    )
    epochs = counted(options.epochs, "epoch")
    if "epochs" in training.chosen:
        what = _EXAMPLES.get(prepared.schema.kind, ("row", "rows"))
        epochs += f" (chosen for {counted(len(prepared.train), *what)})"
    model = training.config.model.described(training.model_name(prepared))
    say(f"method {options.method}, model {model} ({count}), {epochs}, seed {options.seed}")


def _sizes(network: Any) -> tuple[int, int]:
    """The number of parameters, and of those that are trained."""
    parameters = list(network.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def _about_data(config: DataConfig, prepared: PreparedData) -> Iterator[str]:
    from gdw.data.labels import size_note

    verified = "none verified"
    if prepared.meta is not None:
        how = "verified" if config.verified else "drawn from the data, not verified"
        verified = f"{len(prepared.meta):,} {how}"
    if config.add_clean:
        verified += " (included in the training examples)"
    names = prepared.schema.label_names
    yield (
        f"{len(prepared.train):,} training examples ({prepared.schema.kind}), {verified}, "
        f"{len(names):,} classes"
    )
    yield size_note(names, prepared.source.known_labels)
    if config.noise:
        yield f"noise {config.noise}: {prepared.spoiled:.1%} of labels changed"
    yield prepared.schema.features()
    yield from prepared.source.notes


def _without_verified(training: Training, prepared: PreparedData) -> list[str]:
    """What it means that nobody has verified the clean set, or few of a class, and what to do about it."""
    if prepared.meta is not None and not training.config.data.verified:
        return [
            f"nobody has verified the {len(prepared.meta):,} examples of --meta-size: if labels of the data "
            "are wrong, so are some of theirs, and nothing shows how far to trust the result",
            "verify 10 or more examples of each class and name them (--meta FILE or --trusted COLUMN)",
        ]
    if not training.needs_choice(prepared):
        return []
    from gdw.train.chosen_clean import FOLDS, LIMITS

    if prepared.meta is not None:
        return _with_few_verified(training, prepared)
    classes = len(prepared.schema.label_names)
    return [
        f"no verified examples: some whose labels look right stand in; {FOLDS} more trainings find them. "
        f"{LIMITS}",
        f"to verify some: {suggest_command(training.config.data, classes)}; then gdw verify verify.jsonl",
        "then train again: the same command with --meta verify.jsonl and another --output (two of each class "
        "help, ten suffice)",
    ]


def _with_few_verified(training: Training, prepared: PreparedData) -> list[str]:
    """That rows of classes with few verified ones stand in, and how to get more of them."""
    import numpy as np

    from gdw.train.chosen_clean import FOLDS, needs_models

    assert prepared.clean is not None
    lacking, labels = prepared.lacking(training.config), prepared.source.known_labels
    verified = np.bincount(prepared.clean.known_labels, minlength=len(lacking))
    short = np.flatnonzero(lacking)
    short = short[np.argsort(verified[short], kind="stable")]
    names = [f"{prepared.schema.label_names[k]!r} {verified[k]}" for k in short]
    stand_in = "their only rows in the data stand in"
    if needs_models(labels, lacking):
        stand_in = f"others whose labels look right stand in; {FOLDS} more trainings find them"
    classes = f"{len(short):,} of {len(lacking):,} classes {'has' if len(short) == 1 else 'have'}"
    enough = METHODS[training.config.training.method].fewest_of_class
    few = "no verified row" if enough == 1 else f"fewer than {enough} verified rows"
    return [
        f"{classes} {few} ({shortened(names, 5)}): {stand_in}",
        f"to verify more: {_how_to_verify_more(training.config.data, len(lacking))}",
    ]


def _how_to_verify_more(data: DataConfig, classes: int) -> str:
    from gdw.data.verification import is_queue, read

    if data.meta is None or not is_queue(data.meta):
        return "10 or more rows of each class"
    file = data.meta
    page, verification = f"gdw verify {shlex.quote(file)}", read(file)
    if left := verification.counts["open"]:
        return f"{page} goes on with {counted(left, 'row')}"
    original = verification.queue.place
    if original.exists() and not original.samefile(data.path):
        data = data.model_copy(update={"path": str(original)})
    return f"{suggest_command(data, classes, output=file)} adds rows of such classes; then {page}"


def suggest_command(data: DataConfig, classes: int, *, output: str = "verify.jsonl") -> str:
    """The command that suggests rows of the same data, two or more of each class."""
    size = [] if classes <= _ENOUGH else ["-n", str(2 * classes)]
    return shlex.join([*_suggest(data), *size, "--output", output])


def random_rows_command(data: DataConfig, rows: int, output: str) -> str:
    """The command that draws random rows of the same data."""
    from gdw.cli.suggest_look import columns_aside

    draw = ["--strategy", "random", "-n", str(rows)]
    shown = data.model_copy(update={"drop": [*data.drop, *columns_aside(data)]})
    return shlex.join([*_suggest(shown), *draw, "--output", output])


def _suggest(data: DataConfig) -> list[str]:
    words = ["gdw", "suggest", data.path]
    for name in sorted(data.model_fields_set - _NOT_OF_SUGGEST):
        value, flag = getattr(data, name), name.replace("_", "-")
        if value == type(data).model_fields[name].default:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None and value != []:
            words += [f"--{flag}", ",".join(value) if isinstance(value, list) else str(value)]
    return words
