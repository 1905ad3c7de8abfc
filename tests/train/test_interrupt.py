from __future__ import annotations

import os
import signal
import threading

import pytest

from gdw.train.processes import Interrupt


def _handlers() -> list[object]:
    return [signal.getsignal(number) for number in Interrupt.SIGNALS]


@pytest.mark.parametrize("number", Interrupt.SIGNALS)
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
