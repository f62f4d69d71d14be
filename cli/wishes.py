"""What may be typed about a backtest, read into what is meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from cli.options import seconds
from common.domain.errors import InvalidInput
from common.domain.market import Timeframe
from common.services.run_backtest import Wishes


def wishes_of(
    strategy: str,
    parameters: list[str] | None,
    instruments: str,
    timeframe: str | None,
    since: str | None,
    until: str | None,
    risk: str | None,
    limits: list[str] | None,
    equity: float,
    fee_bps: float | None,
    slippage_bps: float | None,
    spread_bps: float | None,
    latency: str | None,
    folders: list[Path] | None,
) -> Wishes:
    """The wishes of these words; strategies in `folders` and of installed packages are known from now on."""
    from common.offline import find_strategies

    find_strategies(folders or [], strategy)
    return Wishes(
        strategy=strategy,
        parameters=dict(pair(item, "param") for item in parameters or []),
        symbols=[item.strip() for item in instruments.split(",") if item.strip()],
        timeframe=Timeframe.parse(timeframe) if timeframe else None,
        since=instant(since, "from"),
        until=instant(until, "to"),
        profile=risk,
        limits=dict(pair(item, "limit", is_exact=True) for item in limits or []),
        equity=exact(equity) or Decimal(0),
        fee_bps=exact(fee_bps),
        slippage_bps=exact(slippage_bps),
        spread_bps=exact(spread_bps),
        latency=timedelta(seconds=seconds(latency)) if latency else timedelta(0),
    )


def exact(value: float | None) -> Decimal | None:
    """The decimal that was typed."""
    return None if value is None else Decimal(repr(value))


def instant(text: str | None, field: str) -> datetime | None:
    """The moment of `2021-01-01` or `2021-01-01T06:30`, UTC unless it says otherwise."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(field, text, "a date such as 2021-01-01 or 2021-01-01T06:30") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def pair(text: str, field: str, *, is_exact: bool = False) -> tuple[str, Any]:
    """Name and value of `name=value`: a switch, a whole number, a real one, else the text itself."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise InvalidInput(field, text, "NAME=VALUE")
    if value.lower() in {"true", "false"}:
        return name, value.lower() == "true"
    if is_exact:
        return name, value
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value
