"""A walk-forward as one HTML file: the gates, equity out of sample, and every window with what was found in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cli.backtest_report import STYLE, line, number, rows_of
from common.services.walk_forward import WalkForward

DAY_MS = 86_400_000


def write_report(judged: WalkForward, found: Mapping[str, Any], path: Path) -> Path:
    """Write the report of `judged`; returns its path."""
    title = f"Walk-forward of {found['strategy']} on {', '.join(found['instruments'][:4])}"
    title += " …" if len(found["instruments"]) > 4 else ""
    whole = found["out_of_sample"]
    said = "Every gate is open." if judged.passed else "Not every gate is open: what was found does not hold."
    body = "".join(
        [
            (
                f"<h1>{escape(title)}</h1><p>{len(found['windows'])} windows by {escape(found['objective'])}, "
                f"{whole['days']} days out of sample, {whole['trades']:,} trades. {said}</p>"
            ),
            "<h2>Gates</h2>", _gates(found), "<h2>Equity out of sample, the first day = 1</h2>", _equity(judged),
            "<h2>Windows</h2>", _windows(found),
        ]
    )  # fmt: skip
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><body>{body}</body></html>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _gates(found: Mapping[str, Any]) -> str:
    rows = (
        [
            item["rule"],
            _figure(item["measured"]),
            _figure(item["limit"]),
            item["unit"],
            "open" if item["passed"] else "shut",
        ]
        for item in found["gates"]
    )
    return rows_of(("gate", "measured", "limit", "unit", "is"), rows)


def _figure(value: object) -> str:
    return "–" if value is None else number(float(str(value)))


def _equity(judged: WalkForward) -> str:
    at: list[int] = []
    daily: list[float] = []
    for item in judged.windows:
        days = () if item.validated is None else item.validated.daily
        at += [_ms(item.window.train_to + timedelta(days=day + 1)) for day in range(len(days))]
        daily += [float(value) for value in days]
    if not daily:
        return "<p>no day was traded</p>"
    grown: npt.NDArray[np.float64] = np.cumprod(1.0 + np.array(daily)).astype(np.float64)
    return line(np.array(at), grown, "var(--main)")


def _ms(moment: Any) -> int:
    return int(moment.timestamp() * 1000)


def _windows(found: Mapping[str, Any]) -> str:
    names = list(found["space"])
    rows = []
    for item in found["windows"]:
        train, tested, values = item["train"] or {}, item["validate"] or {}, item["parameters"] or {}
        shut = ", ".join(gate["rule"].replace("_", " ") for gate in item["gates"] if not gate["passed"])
        rows.append(
            [
                f"{item['number']}: {item['train_to'][:10]}", _figure(train.get("sharpe")), _figure(tested.get("sharpe")),
                str(tested.get("trades", "–")), _figure(tested.get("win_rate")),
                *(number(values.get(name)) for name in names), shut or "–",
            ]
        )  # fmt: skip
    return rows_of(
        ("judged from", "Sharpe in training", "out of sample", "trades", "win rate", *names, "gates shut"), rows
    )
