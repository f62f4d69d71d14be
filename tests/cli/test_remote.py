"""The kill switch from a terminal far away: what is signed is what the verifier wants, and a refusal is told in its words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from cli.remote import halt_from_afar, resume_from_afar, signed_headers
from common.domain.errors import InvalidInput, Permanent, Transient
from common.machine import system_clock
from common.services.kill_switch import SignedRequest, is_signed_by, verify
from common.settings import Settings

KEY, SECOND, TOKEN = "first-key-of-the-kill-switch", "second-key-of-another-person", "the-operators-token"


class Api(HTTPServer):
    """Keeps what it was asked; answers `status` and `told`."""

    asked: list[tuple[str, dict[str, str], bytes]]
    status: int = 201
    told: dict[str, Any] = {"lifted": True}  # noqa: RUF012 - replaced, never changed.

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Takes one POST at a time."""

    server: Api

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.told).encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    settings = Settings(halt_key=KEY, halt_second_key=SECOND, api_token=TOKEN)
    monkeypatch.setattr("cli.remote.read_settings", lambda: settings)
    server = Api(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def received(api: Api) -> tuple[SignedRequest, dict[str, str]]:
    path, headers, body = api.asked[-1]
    signed = SignedRequest(
        "POST",
        path,
        headers["X-Tradewinds-Timestamp"],
        headers["X-Tradewinds-Nonce"],
        body,
        headers["X-Tradewinds-Signature"],
    )
    return signed, headers


def test_a_halt_from_afar_is_signed_as_the_verifier_wants_it(api: Api) -> None:
    halt_from_afar(api.url, "platform", "", "flatten", "drill", "ada", as_json=True)
    request, _ = received(api)
    verify(request, KEY, system_clock().now())
    assert json.loads(request.body)["mode"] == "flatten"


def test_lifting_from_afar_sends_the_words_the_token_and_both_signatures(api: Api) -> None:
    resume_from_afar(api.url, "platform", "", "all clear", "ada", "resume platform", as_json=True)
    request, headers = received(api)
    verify(request, KEY, system_clock().now())
    assert is_signed_by(request, headers["X-Tradewinds-Second-Signature"], SECOND)
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert json.loads(request.body)["confirm"] == "resume platform"


def test_the_wrong_words_are_not_even_sent(api: Api) -> None:
    with pytest.raises(InvalidInput, match="resume tenant skiff"):
        resume_from_afar(api.url, "tenant", "skiff", "x", "ada", "yes", as_json=True)
    assert api.asked == []


def test_a_refusal_is_told_in_the_apis_own_words(api: Api) -> None:
    api.status, api.told = 403, {"detail": "takes a second signature"}
    with pytest.raises(Permanent, match="refused with 403: takes a second signature"):
        halt_from_afar(api.url, "platform", "", "halt_new", "drill", "ada", as_json=True)


def test_an_api_that_is_not_there_is_worth_another_try(api: Api) -> None:
    with pytest.raises(Transient, match="cannot be reached"):
        halt_from_afar("http://127.0.0.1:1", "platform", "", "halt_new", "drill", "ada", as_json=True)
    with pytest.raises(InvalidInput, match="an address such as"):
        halt_from_afar("file:///etc/passwd", "platform", "", "halt_new", "drill", "ada", as_json=True)


def test_without_the_key_nothing_can_be_signed() -> None:
    with pytest.raises(Permanent, match="TRADEWINDS_HALT_KEY"):
        signed_headers(Settings(), "/api/v1/halts", b"")
