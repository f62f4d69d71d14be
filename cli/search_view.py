"""What searches and walk-forwards show to people: the best trials, the windows, the gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType

from cli.output import cell, table
from common.domain.search import Dimension

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int = 60) -> str:
    """`values` as a line of blocks, the best of each stretch where there are more than `width`; a dot for none."""
    size = -(-len(values) // width) or 1
    parts = [[item for item in values[at : at + size] if item is not None] for at in range(0, len(values), size)]
    best = [max(part) if part else None for part in parts]
    known = [item for item in best if item is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    steps = len(BLOCKS) - 1
    return "".join(
        "·" if item is None else BLOCKS[round(steps * (item - low) / (high - low)) if high > low else 0]
        for item in best
    )


def show_search(console: Console, found: Mapping[str, Any], space: Sequence[Dimension]) -> None:
    """The best trials for people."""
    names = [item.name for item in space]
    rows = [_row(item) for item in found["top"]]
    if found["defaults"] is not None and found["defaults"]["value"] is not None:
        rows.append(_row(found["defaults"]) | {"trial": "its own"})
    head = (
        f"[bold]{found['strategy']}[/bold] on {len(found['instruments'])} instruments by {found['objective']}: "
        f"{found['trials']} trials, {found['valued']} with a value, {found['refused']} refused; study {found['study']}"
    )
    columns = ["trial", f"value={found['objective']}", "trades", "win_rate", "net_profit", "max_drawdown", *names]
    parts: list[RenderableType] = [head, f"best of each stretch of trials: {sparkline(found['values'])}", ""]
    parts += [table(rows, columns)] if rows else ["no trial had a value: fewer --min-trades, or more candles"]
    parts += ["", pace(found)]
    parts += ["chosen on these very candles: judge it on others with tradewinds backtest walk-forward"] if rows else []
    console.print(Group(*parts, *([f"run it: {found['run']}"] if rows else [])))


def _row(trial: Mapping[str, Any]) -> dict[str, Any]:
    measured = trial["measured"]
    figures = {name: _short(measured[name]) for name in ("win_rate", "net_profit", "max_drawdown")}
    values = {
        name: f"{value:.4g}" if isinstance(value, float) else value for name, value in trial["parameters"].items()
    }
    return {
        "trial": trial["number"],
        "value": _short(trial["value"]),
        "trades": measured["trades"],
        **figures,
        **values,
    }


def _short(value: object) -> object:
    return None if value is None else f"{float(str(value)):.4f}"


def pace(found: Mapping[str, Any]) -> str:
    """How fast trials were made."""
    if not found["trials_now"]:
        return f"nothing was left to try; {found['seconds']:.2f} s"
    return (
        f"{found['trials_now']} trials in {found['seconds']:.2f} s by {found['jobs']} processes: "
        f"{found['trials_per_s']:.2f} trials/s, {found['candles_per_s']:,} candles/s"
    )


def show_walk_forward(console: Console, found: Mapping[str, Any]) -> None:
    """Windows, the stretches out of sample as one, and the gates for people."""
    whole = found["out_of_sample"]
    head = (
        f"[bold]{found['strategy']}[/bold] on {len(found['instruments'])} instruments by {found['objective']}, "
        f"{len(found['windows'])} windows, study {found['study']}"
    )
    trained = sparkline([_sharpe(item["train"]) for item in found["windows"]])
    tested = sparkline([_sharpe(item["validate"]) for item in found["windows"]])
    rows = [_window(item) for item in found["windows"]]
    columns = [
        "number=window",
        "from=judged from",
        "train=Sharpe in training",
        "validate=out of sample",
        "trades",
        "win_rate",
    ]
    gates = [{**item, "said": "open" if item["passed"] else "shut"} for item in found["gates"]]
    foot = (
        f"out of sample, {whole['days']} days: {whole['trades']} trades, return {_short(whole['total_return'])}, Sharpe "
        f"{cell(_short(whole['sharpe']))}; {found['windows_passed']} of {len(found['windows'])} windows pass by themselves"
    )
    verdict = "[green]passed[/green]" if found["passed"] else "[red]not passed[/red]: what was found does not hold"
    shown: list[RenderableType] = [
        table(rows, [*columns, "shut=gates shut"]),
        "",
        foot,
        f"Sharpe in training {trained}, out of sample {tested}",
    ]
    console.print(
        Group(
            head,
            "",
            *shown,
            "",
            table(gates, ["rule=gate", "measured", "limit", "unit", "said"]),
            verdict,
            pace(found),
        )
    )


def _sharpe(measured: Mapping[str, Any] | None) -> float | None:
    return None if measured is None or measured["sharpe"] is None else float(measured["sharpe"])


def _window(item: Mapping[str, Any]) -> dict[str, Any]:
    train, tested = item["train"] or {}, item["validate"] or {}
    return {
        "number": item["number"],
        "from": item["train_to"][:10],
        "train": _short(train.get("sharpe")),
        "validate": _short(tested.get("sharpe")),
        "trades": tested.get("trades"),
        "win_rate": _short(tested.get("win_rate")),
        "shut": ", ".join(gate["rule"] for gate in item["gates"] if not gate["passed"]),
    }
