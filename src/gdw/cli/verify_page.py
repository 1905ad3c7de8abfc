"""How `gdw verify` shows its page, until the person ends it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from gdw.cli.app import say

if TYPE_CHECKING:
    from gdw.verify import Desk


def serve(desk: Desk, port: int, closing: Callable[[], Iterator[str]], *, browser: bool) -> None:
    """Serve the page until the person finishes it, or presses Ctrl-C."""
    from gdw.verify.server import Server

    server = Server(desk, port=port, closing=closing)
    try:
        with _ended_by_signals():
            say(f"{desk.verification().described()}; annotator {desk.settings.annotator}")
            say(f"open in a browser: {server.address}")
            if "SSH_CONNECTION" in os.environ:
                there = (
                    f"ssh -N -L {server.server_port}:127.0.0.1:{server.server_port} THIS_MACHINE"
                )
                say(f"from another machine, first: {there}")
            say("every answer is saved at once; end with Finish on the page, or with Ctrl-C here")
            sys.stdout.flush()
            if browser and _has_screen():
                import webbrowser

                webbrowser.open(server.address)
            server.ended.wait()
    except KeyboardInterrupt:
        say("", err=True)
    finally:
        server.stop()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Inside, SIGTERM acts as Ctrl-C. So does SIGHUP, of a closed terminal, unless `nohup` ignores it."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    known = (getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP"))
    heard = [one for one in known if one and signal.getsignal(one) is not signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        heard = []  # only the main thread hears of signals
    before = [signal.signal(one, stop) for one in heard]
    try:
        yield
    finally:
        for one, handler in zip(heard, before, strict=True):
            signal.signal(one, handler)


def _has_screen() -> bool:
    """Whether a browser would have a window. Without one, Linux offers browsers that take the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
