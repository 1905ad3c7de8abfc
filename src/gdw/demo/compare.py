"""Train every contender on every seed and put the results side by side."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gdw.demo.setting import CONTENDERS, configuration, write_digits
from gdw.errors import RunError
from gdw.runs.training import Training

RESULTS = "results.json"


@dataclass
class Outcome:
    """What one method reached: a value a seed, and the test accuracy after each epoch of each seed.

    `accuracy` is the mean of the last epochs on the class-balanced test set, between 0 and 1.
    """

    title: str
    accuracy: list[float] = field(default_factory=list)
    curves: list[list[float]] = field(default_factory=list)
    wrong_labels: list[float] = field(default_factory=list)
    examples: list[int] = field(default_factory=list)
    seconds: float = 0.0


def compare(
    output: Path, *, seeds: Sequence[int], say: Callable[[str], None]
) -> dict[str, Outcome]:
    """Train all contenders into `output/runs`, the data beside them, and write `results.json`.

    Raises `RunError` when `output` exists.
    """
    if output.exists():
        raise RunError(f"{output} exists already: choose another --output, or remove it first")
    outcomes = {name: Outcome(each.title) for name, each in CONTENDERS.items()}
    for seed in seeds:
        files = write_digits(output / "data" / f"seed-{seed}", seed)
        for name, contender in CONTENDERS.items():
            config = configuration(contender, files, seed=seed)
            training = Training(config, output / "runs" / f"{name}-seed-{seed}")
            prepared = training.prepare()
            model = training.build_model(prepared)
            began = time.perf_counter()
            result = training.fit(prepared, model)
            if result.interrupted:
                raise KeyboardInterrupt
            outcome = outcomes[name]
            outcome.accuracy.append(result.final["test_accuracy"])
            outcome.curves.append([record["test_accuracy"] for record in result.history])
            outcome.wrong_labels.append(prepared.spoiled)
            outcome.examples.append(len(prepared.train))
            # With what a method does before its first epoch.
            outcome.seconds += time.perf_counter() - began
            say(f"seed {seed}: {outcome.title}: {outcome.accuracy[-1]:.1%}")
    text = json.dumps({name: asdict(outcome) for name, outcome in outcomes.items()}, indent=1)
    (output / RESULTS).write_text(text, encoding="utf-8")
    return outcomes


def mean_and_spread(values: Sequence[float]) -> str:
    """`88.1 ± 0.7`: mean and sample standard deviation in percent; without spread for one value."""
    mean = f"{100 * statistics.fmean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ± {100 * statistics.stdev(values):.1f}"


def table(outcomes: Mapping[str, Outcome]) -> list[tuple[str, str, str]]:
    """Rows of the comparison: method, accuracy in percent, seconds of training."""
    return [
        (
            outcome.title,
            mean_and_spread(outcome.accuracy),
            f"{outcome.seconds:.0f}",
        )
        for outcome in outcomes.values()
    ]
