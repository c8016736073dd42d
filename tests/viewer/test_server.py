"""The server: the page for who knows the token, a refusal for everybody else."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from flowgrad.errors import FileError
from flowgrad.viewer.server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(lambda live: f"page of {live}".encode(), {"state": lambda: {"loss": [1.0, 0.5]}}) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_who_knows_the_token_gets_the_page_and_the_losses(server: Server) -> None:
    assert ask(server, f"/{server.token}/") == (200, f"page of /{server.token}/")
    code, text = ask(server, f"/{server.token}/state", Origin=f"http://{server.authority}")
    assert (code, json.loads(text)) == (200, {"loss": [1.0, 0.5]})


def test_everybody_else_is_refused(server: Server) -> None:
    good = f"/{server.token}/"
    for path in ("/", "/state", "/wrong/", good + "../../etc/passwd", good + "x", good[:-2] + "/"):
        assert ask(server, path)[0] == 404, path
    assert ask(server, good, Host="evil.example")[0] == 403
    assert ask(server, good, Host=f"localhost:{server.server_address[1]}")[0] == 403
    assert ask(server, good, Origin="http://evil.example")[0] == 403
    assert ask(server, good, Origin="null")[0] == 403
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "CONNECT"):
        assert ask(server, good, method)[0] == 405, method
    assert ask(server, good, "BREW")[0] == 501
    assert server.server_address[0] == "127.0.0.1"


def test_what_cannot_be_read_just_now_is_said(server: Server) -> None:
    def gone() -> None:
        raise FileError("no file or folder model")

    server.answers = {"state": gone}
    assert ask(server, f"/{server.token}/state") == (503, "no file or folder model\n")


def test_a_browser_that_goes_away_is_no_error(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.make_page = lambda live: b"x" * 50_000_000
    with socket.create_connection(server.server_address[:2]) as connection:
        request = f"GET /{server.token}/ HTTP/1.1\r\nHost: {server.authority}\r\n\r\n"
        connection.sendall(request.encode())
        assert connection.recv(100).startswith(b"HTTP/1.0 200")
    assert ask(server, f"/{server.token}/state")[0] == 200
    assert capfd.readouterr().err == ""
