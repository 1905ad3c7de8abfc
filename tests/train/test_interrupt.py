from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from gdw.train.processes import Interrupt


@pytest.fixture
def with_terminal() -> Iterator[None]:
    """As in a terminal, also if the tests run under `nohup`, which ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def _handlers() -> list[object]:
    return [signal.getsignal(number) for number in Interrupt.SIGNALS]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_insists(number: signal.Signals) -> None:
    before = _handlers()
    with Interrupt() as interrupt:
        assert not interrupt.requested
        os.kill(os.getpid(), number)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert _handlers() == before


def test_handlers_come_back_after_an_error() -> None:
    before = _handlers()

    def fail() -> None:
        with Interrupt():
            assert _handlers() != before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert _handlers() == before


def test_other_threads_are_left_alone() -> None:
    before, seen = _handlers(), []

    def work() -> None:
        with Interrupt() as interrupt:
            seen.append((_handlers(), interrupt.requested))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, False)]


@pytest.mark.usefixtures("with_terminal")
def test_a_closed_terminal_asks_as_often_as_it_likes() -> None:
    before = _handlers()
    with Interrupt() as interrupt:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupt.requested
    assert _handlers() == before


@pytest.mark.usefixtures("with_terminal")
def test_what_goes_to_a_closed_terminal_is_lost_and_no_error() -> None:
    ours, terminal = os.openpty()
    kept = os.dup(2)
    os.dup2(terminal, 2)
    os.close(terminal)
    try:
        with Interrupt() as interrupt:
            os.close(ours)
            with pytest.raises(OSError, match="Input/output error"):
                os.write(2, b"epoch 1")
            os.kill(os.getpid(), signal.SIGHUP)
            assert os.write(2, b"epoch 1") == 7
            assert interrupt.requested
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupt.requested
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
