"""The proxy passes on, stalls, cuts, and loses the answer to a COMMIT, as it is told."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from chaos.proxy import COMMIT, Proxy, ProxyThread

PATIENCE_S = 5.0
SHORT_S = 0.3


class Echo:
    """A server that answers what it hears, and remembers it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(4096):
                self.heard.append(data)
                connection.sendall(b"ok:" + data)

    def close(self) -> None:
        """Take nobody any more."""
        self._socket.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    thread = ProxyThread()
    made = Proxy("echo", echo.port, thread).start()
    yield made
    made.stop()
    thread.stop()


@pytest.fixture
def line(proxy: Proxy) -> Iterator[socket.socket]:
    """A connection through the proxy that has been used once."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE_S) as made:
        assert ask(made, b"hello") == b"ok:hello"
        yield made


def ask(line: socket.socket, data: bytes, patience_s: float = PATIENCE_S) -> bytes:
    line.settimeout(patience_s)
    line.sendall(data)
    return line.recv(4096)


def hears_nothing(port: int) -> bool:
    """Whether a fresh connection is cut before it hears anything."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as fresh:
            return ask(fresh, b"nobody") == b""
    except ConnectionError:
        return True


def test_what_is_held_back_comes_late(proxy: Proxy, echo: Echo, line: socket.socket) -> None:
    proxy.worsen("drop")
    with pytest.raises(TimeoutError):
        ask(line, b"late", SHORT_S)
    assert echo.heard == [b"hello"]
    proxy.heal()
    line.settimeout(PATIENCE_S)
    assert line.recv(4096) == b"ok:late"


def test_what_is_held_back_is_lost_with_its_connection_when_it_is_cut(
    proxy: Proxy, echo: Echo, line: socket.socket
) -> None:
    proxy.worsen("drop")
    with pytest.raises(TimeoutError):
        ask(line, b"lost", SHORT_S)
    proxy.heal(cut=True)
    with pytest.raises(ConnectionError):
        ask(line, b"again")
    assert echo.heard == [b"hello"]


def test_half_open_the_server_hears_and_its_answer_is_lost(proxy: Proxy, echo: Echo, line: socket.socket) -> None:
    proxy.worsen("half_open")
    with pytest.raises(TimeoutError):
        ask(line, b"heard", SHORT_S)
    assert echo.heard == [b"hello", b"heard"]
    proxy.heal()
    with pytest.raises(ConnectionError):
        ask(line, b"again")


def test_reset_cuts_what_is_connected_and_refuses_what_comes(proxy: Proxy, line: socket.socket) -> None:
    proxy.worsen("reset")
    with pytest.raises(ConnectionError):
        ask(line, b"gone")
    assert hears_nothing(proxy.port)
    proxy.heal()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE_S) as fresh:
        assert ask(fresh, b"back") == b"ok:back"


def test_cut_before_the_commit_the_server_hears_nothing_of_it(proxy: Proxy, echo: Echo, line: socket.socket) -> None:
    proxy.cut_at_commit("before", 1)
    with pytest.raises(ConnectionError):
        ask(line, COMMIT)
    assert (echo.heard, proxy.cut_commits) == ([b"hello"], 1)


def test_cut_after_the_commit_the_server_has_answered_and_nobody_heard(
    proxy: Proxy, echo: Echo, line: socket.socket
) -> None:
    proxy.cut_at_commit("after", 1)
    with pytest.raises(ConnectionError):
        ask(line, COMMIT)
    assert (echo.heard, proxy.cut_commits) == ([b"hello", COMMIT], 1)
