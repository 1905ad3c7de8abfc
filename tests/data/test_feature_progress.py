"""What a person sees while features are computed."""

from __future__ import annotations

import io

import pytest

from gdw.data.features.progress_bar import Bar
from gdw.data.features.reporting import Lines, Reporter, make_reporter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def work(reporter: Reporter, clock: Clock, seconds: float, parts: int = 10) -> None:
    for _ in range(parts):
        clock.now += seconds / parts
        reporter.advance(100)


def test_the_time_is_told_once_and_then_every_minute() -> None:
    lines: list[str] = []
    clock = Clock()
    reporter = Lines(lines.append, clock=clock)
    reporter.begin("features of 1,000 images", 1000, more=" by fake")
    work(reporter, clock, 200.0)
    reporter.end()
    assert lines[0] == "features of 1,000 images by fake: about 3 min"
    assert lines[1] == "50% done: features of 1,000 images by fake, about 2 min left"
    assert len(lines) == 3


def test_short_work_has_one_line_and_unannounced_work_none() -> None:
    lines: list[str] = []
    clock = Clock()
    reporter = Lines(lines.append, clock=clock)
    reporter.begin("reading 1,000 images", 1000, announced=False)
    work(reporter, clock, 30.0)
    reporter.end()
    assert lines == []
    reporter.begin("features of 1,000 images by fake", 1000)
    work(reporter, clock, 0.5)
    reporter.end()
    reporter.end()
    assert lines == ["features of 1,000 images by fake"]


def test_a_bar_goes_when_the_work_is_done() -> None:
    stream = io.StringIO()
    bar = Bar(stream)
    bar.begin("features of [1] image", 100, more=" by fake")
    bar.advance(40)
    bar.say("note: a \x1b line")
    bar.end()
    bar.begin("features of 2 images", 100)
    bar.end()
    assert "features of [1] image by fake\n" in stream.getvalue(), "the line, but not the bar"
    assert "note: a \\x1b line" in stream.getvalue()


def test_the_kind_of_display(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    assert isinstance(make_reporter("auto", stream), Lines)
    assert isinstance(make_reporter("bar", stream), Bar)
    assert type(make_reporter("none", stream)) is Reporter
    stream.isatty = lambda: True  # type: ignore[method-assign]
    assert isinstance(make_reporter("auto", stream), Bar)
    assert isinstance(make_reporter("lines", stream), Lines)
    monkeypatch.setenv("RANK", "1")
    assert type(make_reporter("bar", stream)) is Reporter
