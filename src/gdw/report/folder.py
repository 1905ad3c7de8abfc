"""The parts of a run folder that the report shows; each is None when the run does not have it (yet)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import EVIDENCE, FORMAT
from gdw.audit.issue_file import LABEL_ISSUES
from gdw.audit.summary import AUDIT, NOISE_MATRIX
from gdw.errors import RunError
from gdw.report.tables import read_issues, read_noise_matrix
from gdw.runs.config import RunConfig
from gdw.runs.schema import Schema
from gdw.runs.training import ENCODER
from gdw.train.run_folder import CONFIG, HISTORY, RunFolder

if TYPE_CHECKING:
    import pandas as pd

EVALUATION = "evaluation.json"

Place: TypeAlias = "str | os.PathLike[str]"


@dataclass(frozen=True)
class ClassWeights:
    """What training made of each label, on average.

    Attributes:
        weights: float `(C, C)`, `[given label, class]`: the mean class-level weight.
        count: `(C,)`: over how many examples of each given label.
        label_names: the names of the C classes.
    """

    weights: NDArray[np.float32]
    count: NDArray[np.float32]
    label_names: tuple[str, ...]


class RunParts:
    """What the files of the run folder `path` say. Reading a damaged one raises `RunError`."""

    def __init__(self, path: Place) -> None:
        self.run = RunFolder.open(path)

    @property
    def path(self) -> Path:
        return self.run.path

    @cached_property
    def config(self) -> RunConfig:
        return RunConfig.from_run(self.run.config, self.run.file(CONFIG))

    @cached_property
    def schema(self) -> Schema:
        return Schema.read(self.run.file(ENCODER))

    @property
    def label_names(self) -> tuple[str, ...]:
        return self.schema.label_names

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        return self.run.history()

    @cached_property
    def issues(self) -> pd.DataFrame | None:
        """Every training example, the most suspicious first."""
        path = self.run.file(LABEL_ISSUES)
        return read_issues(path) if path.exists() else None

    @cached_property
    def noise_matrix(self) -> pd.DataFrame | None:
        path = self.run.file(NOISE_MATRIX)
        return read_noise_matrix(path) if path.exists() else None

    @cached_property
    def audit(self) -> dict[str, Any] | None:
        needed = ("examples", "issues", "estimated_wrong_share", "by_class")
        return self._json(AUDIT, needed, "gdw audit")

    @cached_property
    def evaluation(self) -> dict[str, Any] | None:
        needed = ("accuracy", "balanced_accuracy", "recall", "classes")
        return self._json(EVALUATION, needed, "gdw report --test")

    @cached_property
    def class_weights(self) -> ClassWeights | None:
        """None too when there are so many classes that only the examples' own weights were kept."""
        from safetensors import SafetensorError, safe_open

        path = self.run.file(EVIDENCE)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                _require_known(file.metadata(), path)
                if "weights_by_label" not in file.keys():  # noqa: SIM118 - no mapping
                    return None
                weights = file.get_tensor("weights_by_label")
                count = file.get_tensor("count_by_label")
        except (SafetensorError, OSError, ValueError) as error:
            raise RunError(f"{path} is damaged ({error}): train again to write it anew") from None
        classes = len(self.label_names)
        if weights.shape != (classes, classes) or count.shape != (classes,):
            raise RunError(
                f"{path} does not fit the run: expected weights of {classes} classes, found shape "
                f"{weights.shape}; restore the file, or train again"
            )
        return ClassWeights(weights, count, self.label_names)

    def require(self, part: str) -> Any:
        """The part of that name (an attribute of this class); `RunError` says what makes a missing one."""
        found = getattr(self, part)
        if found is None or (part == "history" and not found):
            file, maker = _MADE_BY[part]
            raise RunError(f"{self.path} has no {file}: make it with {maker}")
        return found

    def _json(self, name: str, needed: tuple[str, ...], maker: str) -> dict[str, Any] | None:
        path = self.run.file(name)
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} is damaged ({error}): run {maker} again") from None
        if isinstance(content, dict) and content.get("format", 1) != 1:
            raise RunError(
                f"{path} has format {content['format']}, this gdw reads format 1: upgrade gdw"
            )
        if not isinstance(content, dict) or any(key not in content for key in needed):
            raise RunError(
                f"{path} is damaged: expected {', '.join(needed)} in it; run {maker} again"
            )
        return content


_MADE_BY: Mapping[str, tuple[str, str]] = {
    "history": (HISTORY, "gdw train"),
    "issues": (LABEL_ISSUES, "gdw audit RUN"),
    "audit": (AUDIT, "gdw audit RUN"),
    "noise_matrix": (NOISE_MATRIX, "gdw audit RUN"),
    "evaluation": (EVALUATION, "gdw report RUN --test DATA"),
    "class_weights": (f"class-level weights in {EVIDENCE}", "gdw train (up to 512 classes)"),
}


def part_of(data: Any, part: str) -> Any:
    """`data` itself, or, where it is the path of a run, that run's `part`."""
    return RunParts(data).require(part) if isinstance(data, (str, os.PathLike)) else data


def _require_known(metadata: Mapping[str, str] | None, path: Path) -> None:
    number = (metadata or {}).get("format", "")
    if not number.isdigit():
        raise RunError(f"{path} is damaged: it does not say its format; train again")
    if int(number) > FORMAT:
        raise RunError(f"{path} has format {number}, this gdw reads up to {FORMAT}: upgrade gdw")
