"""Train every contender with every seed, and compare the results."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gdw.demo.contenders import CONTENDERS, LAST_EPOCHS, configuration, write_digits
from gdw.errors import RunError
from gdw.files.documents import Document
from gdw.runs.training import Training

RESULTS = "results.json"
DOCUMENT = Document(format=1, remedy="run gdw demo again")


@dataclass
class Outcome:
    """The results of one contender, one value or list per seed.

    Attributes:
        title: its name in tables.
        accuracy: on the class-balanced test set, between 0 and 1; mean of the last epochs.
        curves: the test accuracy after each epoch.
        wrong_labels: the share of training labels that are wrong, between 0 and 1.
        examples: the number of training examples.
        seconds: of training, with preparation.
    """

    title: str
    accuracy: list[float] = field(default_factory=list)
    curves: list[list[float]] = field(default_factory=list)
    wrong_labels: list[float] = field(default_factory=list)
    examples: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def compare(
    output: Path, *, seeds: Sequence[int], log: Callable[[str], None]
) -> dict[str, Outcome]:
    """Train all contenders.

    Args:
        output: a new folder for the data, the runs and `results.json`.
        seeds: each contender is trained once with each of them.
        log: takes a line for each run that has finished.

    Returns:
        The outcomes by the name of the contender.

    Raises:
        RunError: `output` exists.
    """
    if output.exists():
        raise RunError(f"{output} exists already: choose another --output, or remove it first")
    outcomes = {name: Outcome(contender.title) for name, contender in CONTENDERS.items()}
    for seed in seeds:
        files = write_digits(output / "data" / f"seed-{seed}", seed)
        for name, contender in CONTENDERS.items():
            config = configuration(contender, files, seed=seed)
            training = Training(config, output / "runs" / f"{name}-seed-{seed}")
            _train(training, outcomes[name])
            log(f"seed {seed}: {contender.title}: {outcomes[name].accuracy[-1]:.1%}")
    DOCUMENT.write(output / RESULTS, {name: asdict(each) for name, each in outcomes.items()})
    return outcomes


def _train(training: Training, outcome: Outcome) -> None:
    """Train one run and add its results to `outcome`."""
    prepared = training.prepare()
    model = training.build_model(prepared)
    start = time.perf_counter()
    result = training.fit(prepared, model)
    if result.interrupted:
        raise KeyboardInterrupt
    outcome.seconds.append(time.perf_counter() - start)
    outcome.accuracy.append(result.final["test_accuracy"])
    outcome.curves.append([record["test_accuracy"] for record in result.history])
    outcome.wrong_labels.append(prepared.spoiled)
    outcome.examples.append(len(prepared.train))


def mean_and_spread(values: Sequence[float]) -> str:
    """Mean and sample standard deviation in percent; only the mean for a single value.

    >>> mean_and_spread([0.4, 0.6])
    '50.0 ± 14.1'
    """
    mean = f"{100 * statistics.fmean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ± {100 * statistics.stdev(values):.1f}"


def caption(seeds: int) -> str:
    """How the accuracies of a comparison over that many seeds were made."""
    over = f"{seeds} seeds, mean ± standard deviation" if seeds > 1 else "1 seed"
    return f"accuracy on true labels; mean of the last {LAST_EPOCHS} epochs; {over}"


def header(seeds: int) -> tuple[str, str, str]:
    """The header of `table`."""
    total = f", sum over {seeds} seeds" if seeds > 1 else ""
    return "method", "accuracy, %", f"training time, s{total}"


def table(outcomes: Mapping[str, Outcome]) -> list[tuple[str, str, str]]:
    """A row for each contender: title, accuracy in percent, seconds of training."""
    return [
        (outcome.title, mean_and_spread(outcome.accuracy), f"{sum(outcome.seconds):.0f}")
        for outcome in outcomes.values()
    ]
