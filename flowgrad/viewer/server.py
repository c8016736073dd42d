"""The page on this machine's own address: a random token in the path, GET only, for nobody but this host's browser."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"


class Server(ThreadingHTTPServer):
    """Answers two paths, /TOKEN/ with the page and /TOKEN/live with `losses()` as JSON, and refuses all else.

    Args:
        make_page: the path of the live answers → the page's bytes.
        losses: columns of the run's history by name, or None.
        port: 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, make_page: Callable[[str], bytes], losses: Callable[[], Any], port: int = 0) -> None:
        super().__init__((HOST, port), _Handler)
        self.token, self.losses = secrets.token_urlsafe(24), losses
        self.page = make_page(f"/{self.token}/live")

    @property
    def authority(self) -> str:
        """Host and port, as a browser writes them."""
        return f"{HOST}:{self.server_address[1]}"

    @property
    def url(self) -> str:
        """Where the page is; whoever knows it may read it."""
        return f"http://{self.authority}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "flowgrad", ""
    timeout = 20

    def do_GET(self) -> None:
        origin = self.headers.get("Origin")
        if self.headers.get("Host") != self.server.authority or origin not in (None, f"http://{self.server.authority}"):
            return self._answer(403, b"forbidden\n", "text/plain")
        token, _, rest = self.path.removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            return self._answer(404, b"not found\n", "text/plain")
        if rest == "":
            return self._answer(200, self.server.page, "text/html; charset=utf-8")
        if rest == "live":
            return self._answer(200, json.dumps(self.server.losses()).encode(), "application/json")
        return self._answer(404, b"not found\n", "text/plain")

    def _answer(self, code: int, body: bytes, kind: str) -> None:
        self.send_response(code)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Content-Security-Policy": "frame-ancestors 'none'",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the token would stand in every line."""
