"""What `gdw train` says before it trains: the data, the verified examples, the method and the network."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gdw.cli.app import say
from gdw.errors import counted

if TYPE_CHECKING:
    from gdw.runs.config import DataConfig
    from gdw.runs.prepared_data import PreparedData
    from gdw.runs.training import Training

# With the 200 rows that gdw suggest chooses by default, each of so many classes gets ten.
_ENOUGH = 20
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
    """What it means that nobody has verified the clean set, and what to do about it."""
    advice = (
        "verify 10 or more examples of each class and name them (--meta FILE or --trusted COLUMN)"
    )
    if prepared.meta is not None and not training.config.data.verified:
        return [
            f"nobody has verified the {len(prepared.meta):,} examples of --meta-size: if labels of the data "
            "are wrong, so are some of theirs, and nothing shows how far to trust the result",
            advice,
        ]
    if not training.needs_choice(prepared):
        return []
    from gdw.train.chosen_clean import FOLDS, LIMITS

    classes = len(prepared.schema.label_names)
    return [
        f"no verified examples: some whose labels look right stand in; {FOLDS} more trainings find them. "
        f"{LIMITS}",
        f"to verify some: {suggest_command(training.config.data, classes)}; then gdw verify verify.jsonl",
        "with 10 or more of each class verified, train again: the same command with --meta verify.jsonl",
    ]


def suggest_command(data: DataConfig, classes: int) -> str:
    """The command that suggests rows of the same data, ten or more of each class."""
    words = ["gdw", "suggest", data.path]
    for name in sorted(data.model_fields_set - _NOT_OF_SUGGEST):
        value, flag = getattr(data, name), name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None and value != []:
            words += [f"--{flag}", ",".join(value) if isinstance(value, list) else str(value)]
    size = [] if classes <= _ENOUGH else ["-n", str(10 * classes)]
    return shlex.join([*words, *size, "--output", "verify.jsonl"])
