"""A person who verifies some rows of the training data, in the place of a clean set that is there already."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from gdw.data.examples import Examples
from gdw.errors import ConfigError
from gdw.experiments.detection import true_labels
from gdw.options import Options, Share
from gdw.runs.config import DataConfig
from gdw.runs.prepared_data import PreparedData
from gdw.seeding import generator
from gdw.suggestion.left_out import first_look
from gdw.suggestion.strategies import Strategy, choose


class Answers(Options):
    """How many rows are verified, the strategy that chooses them, and the share of wrong answers."""

    what: ClassVar[str] = "answers "

    rows: Annotated[int, Field(ge=1)]
    strategy: Strategy = "mixed"
    wrong: Share = 0.0

    def given(
        self, prepared: PreparedData, data: DataConfig, *, truth: str | None, seed: int
    ) -> tuple[PreparedData, NDArray[np.bool_]]:
        """The data with the verified rows as the clean set; they are not trained on under their given labels.

        Args:
            prepared: the data, without a clean set.
            data: their options.
            truth: as `gdw.experiments.protocol.DataEntry.truth`.
            seed: of the choice and of the wrong answers.

        Returns:
            The data, and which of the clean examples have a wrong label, `(M,)`.

        Raises:
            ConfigError: true labels are not known, or there is a clean set.
        """
        source, label = prepared.source, prepared.source.rows.resolve_label(data.label)
        found = true_labels(source, truth=truth, label=label, noisy=data.noise is not None)
        if found is None or len(found[0]) < len(source) or prepared.meta is not None:
            raise ConfigError(
                "answers are the true labels of rows of the training data: they must be known (noise or "
                "truth), and there must be no other clean set"
            )
        classes = len(source.label_names)
        given = prepared.train.targets.numpy()
        _, opinions = first_look(prepared.train.inputs, given, classes, seed=seed)
        chosen = choose(opinions, self.rows, self.strategy, seed=seed).positions
        true = found[1][chosen]
        labels = self._spoiled(true, classes, seed)
        rest = np.setdiff1d(np.arange(len(source)), chosen)
        verified: Any = prepared.train.select(chosen)
        answered = replace(
            prepared,
            train=prepared.train.select(rest),
            meta=Examples(verified.inputs, torch.from_numpy(labels)),
            source=source.select(rest),
            clean=source.select(chosen).with_labels(labels),
        )
        return answered, labels != true

    def _spoiled(self, labels: NDArray[np.int64], classes: int, seed: int) -> NDArray[np.int64]:
        """The answers of a person who is wrong now and then, and then says any other class."""
        rng = generator(seed, "answers")
        wrong = rng.random(len(labels)) < self.wrong
        return np.where(wrong, (labels + rng.integers(1, classes, len(labels))) % classes, labels)
