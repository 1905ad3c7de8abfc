"""What is shown while a training runs, how often, and whether the time left is right."""

from __future__ import annotations

import io
import re

import pytest

from gdw.errors import duration
from gdw.train.before_training import in_words
from gdw.train.history import last_epochs_mean
from gdw.train.progress import (
    TRAINING,
    Display,
    Lines,
    Minutes,
    Progress,
    Stage,
    StepTimes,
    make_progress,
)
from gdw.train.progress_bars import Bar

RECORD = {
    "epoch": 1,
    "train_loss": 0.51239,
    "meta_loss": None,
    "test_accuracy": 0.875,
    "examples_per_second": 1234.5,
}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("kind", "stream", "shown", "expected"),
    [
        ("auto", io.StringIO(), True, Minutes),
        ("auto", _Terminal(), True, Bar),
        ("auto", _Terminal(), False, Display),
        ("bar", io.StringIO(), True, Bar),
        ("lines", _Terminal(), True, Lines),
        ("none", _Terminal(), True, Display),
    ],
)
def test_the_display_suits_the_stream(kind, stream, shown, expected) -> None:  # type: ignore[no-untyped-def]
    progress = make_progress(kind, shown=shown, stream=stream)
    progress.display.close()
    assert type(progress.display) is expected


def followed(progress: Progress, clock: _Clock, *, step: float, fits: int = 2) -> list[float]:
    """Two models of 3 epochs of 20 steps of 10 examples, then 4 epochs of 30 steps; the time left at each."""
    models = [Stage(TRAINING, 3, 20, 10) for _ in range(fits)]
    run = Stage(TRAINING, 4, 30, 10)
    progress.plan([*models, run], in_words(models, 0, run))
    left = []
    for number, planned in enumerate((*models, run)):
        what = TRAINING if planned is run else f"step 1 of 2: folds (fold {number + 1} of {fits})"
        progress.begin(Stage(what, planned.epochs, planned.batches, 10))
        for epoch in range(1, planned.epochs + 1):
            for batch in range(1, planned.batches + 1):
                clock.now += step
                progress.batch(batch, lambda: 0.25)
                if (seconds := progress.left()) is not None:
                    left.append(seconds + clock.now)
            progress.epoch({**RECORD, "epoch": epoch})
    progress.display.close()
    return left


def test_lines_say_one_line_an_epoch_and_a_model() -> None:
    stream, clock = io.StringIO(), _Clock()
    followed(Progress(Lines(stream), clock=clock), clock, step=1.0)
    assert stream.getvalue().splitlines() == [
        "step 1 of 2: folds (fold 1 of 2)",
        "about 4 min: 2 short trainings to prepare, then 4 epochs",
        "step 1 of 2: folds (fold 2 of 2)",
        "epoch 1/4  loss 0.5124  accuracy 87.50%  1,234 examples/s  about 2 min left",
        "epoch 2/4  loss 0.5124  accuracy 87.50%  1,234 examples/s  about 1 min left",
        "epoch 3/4  loss 0.5124  accuracy 87.50%  1,234 examples/s  less than a minute left",
        "epoch 4/4  loss 0.5124  accuracy 87.50%  1,234 examples/s",
    ]


def test_without_a_terminal_there_is_at_most_a_line_a_minute_and_one_at_the_ends() -> None:
    stream, clock = io.StringIO(), _Clock()
    followed(Progress(Minutes(stream, clock=clock), clock=clock), clock, step=1.0)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "about 4 min: 2 short trainings to prepare, then 4 epochs"
    assert lines[1] == (
        "26% done: step 1 of 2: folds (fold 2 of 2), epoch 1/3, step 2/20, loss 0.250, about 3 min left"
    )
    assert lines[-1] == "epoch 4/4  loss 0.5124  accuracy 87.50%  1,234 examples/s"
    assert len(lines) == len(set(lines)) == 2 + (240 - 2) // 60
    fast, clock = io.StringIO(), _Clock()
    followed(Progress(Minutes(fast, clock=clock), clock=clock), clock, step=0.01)
    assert [line[:19] for line in fast.getvalue().splitlines()] == [
        "less than a minute:",
        "epoch 4/4  loss 0.5",
    ]


@pytest.mark.parametrize("slower", [0.5, 1.0, 3.0])
def test_the_time_left_is_right_over_all_trainings(slower: float) -> None:
    clock = _Clock()
    progress = Progress(Display(), clock=clock)
    progress.learn({10: 1.0 / slower})  # what a trial says may be wrong
    ends = followed(progress, clock, step=1.0)
    assert ends[20:] == pytest.approx([240.0] * (240 - 20), rel=0.15)
    clock = _Clock()
    ends = followed(Progress(Display(), clock=clock), clock, step=1.0)
    assert ends == pytest.approx([240.0] * 239, rel=0.02)


def test_the_time_of_a_step_is_fitted_by_its_size() -> None:
    times = StepTimes.fitted({10: 0.2, 100: 1.1})
    assert times == pytest.approx((0.1, 0.01))
    assert StepTimes.fitted({10: 0.3, 100: 0.2}) == pytest.approx((0.2, 0.0))
    alone = StepTimes.fitted({100: 0.5})
    assert alone.per_step + 100 * alone.per_example == pytest.approx(0.5)


def test_evaluation_counts() -> None:
    times = StepTimes(0.1, 0.03)
    stage = Stage(TRAINING, 5, 10, 20, evaluated=100, predicted=50, first=2)
    assert stage.cost(times) == pytest.approx(3 * (10 * 0.7 + 100 * 0.01))
    assert stage.cost_of_end(times) == pytest.approx(0.5)


def test_what_will_be_done_in_words() -> None:
    fits, run = [Stage(TRAINING, 10, 1, 40) for _ in range(8)], Stage(TRAINING, 80, 10, 100)
    assert in_words(fits, 0, run) == "8 short trainings to prepare, then 80 epochs"
    assert in_words(fits, 3, run) == "5 of 8 short trainings to prepare, then 80 epochs"
    assert in_words(fits[:1], 0, None) == "1 training to prepare"
    assert in_words([run], 0, run) == "1 training to prepare, then 80 epochs"
    assert in_words(fits, 8, run) == "80 epochs"
    assert in_words([], 0, Stage(TRAINING, 80, 10, 100, first=79)) == "1 of 80 epochs"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "less than a minute"), (57, "about 1 min"), (700, "about 12 min"), (9000, "about 2.5 h")],
)
def test_times_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_one_bar_follows_everything_under_named_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream, clock = _Terminal(), _Clock()
    progress = Progress(Bar(stream), clock=clock)
    followed(progress, clock, step=1.0)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "…" not in shown
    for expected in (
        "about 4 min: 2 short trainings to prepare, then 4 epochs",
        "step 1 of 2: folds",
        "doing",
        "time left",
        "training, accuracy 87.50%",
        "4/4",
        "0.512",
        "100%",
    ):
        assert expected in shown, shown
    assert shown.count("step 1 of 2: folds\n") == 1


def test_the_final_figures_are_means_of_the_last_epochs() -> None:
    history = [
        {
            "epoch": epoch,
            "step": 5 * epoch,
            "lr": 0.1,
            "a": float(epoch),
            "recall": [epoch / 4, None],
            "b": 1.0,
        }
        for epoch in (1, 2, 3, 4)
    ]
    history[3].pop("b")
    assert last_epochs_mean(history, 2) == {"a": 3.5, "recall": [0.875, None]}
    assert last_epochs_mean(history[:3], 5)["b"] == 1.0
    assert last_epochs_mean([], 5) == {}
