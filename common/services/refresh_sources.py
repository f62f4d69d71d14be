"""Asks the public sources beside the venues and keeps what they tell, for everybody."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial

from common.domain.errors import TradewindsError
from common.ports.sources import CoinSource
from common.services.fleet import Fleet

log = logging.getLogger(__name__)

COINS = 500
"""The largest coins; what venues list below them is not ranked by market cap."""

MOOD_HISTORY_DAYS = 400
"""How far back the index is asked for the first time."""


def refresh_sources(fleet: Fleet) -> dict[str, str]:
    """Ask every source that is set; what became of each by its name.

    A source that fails is logged and leaves what it told before: nothing that trades waits for it.
    """
    told: dict[str, str] = {}
    every = [(source.name, partial(refresh_coins, fleet, source)) for source in fleet.coins]
    for name, refresh in (*every, ("mood", partial(refresh_mood, fleet))):
        try:
            told[name] = refresh()
        except TradewindsError as error:
            log.warning("%s was not refreshed: %s", name, error)
            told[name] = str(error)
    return told


def refresh_coins(fleet: Fleet, source: CoinSource) -> str:
    """Keep the largest coins as `source` sees them now."""
    coins = source.coins(COINS)
    with fleet.store.unit_of_work(None) as uow:
        uow.coins.replace(source.name, coins)
        uow.commit()
    return f"{len(coins)} coins"


def refresh_mood(fleet: Fleet) -> str:
    """Keep the fear-and-greed index of every day since the last one that is known."""
    if fleet.mood is None:
        return "not set"
    now = fleet.clock.now()
    with fleet.store.unit_of_work(None) as uow:
        newest = uow.moods.newest()
    days = MOOD_HISTORY_DAYS if newest is None else (now - newest.published_at) // timedelta(days=1) + 2
    # A publication of tomorrow is somebody's mistake, and would be handed to features when its time comes.
    moods = [mood for mood in fleet.mood.moods(days) if mood.published_at <= now]
    with fleet.store.unit_of_work(None) as uow:
        uow.moods.save(moods)
        uow.commit()
    return f"{len(moods)} days"
