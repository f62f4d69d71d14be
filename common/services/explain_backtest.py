"""Why a backtest traded as it did: the signal with its reasons, everything the judges saw, and how it was left."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from common.domain.backtest import Decided, Result, Trial, Witness, run
from common.domain.codec import encode
from common.domain.errors import NotFound
from common.domain.market import EPOCH
from common.domain.position import Position
from common.domain.risk.verdict import Approved

_MS = timedelta(milliseconds=1)


def trade_row(number: int, position: Position, excursion: tuple[float, float]) -> dict[str, Any]:
    """One closed position as a row; `number` counts from 1 in the order of closing."""
    held = position.closed_at - position.opened_at if position.closed_at and position.opened_at else None
    return {
        "number": number,
        "instrument": position.instrument,
        "strategy": position.strategy,
        "side": position.side.value,
        "opened_at": position.opened_at,
        "closed_at": position.closed_at,
        "held_s": None if held is None else held.total_seconds(),
        "quantity": position.opened_quantity,
        "entry_price": position.entry_price,
        "exit_price": position.exit_price,
        "stop": position.exits.stop,
        "target": position.exits.target,
        "leverage": position.leverage,
        "gross_profit": position.gross_profit,
        "fees": position.fees,
        "funding": position.funding,
        "net_profit": position.net_profit,
        "mae": excursion[0],
        "mfe": excursion[1],
        "reason": None if position.close_reason is None else position.close_reason.value,
        "signal_id": str(position.signal_id),
        "position_id": str(position.id),
    }


def decision_row(result: Result, number: int, decided: Decided) -> dict[str, Any]:
    """What became of one signal as a row; `number` counts from 1 in the order of the signals."""
    market, veto = result.setup.markets[decided.market], decided.veto
    return {
        "number": number,
        "instrument": market.instrument.symbol,
        "strategy": result.setup.strategies[decided.strategy].name,
        "closed_at": market.closed_at(decided.bar),
        "outcome": decided.outcome,
        "rule": veto.rule.value if veto else None,
        "measured": str(veto.measured) if veto else None,
        "limit": str(veto.limit) if veto else None,
        "unit": veto.unit if veto else None,
        "quantity": str(decided.quantity),
    }


def decision_behind(result: Result, position: Position) -> Decided:
    """The decision that opened `position`."""
    for decided in result.decisions:
        market = result.setup.markets[decided.market]
        if market.instrument.symbol == position.instrument and decided.outcome == "filled":
            strategy = result.setup.strategies[decided.strategy].name
            if market.opened_at(decided.bar + 1) == position.opened_at and strategy == position.strategy:
                return decided
    raise NotFound("decision", position.id)


def decisions_behind(result: Result, positions: Sequence[Position]) -> list[Decided]:
    """The decisions that opened `positions`, in their order."""
    symbols = [market.instrument.symbol for market in result.setup.markets]
    names = [strategy.name for strategy in result.setup.strategies]
    known = {
        (
            symbols[item.market],
            names[item.strategy],
            int(result.setup.markets[item.market].columns.opened_at[item.bar + 1]),
        ): item
        for item in result.decisions
        if item.outcome == "filled"
    }
    return [
        known[position.instrument, position.strategy, (position.opened_at - EPOCH) // _MS]
        for position in positions
        if position.opened_at is not None
    ]


def explain(result: Result, decisions: Sequence[Decided]) -> list[dict[str, Any]]:
    """The story of each of `decisions`: the backtest is run once more, with their judges watched."""
    keys = [(item.market, item.strategy, item.bar) for item in decisions]
    witness = Witness(frozenset(keys))
    run(result.setup, witness=witness)
    return [_story(decided, witness.seen[key]) for decided, key in zip(decisions, keys, strict=True)]


def _story(decided: Decided, trial: Trial) -> dict[str, Any]:
    approved = trial.verdict if isinstance(trial.verdict, Approved) else None
    return {
        "signal": encode(trial.signal),
        "outcome": decided.outcome,
        "veto": None if approved else encode(trial.verdict),
        "proposal": encode(trial.proposal),
        "rules": [encode(item) for item in trial.assessments()],
        "inputs": {"now": encode(trial.now), "market": encode(trial.market), "book": encode(trial.book)},
    }
