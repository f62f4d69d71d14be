"""Notices a consumer that has gone deaf, and has it connect anew.

A consumer asks Redis for messages a second at a time, so that it asks at least once a second while it has nothing to do.
After connections were lost in quick succession some never ask again, although their connection stands and their loop
runs: their queue grows and nobody hears of it. Seen under chaos (kombu 5.6): one question, one answer, then silence.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from celery import bootsteps
from celery.worker import state
from kombu.transport import redis

from common.machine import system_clock

log = logging.getLogger(__name__)

_clock = system_clock()

LOOK_S = 1.0
DEAF_S = 3.0
"""Longer than a question lasts. That a frozen Redis is given up somewhat sooner, too, does no harm."""


class Window(redis.QoS):
    """A prefetch window in which an acknowledgement that fails takes up no room.

    kombu keeps the message counted when Redis does not answer in time, and Celery swallows the error: once every slot is
    lost so, while the question for messages itself survives the outage, the worker never asks again.
    """

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge; what fails is delivered again when its visibility timeout has passed, to find its job done."""
        try:
            super().ack(delivery_tag)
        except redis.Transport.connection_errors:
            self._quick_ack(delivery_tag)
            raise


class AskingChannel(redis.Channel):
    """A channel that remembers when it last asked for messages."""

    QoS = Window

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.asked_at = _clock.monotonic()
        super().__init__(*args, **kwargs)

    def _brpop_start(self, *args: Any, **kwargs: Any) -> None:
        self.asked_at = _clock.monotonic()
        super()._brpop_start(*args, **kwargs)


redis.Transport.Channel = AskingChannel


class Listener(bootsteps.StartStopStep):
    """Looks every second whether the consumer still asks while it has nothing to do."""

    requires: ClassVar[set[str]] = {"celery.worker.components:Pool"}

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self.enabled = bool(worker.use_eventloop)

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Begin to look; called at every start of the loop, for the loss of the broker makes it forget its timers."""
        hub.call_repeatedly(LOOK_S, listen, worker)


def listen(worker: Any) -> None:
    """Raise ConnectionResetError, as a lost broker does, when the idle `worker` has asked for nothing for `DEAF_S`."""
    consumer = getattr(worker.consumer, "task_consumer", None)
    channel = getattr(consumer, "channel", None)
    if not isinstance(channel, AskingChannel) or state.reserved_requests:
        return
    silent_s = _clock.monotonic() - channel.asked_at
    if silent_s > DEAF_S:
        log.warning("asked for no message for %.0f s although there is nothing to do: connecting anew", silent_s)
        raise ConnectionResetError("the consumer has gone deaf")
