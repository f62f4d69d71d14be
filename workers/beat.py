"""The heartbeat's scheduler: periods follow the venue's clock, and only the leader ticks."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from celery.beat import Scheduler

from beat_schedule import BEATS
from common.domain.errors import TradewindsError
from workers.fleet import current_fleet
from workers.heartbeat import give_sign_of_life

log = logging.getLogger(__name__)

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Every tick is due at the start: accounts that were not compared with their venue take no entries for a whole period."""

STANDBY_S = 1.0
"""How often a standby asks whether the leader is gone."""


class FleetScheduler(Scheduler):
    """Keeps its entries in memory and leads by a lock in Postgres, so that emptying Redis cannot stop the clock.

    Two beats are harmless: the second stands by and takes over within `STANDBY_S` of the first one's end. Ticks are
    idempotent besides, so not even a moment with two leaders could do harm.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lease: Any = None
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Install every beat with the period it has at the venue's present speed."""
        # One line a tick is no news.
        logging.getLogger("celery.beat").setLevel(logging.WARNING)
        rate = current_fleet().clock.rate
        self.merge_inplace({beat.name: beat.entry(rate) | {"last_run_at": _NEVER} for beat in BEATS})

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Ring what is due and return the seconds to sleep; a standby only asks for the lead."""
        give_sign_of_life()
        if not self._leads():
            return STANDBY_S
        delay: float = super().tick(*args, **kwargs)
        return delay

    def _leads(self) -> bool:
        try:
            if self._lease is None:
                self._lease = current_fleet().store.try_lead("beat")
            elif not self._lease.holds():
                self._lease = None
        except TradewindsError as error:
            log.warning("beat cannot reach Postgres, it stands by: %s", error)
            self._lease = None
        return self._lease is not None

    def close(self) -> None:
        """Give up the lead."""
        if self._lease is not None:
            self._lease.release()
            self._lease = None
        super().close()
