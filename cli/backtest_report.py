"""A backtest as one HTML file that needs nothing else: figures, charts drawn as SVG, and why trades were made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cli.backtest import FIGURES
from common.domain.backtest import Curve, Result, excursions
from common.domain.position import Position
from common.services.explain_backtest import decisions_behind, explain, trade_row

EXPLAINED = 40
"""Trades told in full: the best and the worst."""

POINTS = 900
WIDTH, HEIGHT, LEFT, BOTTOM = 900, 220, 64, 22

STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#667;--line:#d8dde6;--up:#1a7f4b;--down:#b3362b;--main:#2458b8;--back:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ef;--soft:#98a2b3;--line:#333c4a;--up:#4cc38a;--down:#f0776c;--main:#7aa7f5;--back:#12161d}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:980px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{color:var(--soft);margin:.2rem 0 1rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}td,th{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:500}td:first-child,th:first-child{text-align:left}.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:.6rem}
.card{border:1px solid var(--line);border-radius:8px;padding:.5rem .8rem}.card b{display:block;font-size:1.15rem}.card span{color:var(--soft);font-size:.85rem}
svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font-size:11px}.axis{stroke:var(--line)}details{border-bottom:1px solid var(--line);padding:.3rem 0}
summary{cursor:pointer}.up{color:var(--up)}.down{color:var(--down)}.wrap{overflow-x:auto}
"""


def write_report(result: Result, found: Curve, answer: Mapping[str, Any], path: Path) -> Path:
    """Write the report of `result`; returns its path."""
    title = f"{answer['strategy']} on {', '.join(answer['instruments'][:4])}"
    title += " …" if len(answer["instruments"]) > 4 else ""
    body = "".join(
        [
            (
                f"<h1>{escape(title)}</h1><p>{_day(answer['from'])} to {_day(answer['to'])}, {answer['timeframe']} candles, "
                f"profile {escape(answer['profile'])}, {answer['candles']:,} candles, {answer['signals']:,} signals, "
                f"{answer['trades']:,} trades</p>"
            ),
            _cards(answer),
            _charts(result, found),
            _breakdown("By instrument", answer["by_symbol"]),
            _breakdown("By exit", answer["by_exit"]),
            _outcomes(answer["outcomes"]),
            _stories(result),
        ]
    )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><body>{body}</body></html>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _day(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%d")


def number(value: object) -> str:
    """A figure as people read it; a dash where there is none."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(float(value)) if isinstance(value, Decimal | float) else 0.0
    return f"{value:,.2f}" if size >= 100 else f"{value:,.4f}" if isinstance(value, Decimal | float) else str(value)


def _cards(answer: Mapping[str, Any]) -> str:
    cards = (f'<div class="card"><span>{label}</span><b>{number(answer[name])}</b></div>' for name, label in FIGURES)
    return f'<h2>Figures</h2><div class="grid">{"".join(cards)}</div>'


def _charts(result: Result, found: Curve) -> str:
    peak = np.maximum.accumulate(found.equity)
    fall = (found.equity - peak) / peak * 100
    share = found.exposure / found.equity * 100
    profits = [float(position.net_profit) for position in result.positions]
    return "".join(
        [
            "<h2>Equity at every close</h2>", line(found.at_ms, found.equity, "var(--main)"),
            "<h2>Below the highest equity before, %</h2>", line(found.at_ms, fall, "var(--down)"),
            "<h2>Notional held, % of equity</h2>", line(found.at_ms, share, "var(--main)"),
            "<h2>Profit of a trade, how often</h2>", bars(profits),
            "<h2>Against (across) and for (up) every trade at its furthest, %</h2>", cloud(result.positions, excursions(result)),
        ]
    )  # fmt: skip


def _scale(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    return (low, high) if high > low else (low - 1, high + 1)


def _frame(low: float, high: float, ends: tuple[str, str], inner: str) -> str:
    marks = (low, (low + high) / 2, high)
    lines = "".join(
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH}" y1="{_y(mark, low, high):.1f}" y2="{_y(mark, low, high):.1f}"/>'
        f'<text x="{LEFT - 6}" y="{_y(mark, low, high) + 4:.1f}" text-anchor="end">{mark:,.4g}</text>'
        for mark in marks
    )
    left, right = ends
    foot = f'<text x="{LEFT}" y="{HEIGHT - 4}">{left}</text><text x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">{right}</text>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{lines}{inner}{foot}</svg>'


def _y(value: float, low: float, high: float) -> float:
    return 8 + (HEIGHT - BOTTOM - 12) * (1 - (value - low) / (high - low))


def line(at_ms: npt.NDArray[np.int64], values: npt.NDArray[np.float64], colour: str) -> str:
    """A curve over time; of many points the lowest and the highest of every stretch are kept."""
    if not values.size:
        return "<p>nothing to draw</p>"
    places = thinned(values)
    low, high = _scale(values)
    begin, span = int(at_ms[0]), max(1, int(at_ms[-1]) - int(at_ms[0]))
    points = " ".join(
        f"{LEFT + (WIDTH - LEFT) * (int(at_ms[place]) - begin) / span:.1f},{_y(float(values[place]), low, high):.1f}"
        for place in places
    )
    days = [datetime.fromtimestamp(int(at_ms[place]) / 1000, UTC).strftime("%Y-%m-%d") for place in (0, -1)]
    return _frame(
        low, high, (days[0], days[1]), f'<polyline fill="none" stroke="{colour}" stroke-width="1.3" points="{points}"/>'
    )


def thinned(values: npt.NDArray[np.float64]) -> list[int]:
    """Places of `values` to draw: first, last, and the extremes of every stretch."""
    if values.size <= 2 * POINTS:
        return list(range(values.size))
    edges = np.linspace(0, values.size, POINTS + 1).astype(int)
    kept = {0, int(values.size) - 1}
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        kept |= {first + int(values[first:last].argmin()), first + int(values[first:last].argmax())}
    return sorted(kept)


def bars(values: Sequence[float], count: int = 60) -> str:
    """How often values fall into each of `count` ranges; losses and gains in two colours."""
    if not values:
        return "<p>no trades</p>"
    heights, edges = np.histogram(np.array(values), bins=count)
    width, high = (WIDTH - LEFT) / count, float(heights.max())
    rects = "".join(
        f'<rect x="{LEFT + place * width:.1f}" y="{_y(height, 0, high):.1f}" width="{width - 1:.1f}" '
        f'height="{_y(0, 0, high) - _y(height, 0, high):.1f}" fill="var(--{"down" if edges[place] < 0 else "up"})"/>'
        for place, height in enumerate(heights.tolist())
    )
    return _frame(0.0, high, (f"{edges[0]:.4g}", f"{edges[-1]:.4g}"), rects)


def cloud(positions: Sequence[Position], pairs: Sequence[tuple[float, float]]) -> str:
    """One dot a trade, of many a part: how far it went against and for its side."""
    if not positions:
        return "<p>no trades</p>"
    step = max(1, len(positions) // 1500)
    chosen = list(zip(positions, pairs, strict=True))[::step]
    right = max(pair[0] for _, pair in chosen) or 1.0
    top = max(pair[1] for _, pair in chosen) or 1.0
    dots = "".join(
        f'<circle r="2" cx="{LEFT + (WIDTH - LEFT) * against / right:.1f}" cy="{_y(reach * 100, 0, top * 100):.1f}" '
        f'fill="var(--{"up" if position.net_profit > 0 else "down"})" fill-opacity=".5"/>'
        for position, (against, reach) in chosen
    )
    return _frame(0.0, top * 100, ("0", f"{right * 100:.3g}"), dots)


def rows_of(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table."""
    head = "".join(f"<th>{escape(item)}</th>" for item in headings)
    lines = "".join(
        "<tr>"
        + "".join(f"<td>{escape(number(item) if not isinstance(item, str) else item)}</td>" for item in row)
        + "</tr>"
        for row in rows
    )
    return f'<div class="wrap"><table><tr>{head}</tr>{lines}</table></div>'


def _breakdown(title: str, groups: Mapping[str, Mapping[str, Any]]) -> str:
    names = ("trades", "win_rate", "profit_factor", "expectancy", "net_profit", "fees")
    rows = ([name, *(item[field] for field in names)] for name, item in groups.items())
    return f"<h2>{title}</h2>" + rows_of(("", *(name.replace("_", " ") for name in names)), rows)


def _outcomes(outcomes: Mapping[str, int]) -> str:
    rows = ([name.replace("_", " ").replace(":", ": "), count] for name, count in outcomes.items())
    return "<h2>What became of the signals</h2>" + rows_of(("outcome", "signals"), rows)


def _stories(result: Result) -> str:
    if not result.positions:
        return ""
    order = sorted(range(len(result.positions)), key=lambda place: result.positions[place].net_profit)
    half = EXPLAINED // 2
    chosen = order if len(order) <= EXPLAINED else order[:half] + order[-half:]
    positions = [result.positions[place] for place in chosen]
    told = explain(result, decisions_behind(result, positions))
    pairs = excursions(result)
    items = (
        _story(trade_row(place + 1, result.positions[place], pairs[place]), story)
        for place, story in zip(chosen, told, strict=True)
    )
    return (
        f"<h2>Why: the {len(chosen)} worst and best trades</h2><p>Any other: tradewinds backtest why NUMBER; all of "
        f"them as rows: --export.</p>{''.join(items)}"
    )


def _story(row: Mapping[str, Any], story: Mapping[str, Any]) -> str:
    signal, kind = story["signal"], "up" if row["net_profit"] > 0 else "down"
    features = ", ".join(f"{name} {value:.6g}" for name, value in signal["features"].items())
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in signal["reasons"])
    rules = [item for item in story["rules"] if item["measured"] is not None]
    judged = rows_of(
        ("rule", "level", "measured", "limit", "unit"),
        (
            [item["rule"], item["level"], _brief(item["measured"]), _brief(item["limit"]), item["unit"]]
            for item in rules
        ),
    )
    return (
        f"<details><summary>#{row['number']} {escape(row['side'])} {escape(row['instrument'])} "
        f'{row["opened_at"]:%Y-%m-%d %H:%M} <b class="{kind}">{number(row["net_profit"])}</b> by {row["reason"]}</summary>'
        f"<p>In at {row['entry_price']}, out at {row['exit_price']} after {row['held_s'] / 60:.0f} minutes; stop {row['stop']}, "
        f"target {row['target'] or '–'}, furthest against {row['mae'] * 100:.2f} %, for {row['mfe'] * 100:.2f} %.</p>"
        f"<ul>{reasons}</ul><p>{escape(features)}</p>{judged}</details>"
    )


def _brief(value: object) -> str:
    return "–" if value is None else f"{float(str(value)):,.6g}"
