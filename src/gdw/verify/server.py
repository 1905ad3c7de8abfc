"""The server of the page: on this machine only, for who knows the address, and for no other web page."""

from __future__ import annotations

import hmac
import json
import re
import secrets
import sys
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gdw.errors import ConfigError, GDWError, one_line
from gdw.verify.desk import Desk
from gdw.verify.examples import LARGE, NEAR, USUAL
from gdw.verify.requests import RefusedError

HOST = "127.0.0.1"

_LARGEST_BODY = 65_536
_PATIENCE = 30.0
_POLL = 0.05
_STATIC = {
    "/": ("verify.html", "text/html; charset=utf-8"),
    "/verify.css": ("verify.css", "text/css; charset=utf-8"),
    "/verify.js": ("verify.js", "text/javascript; charset=utf-8"),
    "/search.js": ("search.js", "text/javascript; charset=utf-8"),
}
_PICTURE = re.compile(r"/(picture|large)/(\d{1,9})|/near/(\d{1,9})/(\d{1,3})", re.ASCII)
# A name that another page could give this address (DNS rebinding) is none of these.
_OWN_NAME = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.ASCII)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_NO_TOKEN = (
    "this page opens only with the whole address that gdw verify has printed, with its token"
)


class Server(ThreadingHTTPServer):
    """Serves the page of a desk until `stop`.

    Args:
        desk: answers the requests.
        port: to listen on; 0 for any that is free.
        closing: the lines that say, at the end, what is saved and how to go on.

    Raises:
        ConfigError: the port cannot be used.
    """

    daemon_threads = True
    # Of Windows, where the option would let another program take the port over.
    allow_reuse_address = False

    def __init__(
        self, desk: Desk, *, port: int = 0, closing: Callable[[], Iterable[str]] = tuple
    ) -> None:
        self.desk, self.token, self.closing = desk, secrets.token_urlsafe(24), closing
        self.ended, self.stopped = threading.Event(), False
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"cannot use port {port}: {reason}; choose another one with --port, or leave it out"
            ) from None
        self.cookie = f"gdw_verify_{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(_POLL,), daemon=True).start()

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{HOST}:{self.server_port}/?token={self.token}"

    def stop(self) -> None:
        """Serve no longer, not even browsers that are connected."""
        self.stopped = True
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of a request is nothing to report; a mistake of gdw is."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "gdw", ""
    timeout = _PATIENCE

    def do_GET(self) -> None:
        self._respond(self._get)

    def do_POST(self) -> None:
        self._respond(self._post)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """One line of text, without anything of the request in it."""
        del message, explain
        self.close_connection = True
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else code
        self._send(int(status), HTTPStatus(status).phrase.encode(), "text/plain; charset=utf-8")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
        """Requests are not logged: the address has the token."""

    def _respond(self, act: Callable[[], None]) -> None:
        try:
            self._require_own_page()
            if self.server.stopped:
                raise RefusedError(503, "gdw verify has ended")
            act()
        except RefusedError as refused:
            self._refuse(refused)
        except (ConnectionError, TimeoutError):
            raise
        except (GDWError, OSError) as error:  # the data cannot be read any more
            self._refuse(RefusedError(409, f"this row cannot be read: {one_line(error)}"))

    def _refuse(self, refused: RefusedError) -> None:
        self.close_connection = True
        if self.command == "GET":
            text = f"{refused.message}\n".encode()
            self._send(refused.status, text, "text/plain; charset=utf-8")
        else:
            self._send_json(refused.status, {"problem": refused.message, **refused.more})

    def _require_own_page(self) -> None:
        """Refuse who does not know the token, and what another page in the same browser asks for."""
        host = self.headers.get_all("Host") or []
        if len(host) != 1 or not _OWN_NAME.fullmatch(host[0]):
            raise RefusedError(403, "this address is only for the machine itself")
        if self._is_of_another_page(f"http://{host[0]}"):
            raise RefusedError(403, "another web page may not ask this")
        if not self._knows_token():
            raise RefusedError(403, _NO_TOKEN)

    def _is_of_another_page(self, own: str) -> bool:
        origin = self.headers.get("Origin", own if self.command == "GET" else None)
        return origin != own or (self._asked_token() is None and self._is_cross_site())

    def _is_cross_site(self) -> bool:
        return self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")

    def _knows_token(self) -> bool:
        known = self.server.token.encode()
        given = [self._asked_token() or ""]
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            cookie = None
        given += [] if cookie is None else [cookie.value]
        return any(hmac.compare_digest(word.encode("utf-8", "replace"), known) for word in given)

    def _asked_token(self) -> str | None:
        parts = urlsplit(self.path)
        return parse_qs(parts.query).get("token", [None])[0] if parts.path == "/" else None

    def _get(self) -> None:
        path = urlsplit(self.path).path
        if path in _STATIC:
            name, kind = _STATIC[path]
            content = (files("gdw.verify") / "page" / name).read_bytes()
            self._send(200, content, kind, cookie=path == "/")
        elif path == "/favicon.ico":
            self._send(204, b"", "image/x-icon")
        else:
            content, kind = self._picture(path)
            self._send(200, content, kind)

    def _picture(self, path: str) -> tuple[bytes, str]:
        found = _PICTURE.fullmatch(path)
        if found is None:
            raise RefusedError(404, "there is nothing at this address")
        desk = self.server.desk
        if found[3] is not None:
            return desk.picture(int(found[3]), int(found[4]), NEAR)
        return desk.picture(int(found[2]), None, USUAL if found[1] == "picture" else LARGE)

    def _post(self) -> None:
        desk = self.server.desk
        actions = {
            "/start": desk.start,
            "/item": desk.item,
            "/answer": desk.answer,
            "/undo": desk.undo,
            "/skipped": desk.skipped,
        }
        path = urlsplit(self.path).path
        content = self._body()
        if path == "/finish":
            self._send_json(200, {"lines": list(self.server.closing())})
            self.server.ended.set()
        elif path in actions:
            self._send_json(200, actions[path](content))
        else:
            raise RefusedError(404, "there is nothing at this address")

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"\d{1,9}", length, re.ASCII):
            raise RefusedError(411, "the length of the request is missing")
        if int(length) > _LARGEST_BODY:
            raise RefusedError(413, "the request is too long")
        if self.headers.get_content_type() != "application/json":
            raise RefusedError(415, "expected JSON")
        try:
            content = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise RefusedError(400, "the request is not JSON") from None
        if not isinstance(content, dict):
            raise RefusedError(400, "expected an object")
        return content

    def _send_json(self, status: int, content: Any) -> None:
        body = json.dumps(content, ensure_ascii=True).encode()
        self._send(status, body, "application/json")

    def _send(self, status: int, body: bytes, kind: str, *, cookie: bool = False) -> None:
        self.send_response(status)
        if cookie:
            secret = f"{self.server.cookie}={self.server.token}"
            self.send_header("Set-Cookie", f"{secret}; Path=/; HttpOnly; SameSite=Strict")
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), **_HEADERS}
        for name, value in headers.items():
            self.send_header(name, value)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, POST")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
