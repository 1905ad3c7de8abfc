from __future__ import annotations

import io

import pytest

from gdw.train.evaluation import last_epochs_mean
from gdw.train.monitoring import Lines, Silent, make_progress
from gdw.train.progress_bars import Bars

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


@pytest.mark.parametrize(
    ("kind", "stream", "shown", "expected"),
    [
        ("auto", io.StringIO(), True, Lines),
        ("auto", _Terminal(), True, Bars),
        ("auto", _Terminal(), False, Silent),
        ("bar", io.StringIO(), True, Bars),
        ("lines", _Terminal(), True, Lines),
        ("none", _Terminal(), True, Silent),
    ],
)
def test_the_display_suits_the_stream(kind, stream, shown, expected) -> None:  # type: ignore[no-untyped-def]
    progress = make_progress(kind, shown=shown, epochs=2, batches=3, done=0, stream=stream)
    progress.close()
    assert type(progress) is expected


def test_lines_say_one_line_an_epoch() -> None:
    stream = io.StringIO()
    progress = make_progress("lines", shown=True, epochs=2, batches=3, done=0, stream=stream)
    progress.batch(1, 0.5, 100.0)
    progress.epoch(RECORD)
    progress.close()
    assert stream.getvalue() == "epoch 1/2  loss 0.5124  accuracy 87.50%  1,234 examples/s\n"


def test_bars_show_epoch_rate_and_accuracy() -> None:
    stream = _Terminal()
    progress = make_progress("bar", shown=True, epochs=2, batches=3, done=0, stream=stream)
    for done in (1, 2, 3):
        progress.batch(done, 0.25, 4321.0)
    progress.epoch(RECORD)
    progress.batch(1, 0.25, 4321.0)
    progress.close()
    shown = stream.getvalue()
    assert "…" not in shown
    for expected in ("epoch 2/2", "4/6", "4,321", "87.50%", "0.250"):
        assert expected in shown


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
