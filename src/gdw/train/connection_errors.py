"""Errors of the connection between the processes of a training, in words."""

from __future__ import annotations

import re
from typing import Any

from gdw.errors import ConfigError, GDWError, RunError

# What gloo, NCCL and PyTorch say when another process has ended or does not answer.
_LOST = re.compile(
    r"connection (?:closed|reset|refused|was)|broken pipe|timed? ?out|remote process|"
    r"socket.*(?:closed|error)|nccl communicator was aborted|rank \d+.*(?:exited|failed)",
    re.IGNORECASE,
)


def ended_launch(error: RuntimeError, fabric: Any) -> Exception:
    """As `explained`. The processes that were started already would wait for this one for ever: they end."""
    for child in getattr(fabric.strategy.launcher, "procs", ()):
        child.kill()
    return explained(error)


def explained(error: RuntimeError) -> Exception:
    """One line for an error of the connection between processes; other errors are returned as they are."""
    text = str(error)
    if isinstance(error, GDWError):
        return error
    if "EADDRINUSE" in text or "address already in use" in text.lower():
        port = re.search(r"port: (\d+)", text)
        return ConfigError(
            f"the port {port[1] if port else 'of the first process'}, at which the processes meet, is in use "
            "by another program: set MASTER_PORT to a free one (torchrun: --standalone or --master-port)"
        )
    connects = any(
        word in text.lower() for word in ("gloo", "nccl", "store", "distributed", "socket")
    )
    if connects and _LOST.search(text):
        return RunError(
            "another process of this training has ended or does not answer, so this one stops too: see its "
            "message, or whether it was killed (memory?); continue from the last checkpoint with --resume "
            "(resume=True)"
        )
    return error
