"""What is said when the processes of a training cannot meet, or one of them is lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gdw.errors import ConfigError, GDWError, RunError
from gdw.train.connection_errors import ended_launch, explained

IN_USE = (
    "The server socket has failed to listen on any local network address. port: 29733, useIpv6: false, "
    "code: -98, name: EADDRINUSE, message: address already in use"
)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (IN_USE, ConfigError, "the port 29733, .* in use by another program: set MASTER_PORT"),
        (
            "[/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:51416",
            RunError,
            "another process of this training has ended .* --resume",
        ),
        (
            "[gloo/transport/tcp/pair.cc:534] Read error [127.0.0.1]:1: Connection reset by peer",
            RunError,
            "another process of this training has ended",
        ),
        ("NCCL communicator was aborted on rank 1.", RunError, "another process"),
    ],
)
def test_errors_of_the_connection_are_one_line(
    text: str, kind: type[GDWError], message: str
) -> None:
    error = explained(RuntimeError(text))
    assert isinstance(error, kind)
    with pytest.raises(kind, match=message):
        raise error
    assert "\n" not in str(error)


def test_other_errors_stay_what_they_are() -> None:
    for other in (RuntimeError("mat1 and mat2 shapes"), RuntimeError("the connection was slow")):
        assert explained(other) is other
    own: Any = RunError("gloo: connection closed by peer")
    assert explained(own) is own


def test_processes_that_were_started_already_end_with_the_launch() -> None:
    ended: list[str] = []
    child = SimpleNamespace(kill=lambda: ended.append("child"))
    fabric = SimpleNamespace(strategy=SimpleNamespace(launcher=SimpleNamespace(procs=[child])))
    assert isinstance(ended_launch(RuntimeError(IN_USE), fabric), ConfigError)
    assert ended == ["child"]
