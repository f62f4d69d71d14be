"""CoinGecko's coins by market cap (API v3, GET /api/v3/coins/markets)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from urllib.parse import urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from common.adapters.public_sources.asking import ask
from common.domain.money import ZERO
from common.domain.sources import Coin
from common.ports.clock import Clock

NAME = "coingecko"
PAGE = 250  # The most that one request answers.
_PRO = "pro-api."


class _Row(BaseModel):
    """A row of coins/markets; a coin without a price or a time is no news."""

    model_config = ConfigDict(extra="ignore")

    id: str = Field(min_length=1, max_length=200)
    symbol: str = Field(min_length=1, max_length=100)
    current_price: Decimal | None = None
    market_cap: Decimal | None = None
    total_volume: Decimal | None = None
    last_updated: AwareDatetime | None = None


_ROWS = TypeAdapter(list[_Row])


class CoinGecko:
    """Coins of CoinGecko at `url`; a key goes into the header that its host wants. Implements ports.sources.CoinSource."""

    def __init__(self, url: str, clock: Clock, key: str | None = None, timeout_s: float = 10.0) -> None:
        self._url, self._clock, self._timeout_s = url.rstrip("/"), clock, timeout_s
        is_pro = (urlsplit(url).hostname or "").startswith(_PRO)
        self._headers = {} if key is None else {"x-cg-pro-api-key" if is_pro else "x-cg-demo-api-key": key}

    @property
    def name(self) -> str:
        """The source's name in our books."""
        return NAME

    def coins(self, count: int) -> Sequence[Coin]:
        """The `count` largest coins with a price, by market cap; as many requests as pages."""
        found: list[Coin] = []
        for page in range(1, -(-count // PAGE) + 1):
            rows = self._page(page, min(PAGE, count))
            found += [coin for row in rows if (coin := self._coin(row)) is not None]
            if len(rows) < PAGE:
                break
        return found[:count]

    def _page(self, page: int, size: int) -> list[_Row]:
        query = {"vs_currency": "usd", "order": "market_cap_desc", "per_page": str(size), "page": str(page)}
        address = f"{self._url}/api/v3/coins/markets"
        return ask(NAME, address, query | {"sparkline": "false"}, _ROWS, self._headers, self._timeout_s)

    def _coin(self, row: _Row) -> Coin | None:
        if row.current_price is None or row.current_price <= ZERO:
            return None
        told: datetime = row.last_updated or self._clock.now()
        cap, volume = row.market_cap or ZERO, row.total_volume or ZERO
        return Coin(NAME, row.id, row.symbol.upper(), row.current_price, cap, volume, told)
