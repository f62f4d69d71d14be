"""A hard limit on how long a call may take, for a timeout alone counts the silence between two bytes only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import Empty, Queue
from threading import Thread
from typing import TypeVar

import httpx2

from common.ports.clock import Clock

T = TypeVar("T")

_TIMEOUTS = "timeout"


class DeadlineExceeded(Exception):
    """The call did not come back in time."""


def within(deadline_s: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises within `deadline_s`; raises DeadlineExceeded after that and lets it run out alone.

    The thread that is left behind is ended by CutOff at its next byte, or by the read timeout when none comes.
    """
    answers: Queue[tuple[bool, T | BaseException]] = Queue(1)

    def run() -> None:
        try:
            answers.put((True, call()))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits.
            answers.put((False, error))

    Thread(target=run, name="advisor-call", daemon=True).start()
    try:
        is_answer, outcome = answers.get(timeout=max(0.0, deadline_s))
    except Empty:
        raise DeadlineExceeded from None
    if is_answer:
        return outcome  # type: ignore[return-value]
    raise outcome  # type: ignore[misc]


class CutOff(httpx2.BaseTransport):
    """Ends an answer that drips on past the deadline of its request (`timeout.read` seconds after it was sent)."""

    def __init__(self, inner: httpx2.BaseTransport, clock: Clock) -> None:
        self._inner, self._clock = inner, clock

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The inner transport's answer, its body under the deadline."""
        allowed = request.extensions.get(_TIMEOUTS, {}).get("read")
        sent = self._clock.monotonic()
        response = self._inner.handle_request(request)
        if allowed is not None and isinstance(response.stream, httpx2.SyncByteStream):
            response.stream = _CutStream(response.stream, self._clock, sent + allowed)
        return response

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()


class _CutStream(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, clock: Clock, until: float) -> None:
        self._inner, self._clock, self._until = inner, clock, until

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._inner:
            if self._clock.monotonic() > self._until:
                raise httpx2.ReadTimeout("the answer took longer than its deadline")
            yield chunk

    def close(self) -> None:
        self._inner.close()
