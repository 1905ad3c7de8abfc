"""A run folder, read on demand."""

from __future__ import annotations

import os
import shlex
import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from gdw.audit.audit_files import (
    AUDIT,
    LABEL_ISSUES,
    NOISE_MATRIX,
    SUMMARY,
    Summary,
    read_issues,
    read_noise_matrix,
)
from gdw.audit.evidence import EVIDENCE, ClassWeights, Evidence
from gdw.errors import ConfigError, RunError
from gdw.files.documents import Document, require_format
from gdw.runs.config import FORMAT, DataConfig, RunConfig
from gdw.runs.figures import EVALUATION, FIGURES, Figures
from gdw.runs.model_config import ModelConfig
from gdw.runs.schema import Schema
from gdw.train.run_folder import CONFIG, RunFolder

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from gdw.data.encode import Encoder
    from gdw.data.examples import Examples
    from gdw.data.source import Source

ENCODER = "encoder"
"""The folder with the data schema, the fitted encoder and the checksums of the training data."""

_Record = TypeVar("_Record", DataConfig, ModelConfig)


class Run:
    """A run folder. Each part is read from its file at the first use and then kept.

    Opening a run reads nothing; only `model` imports and builds a network. Nothing in the folder can run
    code. Every part raises `RunError`, in one line, if its file is damaged or was written by a newer
    version of gdw.

    Args:
        path: the folder that `gdw train` filled.
        resume: the run is to be continued; this only adds advice to the error message.

    Raises:
        RunError: there is no run at `path`.
    """

    def __init__(self, path: str | os.PathLike[str], *, resume: bool = False) -> None:
        self.folder = RunFolder.open(path, resume=resume)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        try:
            schema = self.schema
        except RunError:
            return f"Run({str(self.path)!r})"
        return f"Run({str(self.path)!r}, {len(schema.label_names)} classes, {schema.features()})"

    @cached_property
    def data_config(self) -> DataConfig:
        """The options of the data, without reading those of the model and the training."""
        return self._section("data", DataConfig)

    @cached_property
    def model_config(self) -> ModelConfig:
        """The options of the model."""
        return self._section("model", ModelConfig)

    def _section(self, name: str, record: type[_Record]) -> _Record:
        try:
            return record(**self._sections.get(name, {}))
        except (ConfigError, TypeError) as error:
            raise self._damaged_config(error) from error

    @cached_property
    def config(self) -> RunConfig:
        """All options of the run: data, model and training."""
        try:
            with warnings.catch_warnings():
                # The former names of methods in an old run are nothing that the user could change.
                warnings.simplefilter("ignore", FutureWarning)
                return RunConfig.parse(self._sections)
        except ConfigError as error:
            raise self._damaged_config(error) from error

    @cached_property
    def schema(self) -> Schema:
        """The form of the training data, with the names of the classes."""
        return Schema.read(self.folder.file(ENCODER))

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the C classes; class k is `label_names[k]`."""
        return self.schema.label_names

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """One record per epoch, from `history.jsonl`; empty before the first epoch has ended."""
        return self.folder.history()

    @cached_property
    def evidence(self) -> Evidence | None:
        """What training recorded about each example; None before the run has finished."""
        path = self.folder.file(EVIDENCE)
        if not path.exists():
            return None
        evidence, classes = Evidence.load(path), len(self.label_names)
        if evidence.num_classes != classes:
            raise RunError(
                f"{path} belongs to another run: it has {evidence.num_classes} classes, the run {classes}; "
                "restore it, or train again"
            )
        return evidence

    @cached_property
    def class_weights(self) -> ClassWeights | None:
        """The mean class-level weights; None before the run has finished, and with more than 512 classes."""
        evidence = self.evidence
        if evidence is None or evidence.weights_by_label is None:
            return None
        assert evidence.count_by_label is not None, "recorded together"
        return ClassWeights(evidence.weights_by_label, evidence.count_by_label, self.label_names)

    @cached_property
    def issues(self) -> pd.DataFrame | None:
        """The table of `label_issues.csv`, most suspicious first; None before an audit."""
        path = self.folder.file(LABEL_ISSUES)
        return read_issues(path) if path.exists() else None

    @cached_property
    def noise_matrix(self) -> pd.DataFrame | None:
        """The table of `noise_matrix.csv`; None before an audit."""
        path = self.folder.file(NOISE_MATRIX)
        return read_noise_matrix(path) if path.exists() else None

    @cached_property
    def audit(self) -> dict[str, Any] | None:
        """The content of `audit.json`; None before an audit."""
        return self._document(SUMMARY, AUDIT, Summary)

    @cached_property
    def evaluation(self) -> dict[str, Any] | None:
        """The content of `evaluation.json`; None before `gdw evaluate` or `gdw report --test`."""
        return self._document(FIGURES, EVALUATION, Figures)

    @cached_property
    def encoder(self) -> Encoder:
        """The preprocessing that was fitted on the training data."""
        from gdw.data.encode import load_encoder

        return load_encoder(self.folder.file(ENCODER))

    @cached_property
    def model(self) -> nn.Module:
        """The trained network, in evaluation mode, on the CPU."""
        from gdw.runs.network import build_network

        model = build_network(self.model_config, self, seed=0, trained=True)
        self.folder.load_model(model)
        return model.eval()

    def read(
        self,
        path: str,
        *,
        label: str | None = None,
        limit: int | None = None,
        skip_broken: bool | None = None,
    ) -> Source:
        """Read a file or folder of the same form as the training data.

        Args:
            path: the file or folder.
            label: its label column; by default no labels are read, as for predictions.
            limit: read only that many rows, drawn at random.
            skip_broken: leave out images that cannot be read; `Source.skipped` names them. Default: as in
                training.

        Raises:
            DataError: another form of data, a label that training did not see, or a damaged image.
        """
        source = self.schema.load(
            path, label=label, limit=limit, options=self.data_config.read_options
        )
        from gdw.data.image_checks import checked

        return checked(
            source, skip=self.data_config.skip_broken if skip_broken is None else skip_broken
        )

    def encode(self, source: Source) -> Examples:
        """`source` as examples for `model`. Without labels the targets are 0."""
        import torch

        from gdw.data.examples import Examples

        labels = np.zeros(len(source), dtype=np.int64) if source.labels is None else source.labels
        return Examples(self.encoder.encode(source), torch.from_numpy(labels.copy()))

    def forget(self, *parts: str) -> None:
        """Read these parts again when they are next used, because their files have changed."""
        for part in parts:
            vars(self).pop(part, None)

    def require(self, part: str) -> Any:
        """The attribute called `part`, which must not be None or empty.

        Raises:
            RunError: the run does not have it. The message names the command that makes it.
        """
        value = getattr(self, part)
        if value is None or (part == "history" and not value):
            from gdw.runs.missing_parts import MISSING

            file, advice = MISSING[part]
            advice = advice.replace("RUN", shlex.quote(str(self.path)))
            raise RunError(f"{self.path} has no {file}: {advice}")
        return value

    @cached_property
    def _sections(self) -> dict[str, Any]:
        content, path = self.folder.config, self.folder.file(CONFIG)
        number, version = content.pop("format", None), content.pop("gdw_version", None)
        if not isinstance(number, int):
            what = "is not the configuration of a gdw run: it has no 'format'"
            from gdw.runs.missing_parts import OF_TRAINER

            if {"method", "epochs", "batch_size"} <= content.keys():
                what = f"was written by gdw.Trainer, {OF_TRAINER}"
            raise RunError(f"{path} {what}")
        require_format(number, FORMAT, path, version=version)
        from gdw.runs.config_files import modernised

        return modernised(content, number)

    def _damaged_config(self, error: Exception) -> RunError:
        return RunError(f"{self.folder.file(CONFIG)} is damaged: {error}")

    def _document(
        self, document: Document, name: str, form: type[BaseModel]
    ) -> dict[str, Any] | None:
        path = self.folder.file(name)
        if not path.exists():
            return None
        content = document.read(path)
        try:
            form.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise document.damaged(path, f"{place}: {first['msg']}") from error
        return content


def load(run: str | os.PathLike[str] | Run) -> Run:
    """Open a run folder.

    Args:
        run: the folder that `gdw train` filled, or a `Run`, which is returned as it is.

    Returns:
        The run. Its parts (`config`, `history`, `evidence`, `model`, ...) are read when they are used.

    Raises:
        RunError: there is no run at this path.
        ConfigError: `run` is neither a path nor a `Run`.

    Example:
        >>> run = gdw.load("runs/animals")  # doctest: +SKIP
        >>> run.history[-1]["test_accuracy"], run.label_names  # doctest: +SKIP
        (0.93, ('cat', 'dog'))
    """
    if isinstance(run, Run):
        return run
    if not isinstance(run, (str, os.PathLike)):
        raise ConfigError(f"expected the folder of a run, or a Run, found {type(run).__name__}")
    return Run(run)
