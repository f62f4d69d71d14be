"""Asking a venue about one of its listings, which may have ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from common.domain.errors import NotFound, Permanent
from common.domain.market import InstrumentStatus
from common.domain.tenant import Account
from common.store import UnitOfWork

log = logging.getLogger(__name__)

T = TypeVar("T")


def ask_of(uow: UnitOfWork, account: Account, symbol: str, ask: Callable[[], T], otherwise: T) -> T:
    """What the venue answers about `symbol`; `otherwise` where it knows it no more.

    One listing that has ended must not keep the account's other positions from being looked after, whether or not the
    instruments were read anew since.
    """
    try:
        return ask()
    except Permanent as error:
        if not isinstance(error, NotFound) and not _is_delisted(uow, account, symbol):
            raise
        log.error("account %s cannot ask %s about %s any more: %s", account.id, account.venue, symbol, error)
        return otherwise


def _is_delisted(uow: UnitOfWork, account: Account, symbol: str) -> bool:
    instrument = uow.instruments.get(account.venue, symbol)
    return instrument is not None and instrument.status is InstrumentStatus.DELISTED
