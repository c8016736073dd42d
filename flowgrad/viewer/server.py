"""HTTP server of the page on the loopback address: GET only, with a random token in the path."""

from __future__ import annotations

import hmac
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from flowgrad.errors import FlowgradError

HOST = "127.0.0.1"


class Server(ThreadingHTTPServer):
    """Server that answers /TOKEN/ with the page and /TOKEN/NAME with `answers[NAME]()` as JSON, and refuses all else.

    Args:
        make_page: maps the base path of the answers, /TOKEN/, to the page's bytes; called for each request.
        answers: functions by name; each returns a JSON-serializable value.
        port: 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(
        self, make_page: Callable[[str], bytes], answers: Mapping[str, Callable[[], Any]], port: int = 0
    ) -> None:
        super().__init__((HOST, port), _Handler)
        self.token, self.answers, self.make_page = secrets.token_urlsafe(24), answers, make_page

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore connections that the browser closed during an answer; report other errors."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def authority(self) -> str:
        """Host and port, as in the Host header."""
        return f"{HOST}:{self.server_address[1]}"

    @property
    def path(self) -> str:
        """Path of the page on this host: /TOKEN/."""
        return f"/{self.token}/"

    @property
    def url(self) -> str:
        """URL of the page; every process of this machine that knows it can read the page."""
        return f"http://{self.authority}{self.path}"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "flowgrad", ""
    timeout = 20

    def do_GET(self) -> None:
        origin = self.headers.get("Origin")
        if self.headers.get("Host") != self.server.authority or origin not in (None, f"http://{self.server.authority}"):
            return self._answer(403, b"forbidden\n")
        token, _, rest = self.path.removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            return self._answer(404, b"not found\n")
        try:
            found = self._found(rest)
        except FlowgradError as error:  # a file is being replaced or is missing: a later request may succeed
            return self._answer(503, f"{error}\n".encode(), "text/plain; charset=utf-8")
        return self._answer(404, b"not found\n") if found is None else self._answer(200, *found)

    def _found(self, rest: str) -> tuple[bytes, str] | None:
        if rest == "":
            return self.server.make_page(self.server.path), "text/html; charset=utf-8"
        if rest not in self.server.answers:
            return None
        body = json.dumps(self.server.answers[rest](), allow_nan=False, separators=(",", ":"))
        return body.encode(), "application/json"

    def _refuse(self) -> None:
        self._answer(405, b"GET only\n")

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = _refuse

    def _answer(self, code: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(code)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Content-Security-Policy": "frame-ancestors 'none'",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Connection": "close",
        }
        if code == 405:
            headers["Allow"] = "GET"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: every line would contain the token."""
