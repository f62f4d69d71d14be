"""Keeps a consumer listening through outages of its broker that kombu 5.6 would leave it deaf after, all found under chaos.

An acknowledgement that Redis does not answer keeps its place in the prefetch window for good (`Window`). The loss of a
connection that redis-py replaces without a word ends the asking all the same (`AskingChannel`). And a question on a
connection that has become half open is never answered; TCP would tell in two hours (`Listener`).
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from celery import bootsteps
from kombu.transport import redis

from common.machine import system_clock

log = logging.getLogger(__name__)

_clock = system_clock()

LOOK_S = 1.0
UNANSWERED_S = 3.0
"""Redis answers a question for messages within one second, with nothing if there is none."""


class Window(redis.QoS):
    """A prefetch window in which an acknowledgement that fails takes up no room.

    Celery swallows the error and kombu goes on counting the message: once every place is lost so, while the question
    for messages itself survives the outage, the worker asks no more.
    """

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge; what fails is delivered again when its visibility timeout has passed, to find its job done."""
        try:
            super().ack(delivery_tag)
        except redis.Transport.connection_errors:
            self._quick_ack(delivery_tag)
            raise


class AskingChannel(redis.Channel):
    """A channel that counts by our window, asks on whatever becomes of other connections, and remembers when it asked."""

    QoS = Window

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.asked_at = _clock.monotonic()
        super().__init__(*args, **kwargs)

    @property
    def unanswered_s(self) -> float:
        """For how many seconds a question for messages has been waiting for its answer; 0 when none is."""
        return _clock.monotonic() - self.asked_at if self._in_poll else 0.0

    def _on_connection_disconnect(self, connection: Any) -> None:
        """Stop asking when the connection was one that is listened to: then the loop hears of it, too, and begins anew.

        The pool also closes a connection that was lost while it lay idle, and opens it again, before it hands it out. kombu
        would take its question out of the loop then, and nobody would put it back: one question more, and silence.
        """
        clients = (self.__dict__.get(name) for name in ("client", "subclient"))
        if any(getattr(client, "connection", None) is connection for client in clients):
            super()._on_connection_disconnect(connection)

    def _brpop_start(self, *args: Any, **kwargs: Any) -> None:
        self.asked_at = _clock.monotonic()
        super()._brpop_start(*args, **kwargs)


redis.Transport.Channel = AskingChannel


class Listener(bootsteps.StartStopStep):
    """Looks every second whether the consumer's question has been answered."""

    requires: ClassVar[set[str]] = {"celery.worker.components:Pool"}

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self.enabled = bool(worker.use_eventloop)

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Begin to look; called at every start of the loop, for the loss of the broker makes it forget its timers."""
        hub.call_repeatedly(LOOK_S, listen, worker)


def listen(worker: Any) -> None:
    """Raise ConnectionResetError, as a lost broker does, when a question has not been answered for `UNANSWERED_S`."""
    consumer = getattr(worker.consumer, "task_consumer", None)
    channel = getattr(consumer, "channel", None)
    if isinstance(channel, AskingChannel) and channel.unanswered_s > UNANSWERED_S:
        log.warning("the broker has not answered for %.0f s: connecting anew", channel.unanswered_s)
        raise ConnectionResetError("the broker does not answer")
