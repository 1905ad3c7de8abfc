"""The server of the page answers only who knows its address, on this machine, and no other web page."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gdw.data import load
from gdw.data.verification import write_queue
from gdw.errors import ConfigError
from gdw.verify.server import HOST, Server
from tests.data.files import image_folder, png
from tests.verify import made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    desk = made.desk(made.image_queue(tmp_path))
    server = Server(desk)
    yield server
    server.stop()
    desk.journal.close()


class Answer:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def content(self) -> Any:
        return json.loads(self.body)


def ask(
    server: Server, path: str, body: Any = None, *, method: str | None = None, **headers: str | None
) -> Answer:
    """A request as the page makes it; `headers` add to its headers, or take them away."""
    host = f"{HOST}:{server.server_port}"
    usual: dict[str, str | None] = {"Host": host, "Cookie": f"{server.cookie}={server.token}"}
    content = None
    if body is not None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        usual |= {"Origin": f"http://{host}", "Content-Type": "application/json",
                  "Content-Length": str(len(content))}  # fmt: skip
    usual |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=20)
    connection.putrequest(
        method or ("GET" if body is None else "POST"),
        path,
        skip_host=True,
        skip_accept_encoding=True,
    )
    for name, value in usual.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(content)
    response = connection.getresponse()
    answer = Answer(response.status, response.headers, response.read())
    connection.close()
    return answer


def test_the_address_opens_the_page_and_gives_the_cookie(server: Server) -> None:
    page = ask(server, f"/?token={server.token}", Cookie=None)
    assert page.status == 200
    assert b"gdw verify" in page.body
    cookie = page.headers["Set-Cookie"]
    assert cookie == f"{server.cookie}={server.token}; Path=/; HttpOnly; SameSite=Strict"
    assert ask(server, "/verify.js").status == 200
    assert ask(server, "/start", {}).content["item"]["n"] == 0
    assert server.server_address[0] == "127.0.0.1"
    assert len(server.token) >= 32


def test_every_answer_forbids_what_a_page_could_be_misused_for(server: Server) -> None:
    for path in ("/", "/verify.css", "/picture/0", "/nothing"):
        headers = ask(server, path).headers
        assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert ask(server, "/picture/0").headers["Content-Type"] == "image/png"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {"Cookie": None}),
        ("/?token=", {"Cookie": None}),
        ("/?token=" + "x" * 32, {"Cookie": None}),
        ("/picture/0", {"Cookie": None}),
        ("/picture/0?token=TOKEN", {"Cookie": None}),
        ("/verify.js", {"Cookie": "gdw_verify_1=TOKEN"}),
        ("/", {"Host": "evil.example:PORT"}),
        ("/", {"Host": "127.0.0.1.evil.example"}),
        ("/", {"Host": None}),
        ("/", {"Origin": "http://evil.example"}),
        ("/", {"Sec_Fetch_Site": "cross-site"}),
        ("/picture/0", {"Sec_Fetch_Site": "same-site"}),
    ],
)
def test_who_does_not_belong_here_gets_nothing(
    server: Server, path: str, headers: dict[str, str | None]
) -> None:
    def filled(text: str) -> str:
        return text.replace("TOKEN", server.token).replace("PORT", str(server.server_port))

    headers = {name: value and filled(value) for name, value in headers.items()}
    answer = ask(server, filled(path), **headers)
    assert answer.status == 403
    assert answer.body.count(b"\n") == 1
    assert server.token.encode() not in answer.body
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "https://127.0.0.1"},
        {"Cookie": None},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_another_page_cannot_answer(server: Server, headers: dict[str, str | None]) -> None:
    said = {"n": 0, "seen": 0, "answer": "label", "labels": [0]}
    assert ask(server, "/answer", said, **headers).status == 403
    assert not server.desk.journal.answers
    assert ask(server, "/answer", said).status == 200


def test_a_tunnel_with_another_port_works(server: Server) -> None:
    host = {"Host": "localhost:9999", "Origin": "http://localhost:9999"}
    assert ask(server, "/start", {}, **host).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page/verify.html",
        "/verify.js/", "/verify.py", "/picture/-1", "/picture/0/../1", "/picture/99", "/picture/%D9%A3",
        "/picture/1e0", "/near/0/9", "/near/9/0", "/large/", "/start", "/v.jsonl",
    ],
)  # fmt: skip
def test_nothing_else_is_there(server: Server, path: str) -> None:
    answer = ask(server, path)
    assert answer.status in (400, 404)
    assert b"root:" not in answer.body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "X"])
def test_other_methods_are_refused(server: Server, method: str) -> None:
    answer = ask(server, "/", method=method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"x" * 70_000, {}, 413),
        (b"{}", {"Content_Length": None, "Transfer_Encoding": "chunked"}, 411),
        (b"{}", {"Content_Length": "-5"}, 411),
        (b"{}", {"Content_Type": "application/x-www-form-urlencoded"}, 415),
        (b"{}", {"Content_Type": "text/plain"}, 415),
        (b"{", {}, 400),
        (b"[" * 60_000, {}, 400),
        (b"[]", {}, 400),
        (b"\xff", {}, 400),
        (b"{}", {}, 400),
    ],
)
def test_bodies_that_are_no_answers_are_refused(
    server: Server, body: bytes, headers: dict[str, str | None], status: int
) -> None:
    try:
        answer = ask(server, "/answer", body, **headers)
    except (ConnectionError, http.client.HTTPException):
        assert status == 413  # it may hang up while we still send
    else:
        assert answer.status == status
        assert "problem" in answer.content
    assert not server.desk.journal.answers
    assert ask(server, "/start", {}).status == 200


def test_noise_on_the_line_does_not_stop_it(server: Server) -> None:
    for noise in (
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET\r\n\r\n",
        b"",
        b"G" * 70_000 + b"\r\n",
    ):
        with socket.create_connection((HOST, server.server_port), timeout=10) as line:
            line.sendall(noise)
            line.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                assert server.token.encode() not in line.recv(65_536)
    assert ask(server, "/start", {}).status == 200


def test_an_svg_in_the_place_of_a_picture_is_not_sent(tmp_path: Path) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    image_folder(tmp_path / "x", {"a/1.png": svg, "b/2.png": png()})
    source = load(tmp_path / "x", label="label")
    queue = write_queue(
        tmp_path / "v.jsonl", source, np.arange(2), label="label", data=tmp_path / "x"
    )
    desk = made.desk(queue)
    server = Server(desk)
    answer = ask(server, "/picture/0")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert b"svg" not in answer.body
    assert ask(server, "/picture/1").status == 200
    server.stop()
    desk.close()


def test_finish_ends_it(server: Server) -> None:
    assert ask(server, "/finish", {}).status == 200
    assert server.ended.wait(5)


def test_a_port_that_is_taken_is_told(server: Server) -> None:
    with pytest.raises(ConfigError, match=f"cannot use port {server.server_port}: .*--port"):
        Server(server.desk, port=server.server_port)
