"""A loopback HTTP server whose every answer is written by the test, and which remembers what it was asked."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """What came over the wire."""

    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    headers: dict[str, str]
    body: str

    @property
    def said(self) -> dict[str, str]:
        """Query and form together."""
        return self.query | self.form

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back; `reset` cuts the connection, `hang` says nothing until the server stops, `drip_s` sends blanks."""

    status: int = 200
    body: Any = None
    reset: bool = False
    hang: bool = False
    drip_s: float = 0.0

    @property
    def text(self) -> str:
        """The body as it is sent."""
        return self.body if isinstance(self.body, str) else json.dumps(self.body)


Reply = Answer | Callable[[Request], Answer]


@dataclass(slots=True)
class ScriptedServer:
    """Routes from (method, path) to answers; an unknown route answers 404."""

    url: str = ""
    routes: dict[tuple[str, str], Reply] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    stopped: Event = field(default_factory=Event)

    def on(self, method: str, path: str, reply: Reply) -> None:
        """Answer `method path` with `reply` from now on."""
        self.routes[(method, path)] = reply

    def asked(self, method: str, path: str) -> list[Request]:
        """The requests of this route so far, oldest first."""
        return [request for request in self.requests if (request.method, request.path) == (method, path)]


def _handler(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            form = dict(parse_qsl(body)) if "form" in headers.get("content-type", "") else {}
            request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), form, headers, body)
            server.requests.append(request)
            reply = server.routes.get((self.command, parts.path), Answer(404, {"code": -1, "msg": "no such route"}))
            self._answer(reply(request) if callable(reply) else reply)

        do_GET = do_POST = do_DELETE = do_PUT = _serve  # noqa: N815 - the server looks for these names.

        def _answer(self, answer: Answer) -> None:
            if answer.hang:
                server.stopped.wait(30)
            if answer.hang or answer.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            data = answer.text.encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            if answer.drip_s:
                self.send_header("Connection", "close")
                self.close_connection = True
                self.end_headers()
                self._drip(answer.drip_s)
            else:
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
            self.wfile.write(data)

        def _drip(self, length_s: float) -> None:
            for _ in range(int(length_s / 0.05)):
                self.wfile.write(b"\n")
                self.wfile.flush()
                if server.stopped.wait(0.05):
                    return

        def handle(self) -> None:
            with suppress(OSError):  # The client went away, which is what some tests are about.
                super().handle()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    """A server on a free loopback port, stopped on leaving."""
    script = ScriptedServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script))
    http.daemon_threads = True
    script.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        script.stopped.set()
        http.shutdown()
        http.server_close()
        thread.join()
