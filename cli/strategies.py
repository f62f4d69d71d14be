"""`tradewinds strategies` and `tradewinds lookahead-check`: what there is, and whether it is honest."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from cli.output import answer, note, table
from cli.wishes import instant
from common.domain import strategies
from common.domain.backtest import Finding
from common.domain.errors import InvalidInput
from common.domain.strategies import Strategy
from common.offline import find_strategies, made_market, recorded_candles
from common.services.check_strategies import Checked, check_strategies

CHECKED_CANDLES = 4_000


def list_strategies(folders: Sequence[Path], as_json: bool) -> None:
    """`tradewinds strategies list`."""
    find_strategies(folders)
    rows = [described(strategies.get(name)) for name in strategies.names()]
    shown = ["name", "version", "warmup", "history", "summary=what it does"]
    answer({"strategies": rows}, as_json, lambda console: console.print(table(rows, shown)))


def described(strategy: Strategy) -> dict[str, Any]:
    """A strategy as it is listed and documented: its first sentence, what it looks at, what may be changed."""
    kind = type(strategy)
    return {
        "name": strategy.name,
        "version": strategy.version,
        "summary": (inspect.getdoc(kind) or "").partition("\n")[0],
        "warmup": strategy.warmup,
        "history": strategy.history,
        "features": list(strategy.features),
        "parameters": [
            {
                "name": item.name,
                "default": item.default,
                "low": item.metadata.get("low"),
                "high": item.metadata.get("high"),
            }
            for item in dataclasses.fields(strategy.parameters)
        ],
        "module": kind.__module__,
    }


def show_strategy(name: str, folders: Sequence[Path], as_json: bool) -> None:
    """`tradewinds strategies show`."""
    find_strategies(folders, name)
    found = described(strategies.get(name))

    def show(console: Console) -> None:
        console.print(f"[bold]{found['name']}[/bold] {found['version']}: {found['summary']}")
        console.print(f"looks at {', '.join(found['features'])}")
        console.print(f"first signal after {found['warmup']} candles; the live scan hands over {found['history']}\n")
        if found["parameters"]:
            console.print(table(found["parameters"], ["name=parameter", "default", "low=from", "high=to"]))

    answer(found, as_json, show)


def check(
    names: Sequence[str],
    folders: Sequence[Path],
    data: Path | None,
    symbols: Sequence[str],
    since: str | None,
    as_json: bool,
) -> int:
    """`tradewinds lookahead-check`: 0 when nothing was found, 1 otherwise. Without `names` every strategy is checked."""
    find_strategies(folders, names[0] if names else None)
    chosen = [strategies.get(name) for name in names or strategies.names()]
    markets = [made_market(seed) for seed in (1, 2)] if data is None else _recorded(data, symbols, since)
    checked = check_strategies(chosen, markets, (lambda _: None) if as_json else note)
    rows = [_row(item) for item in checked]
    result = {
        "findings": sum(item.findings for item in checked),
        "strategies": len(chosen),
        "markets": [name for name, _ in markets],
        "checked": rows,
    }

    def show(console: Console) -> None:
        shown = [{**row, "first": row["first"] and _told(row["first"])} for row in rows]
        console.print(table(shown, ["strategy", "market", "candles", "signals", "lookahead", "recursive", "first"]))
        console.print("nothing looks ahead" if not result["findings"] else f"{result['findings']} findings")

    answer(result, as_json, show)
    return 1 if result["findings"] else 0


def _recorded(place: Path, symbols: Sequence[str], since: str | None) -> list[tuple[str, Any]]:
    from common.domain.recording import chosen

    source = recorded_candles(place)
    found = chosen(source.recordings(), symbols, None)[: None if symbols else 3]
    if not found:
        raise InvalidInput("instruments", ", ".join(symbols), "some of what the folder holds")
    begin = instant(since, "from")
    parts = ((item, source.columns(item, begin)) for item in found)
    return [(item.name, columns.slice(0, min(len(columns), CHECKED_CANDLES))) for item, columns in parts]


def _row(item: Checked) -> dict[str, Any]:
    first = next(iter((*item.lookahead, *item.recursive)), None)
    return {
        "strategy": item.strategy,
        "version": item.version,
        "market": item.market,
        "candles": item.candles,
        "signals": item.signals,
        "lookahead": len(item.lookahead),
        "recursive": len(item.recursive),
        "first": None if first is None else _finding(first),
        "all": [_finding(finding) for finding in (*item.lookahead, *item.recursive)],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    values = dataclasses.asdict(finding)
    return {name: None if value != value else value for name, value in values.items()}  # noqa: PLR0124 - NaN has no JSON.


def _told(finding: Mapping[str, Any]) -> str:
    return (
        f"{finding['field']} at bar {finding['bar']}: {finding['known_all']} knowing all, {finding['known_part']} knowing "
        f"{finding['first']} to {finding['last']}"
    )
