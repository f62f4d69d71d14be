"""The commands about money earned and booked: performance, blunders, feedback, statements, and trades as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rich.columns import Columns
from rich.console import Console, Group
from rich.padding import Padding
from rich.text import Text

from cli.context import asked_fleet
from cli.output import answer, cell, note, table
from common.domain.errors import InvalidInput

if TYPE_CHECKING:
    from common.services.fleet import Fleet

Row = dict[str, Any]

FORMATS = ("csv", "parquet")
_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 60
_FIGURES = (
    ("trades", "trades"),
    ("win_rate", "win rate"),
    ("profit_factor", "profit factor"),
    ("expectancy", "expectancy a trade"),
    ("sharpe", "Sharpe, annualised"),
    ("sortino", "Sortino, annualised"),
    ("total_return", "return, without flows"),
    ("max_drawdown", "deepest drawdown"),
    ("current_drawdown", "drawdown now"),
    ("best", "best trade"),
    ("worst", "worst trade"),
    ("streak", "streak now"),
    ("fees", "fees"),
    ("funding", "funding"),
)
_GROUPED = ("name", "trades", "wins", "win_rate=win rate", "average", "net_profit=profit")


def sparkline(values: Sequence[float], width: int = _WIDTH) -> str:
    """`values` as a line of bars, `width` at most: the lowest is the lowest bar, the last value is always shown."""
    if not values:
        return ""
    step = max(1, -(-len(values) // width))
    shown = list(reversed(list(reversed(values))[::step]))
    low, high = min(shown), max(shown)
    if high == low:
        return _BARS[0] * len(shown)
    return "".join(_BARS[int((value - low) / (high - low) * (len(_BARS) - 1))] for value in shown)


def _of_tenants(tenant: str | None, world: str | None, read: Callable[[Fleet, UUID], Row]) -> list[Row]:
    """What `read` finds for the named tenant, or for each there is."""
    from common.services.tenants import find_tenant, list_tenants

    with asked_fleet(world) as fleet:
        chosen = [find_tenant(fleet, tenant)] if tenant else list_tenants(fleet)
        return [read(fleet, item.id) for item in chosen]


def _each(rows: Sequence[Row], show: Callable[[Row], Group]) -> Callable[[Console], None]:
    def shown(console: Console) -> None:
        console.print(Group(*(show(row) for row in rows)) if rows else "no tenants yet")

    return shown


def show_performance(
    tenant: str | None, days: int | None, risk_free: str | None, as_json: bool, world: str | None
) -> None:
    """`tradewinds performance`."""
    from common.domain.performance import RISK_FREE
    from common.services.read_performance import read_performance

    rate = RISK_FREE if risk_free is None else _rate(risk_free)
    rows = _of_tenants(tenant, world, lambda fleet, owner: read_performance(fleet, owner, days=days, risk_free=rate))
    answer({"tenants": rows}, as_json, _each(rows, _performance))


def _rate(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise InvalidInput("risk_free", text, "a yearly rate as a fraction, such as 0.045") from None


def _performance(row: Row) -> Group:
    pnl, flows = row["pnl"], row["flows"]
    head = (
        f"[bold]{row['tenant']}[/bold]  equity {cell(row['equity'])}, profit today {cell(pnl['day'])}, "
        f"week {cell(pnl['week'])}, total {cell(pnl['total'])}; {row['open_positions']} open; "
        f"deposits {cell(flows['deposits'])}, withdrawals {cell(flows['withdrawals'])}"
    )
    curve = [float(point["without_flows"]) for point in row["curve"]]
    days = [float(profit) for profit in row["daily_profit"].values()]
    figures = table([{"figure": label, "value": _short(row[name])} for name, label in _FIGURES], ["figure", "value"])
    groups = [
        Padding(table(_grouped(row[name]), _GROUPED, title), (0, 4, 0, 0))
        for name, title in (("by_symbol", "By instrument"), ("by_strategy", "By strategy"), ("by_exit", "By exit"))
        if row[name]
    ]
    return Group(
        Text.from_markup(head),
        Text(f"equity   {sparkline(curve)}", style="green"),
        Text(f"30 days  {sparkline(days)}", style="cyan"),
        Columns([Padding(figures, (0, 4, 0, 0)), Group(*groups)]),
        Text(),
    )


def _grouped(groups: Mapping[str, Row]) -> list[Row]:
    return [
        {"name": name, "average": item["expectancy"]} | {key: _short(value) for key, value in item.items()}
        for name, item in groups.items()
    ]


def _short(value: object) -> object:
    """A quotient to four digits behind the point; what is a count or an amount of the ledger stays as it is."""
    if isinstance(value, str) and "." in value and len(value) > 12:
        return f"{Decimal(value):.4f}"
    return value


def show_blunders(tenant: str | None, limit: int, as_json: bool, world: str | None) -> None:
    """`tradewinds blunders`."""
    from common.services.read_accounting import read_blunders

    rows = _of_tenants(tenant, world, lambda fleet, owner: read_blunders(fleet, owner, limit))
    answer({"tenants": rows}, as_json, _each(rows, _blunders))


def _blunders(row: Row) -> Group:
    grades = ", ".join(f"{count} {grade.replace('_', ' ')}" for grade, count in row["grades"].items() if count)
    worst = [item for item in row["reviews"] if item["labels"]]
    columns = [
        *("closed_at=closed", "instrument", "side", "net_profit=profit", "close_reason=left by", "grade", "severity"),
        *("labels", "position_id=position"),
    ]
    return Group(
        Text.from_markup(f"[bold]{row['tenant']}[/bold]  {row['reviewed']} trades reviewed: {grades or 'none yet'}"),
        *((table(worst, columns),) if worst else ()),
        Text(),
    )


def show_feedback(tenant: str | None, as_json: bool, world: str | None) -> None:
    """`tradewinds feedback`."""
    from common.services.read_feedback import read_feedback

    rows = _of_tenants(tenant, world, read_feedback)
    answer({"tenants": rows}, as_json, _each(rows, _feedback))


def _feedback(row: Row) -> Group:
    named = [{"over": "all", **row["overall"]}, *({"over": name, **item} for name, item in row["by_symbol"].items())]
    shown = [{key: _short(value) for key, value in item.items()} for item in named]
    columns = [
        "over",
        "trades",
        "wins",
        "win_rate=win rate",
        "profit_factor=profit factor",
        "sharpe",
        "net_profit=profit",
    ]
    words = [f"best {cell(row['best'])}", f"worst {cell(row['worst'])}"]
    words += [f"{name} {', '.join(row[name])}" for name in ("avoid", "favour") if row[name]]
    return Group(Text.from_markup(f"[bold]{row['tenant']}[/bold]  {'; '.join(words)}"), table(shown, columns), Text())


def show_statements(tenant: str | None, as_json: bool, world: str | None) -> None:
    """`tradewinds statement`."""
    from common.services.read_accounting import read_statements

    rows = _of_tenants(tenant, world, read_statements)
    answer({"tenants": rows}, as_json, _each(rows, _statements))


def _statements(row: Row) -> Group:
    parts: list[Any] = []
    for item in row["accounts"]:
        kept = item["compared"]
        told = "not compared with the venue yet"
        if kept is not None:
            told = f"wallet {kept['wallet']} {kept['asset']}, ledger {kept['expected']}: " + (
                "equal"
                if not kept["first_difference"]
                else f"differs by {kept['difference']}: {kept['first_difference']}"
            )
        sums = [
            {"asset": asset, "account": book, "balance": amount}
            for asset, books in item["balances"].items()
            for book, amount in books.items()
        ]
        parts += [
            Text.from_markup(f"[bold]{row['tenant']} {item['account']}[/bold] at {item['venue']}  {told}"),
            table(sums, ["asset", "account", "balance"], f"{item['entries']} entries"),
            Text(),
        ]
    return Group(*parts)


def export_trades(tenant: str | None, kind: str, folder: Path, as_json: bool, world: str | None) -> None:
    """`tradewinds export trades`."""
    from common.offline import file_writer
    from common.services.read_accounting import trade_records

    if kind not in FORMATS:
        raise InvalidInput("format", kind, f"one of {', '.join(FORMATS)}")
    found = _of_tenants(tenant, world, lambda fleet, owner: {"rows": trade_records(fleet, owner)})
    rows = [row for item in found for row in item["rows"]]
    path = file_writer()(folder, f"trades-{tenant}" if tenant else "trades", kind, rows)
    note(f"{len(rows)} trades in {path}")
    answer({"written": str(path), "trades": len(rows)}, as_json, lambda console: console.print(str(path)))
