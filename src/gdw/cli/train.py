"""`gdw train`: from the user's files to a run folder."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gdw.cli.errors import INTERRUPTED, one_line_errors

if TYPE_CHECKING:
    from gdw.runs.prepare import Prepared
    from gdw.runs.training import Training
    from gdw.train.result import FitResult

_DATA, _MODEL, _TRAIN, _RUN = "Data", "Model", "Training", "Run"

# Written out, since the registry of methods imports PyTorch and help is to be instant.
_METHODS = (
    "gdw, gdw_unconstrained, mwn, l2rw, plain, plain_clean, clean_only, fine_tune, class_balanced, "
    "inverse_frequency, focal, ldam, logit_adjustment, label_smoothing, soft_bootstrap, hard_bootstrap, "
    "forward, glc, co_teaching, elr, cleanlab or posterior"
)


def _option(panel: str, help_: str, *names: str, **options: Any) -> Any:
    return typer.Option(*names, help=help_, rich_help_panel=panel, **options)


@one_line_errors
def train(
    data: Annotated[
        str | None,
        typer.Argument(
            help="A folder of class folders of images, or a .csv, .tsv, .parquet, .jsonl or .npz file."
        ),
    ] = None,
    output: Annotated[Path | None, _option(_RUN, "Folder of the run, made here.")] = None,
    config: Annotated[
        Path | None, _option(_RUN, "YAML file of options; those given here win over it.")
    ] = None,
    resume: Annotated[
        bool, _option(_RUN, "Continue the run in --output, with its options.", "--resume")
    ] = False,
    stop_after: Annotated[
        int | None, _option(_RUN, "Stop after that many epochs in all; --resume goes on.", min=1)
    ] = None,
    progress: Annotated[str | None, _option(_RUN, "auto, bar, lines or none.")] = None,
    label: Annotated[str | None, _option(_DATA, "Column of the (doubtful) labels.")] = None,
    meta: Annotated[
        str | None, _option(_DATA, "Clean examples: another file or folder of the same form.")
    ] = None,
    trusted: Annotated[
        str | None, _option(_DATA, "Clean examples: the rows of DATA where this column is true.")
    ] = None,
    meta_size: Annotated[
        int | None, _option(_DATA, "Clean examples: that many drawn from DATA, class-balanced.")
    ] = None,
    meta_label: Annotated[
        str | None, _option(_DATA, "Column of the clean examples' labels, if it is another.")
    ] = None,
    test: Annotated[str | None, _option(_DATA, "File or folder to measure every epoch on.")] = None,
    test_label: Annotated[str | None, _option(_DATA, "Its label column, if it is another.")] = None,
    image: Annotated[str | None, _option(_DATA, "Column with images (bytes or paths).")] = None,
    text: Annotated[str | None, _option(_DATA, "Column with texts.")] = None,
    features: Annotated[
        str | None, _option(_DATA, "Columns to learn from, separated by commas; default: all.")
    ] = None,
    drop: Annotated[
        str | None, _option(_DATA, "Columns not to learn from, separated by commas.")
    ] = None,
    add_clean: Annotated[
        bool | None,
        _option(
            _DATA,
            "Train on the clean examples too (unspoiled), so that plain training sees the same data.",
            "--add-clean",
        ),
    ] = None,
    limit: Annotated[int | None, _option(_DATA, "Use a random part of that many rows.")] = None,
    noise: Annotated[
        str | None,
        _option(_DATA, "Spoil labels for an experiment: uniform:0.4, flip:0.4, pair:0.2, ..."),
    ] = None,
    imbalance: Annotated[
        str | None, _option(_DATA, "Unbalance classes for an experiment: 50 or step:50.")
    ] = None,
    image_size: Annotated[int | None, _option(_DATA, "Side in pixels to resize images to.")] = None,
    model: Annotated[
        str | None,
        _option(_MODEL, "auto, mlp:512,256, resnet32, wrn-28-10, torchvision:NAME, timm:NAME."),
    ] = None,
    pretrained: Annotated[
        bool | None, _option(_MODEL, "Start from the library's weights.", "--pretrained")
    ] = None,
    weights: Annotated[str | None, _option(_MODEL, "Start from a local file of weights.")] = None,
    method: Annotated[str | None, _option(_TRAIN, f"{_METHODS}.")] = None,
    set_: Annotated[
        list[str] | None,
        _option(_TRAIN, "An option of the method, e.g. --set clip=1; repeatable.", "--set"),
    ] = None,
    epochs: Annotated[int | None, _option(_TRAIN, "Passes over the training data.")] = None,
    batch_size: Annotated[int | None, _option(_TRAIN, "Of all processes together.")] = None,
    meta_batch_size: Annotated[int | None, _option(_TRAIN, "Of the clean examples.")] = None,
    accumulate: Annotated[int | None, _option(_TRAIN, "Batches per optimizer step.")] = None,
    optimizer: Annotated[str | None, _option(_TRAIN, "sgd or adamw.")] = None,
    lr: Annotated[float | None, _option(_TRAIN, "Learning rate.")] = None,
    momentum: Annotated[float | None, _option(_TRAIN, "Of SGD.")] = None,
    weight_decay: Annotated[float | None, _option(_TRAIN, "Of the model's optimizer.")] = None,
    schedule: Annotated[str | None, _option(_TRAIN, "cosine or constant.")] = None,
    warmup_epochs: Annotated[float | None, _option(_TRAIN, "Linear warm-up.")] = None,
    clip_grad_norm: Annotated[float | None, _option(_TRAIN, "Largest gradient norm.")] = None,
    augment: Annotated[
        str | None,
        _option(
            _TRAIN,
            "Of images: none, standard (random crops and flips) or standard+cutout (squares too).",
        ),
    ] = None,
    precision: Annotated[str | None, _option(_TRAIN, "32, bf16 or 64.")] = None,
    accelerator: Annotated[str | None, _option(_TRAIN, "auto, cpu, cuda, mps.")] = None,
    devices: Annotated[int | None, _option(_TRAIN, "Processes on this machine.")] = None,
    nodes: Annotated[int | None, _option(_TRAIN, "Machines.")] = None,
    seed: Annotated[int | None, _option(_TRAIN, "Of every random choice.")] = None,
) -> None:
    """Train a classifier on DATA, guided by clean examples; fills the folder --output."""
    given: dict[str, dict[str, Any]] = {
        "data": {
            "path": data, "label": label, "meta": meta, "trusted": trusted, "meta_size": meta_size,
            "meta_label": meta_label, "test": test, "test_label": test_label, "image": image,
            "text": text, "features": _names(features), "drop": _names(drop),
            "add_clean": add_clean, "limit": limit, "noise": noise, "imbalance": imbalance,
            "image_size": image_size,
        },
        "model": {"name": model, "pretrained": pretrained, "weights": weights},
        "training": {
            "method": method, "method_options": _settings(set_), "epochs": epochs,
            "batch_size": batch_size, "meta_batch_size": meta_batch_size, "accumulate": accumulate,
            "optimizer": optimizer, "lr": lr, "momentum": momentum, "weight_decay": weight_decay,
            "schedule": schedule, "warmup_epochs": warmup_epochs, "clip_grad_norm": clip_grad_norm,
            "augment": augment, "precision": precision, "accelerator": accelerator,
            "devices": devices, "nodes": nodes, "seed": seed, "progress": progress,
        },
    }  # fmt: skip
    training = _training(given, config, output, resume=resume)
    began = time.perf_counter()
    prepared = training.prepare()
    network = training.build_model(prepared)
    read = time.perf_counter()
    if training.is_first_process:
        _introduce(training, prepared, network)
    result = training.fit(prepared, network, stop_after=stop_after)
    if training.is_first_process:
        took = time.perf_counter() - read
        typer.echo(f"time: reading and encoding {read - began:.1f} s, training {took:.1f} s")
        _conclude(training, result)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)


def _training(
    given: dict[str, dict[str, Any]], file: Path | None, output: Path | None, *, resume: bool
) -> Training:
    from gdw.errors import ConfigError
    from gdw.runs import RunConfig, Training, read_config_file

    if output is None:
        raise ConfigError("name the folder of the run: --output RUN")
    sections = read_config_file(file) if file is not None else {}
    _forget_options_of_another(sections.get("training"), given["training"]["method"])
    for name, options in given.items():
        section = sections.setdefault(name, {})
        if isinstance(section, dict):
            section.update({k: v for k, v in options.items() if v is not None})
    data = sections["data"]
    if not isinstance(data, dict) or "path" in data:
        _recommend(sections["training"])
        return Training(RunConfig.parse(sections), output, resume=resume)
    if resume:
        return Training.resume(output, sections)
    raise ConfigError("name the data to train on: gdw train DATA --label COLUMN --output RUN")


def _forget_options_of_another(options: Any, method: str | None) -> None:
    """A method chosen over that of the configuration file does not take the file's method options."""
    if isinstance(options, dict) and method not in (None, options.get("method", "gdw")):
        options.pop("method_options", None)


def _recommend(options: Any) -> None:
    """GDW without a preset named is the recommended one here; the class's own default is the paper's."""
    if isinstance(options, dict) and options.get("method", "gdw") == "gdw":
        chosen = options.setdefault("method_options", {})
        if isinstance(chosen, dict):
            chosen.setdefault("preset", "robust")


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _settings(pairs: list[str] | None) -> dict[str, Any] | None:
    import yaml

    from gdw.errors import ConfigError

    if not pairs:
        return None
    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set takes NAME=VALUE, found {pair!r}")
        try:
            options[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"--set {name}: cannot read the value {value!r}") from None
    return options


def _introduce(training: Training, prepared: Prepared, network: Any) -> None:
    names = prepared.schema.label_names
    options = training.config.training
    clean = "no clean ones" if prepared.meta is None else f"{len(prepared.meta):,} clean"
    if training.config.data.add_clean:
        clean += " (trained on too, and counted in)"
    typer.echo(
        f"{len(prepared.train):,} training examples ({prepared.schema.kind}), {clean}, "
        f"{len(names):,} classes"
    )
    if training.config.data.noise:
        typer.echo(f"noise {training.config.data.noise}: {prepared.spoiled:.1%} of labels changed")
    for note in prepared.source.notes:
        typer.echo(note)
    parameters = sum(p.numel() for p in network.parameters())
    typer.echo(
        f"method {options.method}, model {training.model_name(prepared)} ({parameters:,} parameters), "
        f"{options.epochs} epoch{'s' if options.epochs > 1 else ''}, seed {options.seed}"
    )


def _conclude(training: Training, result: FitResult) -> None:
    output = shlex.quote(str(training.output))
    if result.epochs_done < training.config.training.epochs:
        why = "interrupted" if result.interrupted else "stopped"
        typer.echo(
            f"{why} with {result.epochs_done} epochs done and saved; "
            f"go on: gdw train --resume --output {output}"
        )
        return
    if result.epochs_before == result.epochs_done:
        typer.echo(f"complete: {result.epochs_done} epochs done, nothing was left to train")
    if "test_accuracy" in result.final:
        typer.echo(
            f"test accuracy {result.final['test_accuracy']:.2%}, "
            f"balanced {result.final['test_balanced_accuracy']:.2%} "
            f"({_mean_of_last(result.averaged_epochs)})"
        )
    else:
        typer.echo(f"measure it: gdw evaluate {output} DATA")
    typer.echo(f"run folder: {training.output}")


def _mean_of_last(epochs: int) -> str:
    return "of the last epoch" if epochs == 1 else f"mean of the last {epochs} epochs"
