"""The server: the page for who knows the token, a refusal for everybody else."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator

import pytest

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
