"""How the command line answers: tables for people, one JSON object on the last line for machines."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Context
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
_NUMBER = re.compile(r"-?\d+\.\d+")
_DIGITS = 8
_WIDTH_OF_PIPES = 200


def console() -> Console:
    """Where answers for people go; a pipe is as wide as the tables want it."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_OF_PIPES)


def note(message: str) -> None:
    """One line of progress on stderr, so that stdout holds answers only."""
    typer.echo(message, err=True)


def answer(value: Mapping[str, Any], as_json: bool, show: Callable[[Console], None]) -> None:
    """`value` as one JSON line, or whatever `show` prints."""
    if as_json:
        typer.echo(json.dumps(value, default=str, separators=(",", ":")))
    else:
        show(console())


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], title: str = "") -> Table:
    """`rows` under `columns`; a column may be written `name=Heading`."""
    names = [column.partition("=")[0] for column in columns]
    headings = [column.partition("=")[2] or column.replace("_", " ") for column in columns]
    result = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        result.add_column(heading, overflow="fold")
    for row in rows:
        result.add_row(*(cell(row.get(name)) for name in names))
    return result


def cell(value: object) -> str:
    """`value` as a table cell: instants to the second without their year, numbers to eight digits, None as a dash."""
    if value is None or value == "":
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value)
    text = str(value)
    if _INSTANT.match(text):
        return text[5:19].replace("T", " ")
    if _NUMBER.fullmatch(text):
        rounded = Context(prec=_DIGITS).create_decimal(text).normalize()
        return format(rounded, "f")
    return text


def because(row: Mapping[str, Any]) -> str:
    """Why a decision fell as it did, as the tenant reads it: rule, what was measured, what is allowed."""
    veto = row.get("veto")
    if not isinstance(veto, Mapping):
        return cell(row.get("reason"))
    return (
        f"{veto['rule']}: {cell(veto['measured'])} against {cell(veto['limit'])} {veto.get('unit') or ''}".rstrip()
        + (f" ({veto['detail']})" if veto.get("detail") else "")
    )
