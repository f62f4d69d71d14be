"""tradewinds modelcheck: the check is a program of its own, which this process becomes."""

from __future__ import annotations

from typing import NoReturn

from cli.context import become


def run_modelcheck(policy: str | None, as_json: bool) -> NoReturn:
    """Walk every interleaving of the order, stop and halt machines; the exit status is the check's own."""
    become("modelcheck", *(("--json",) if as_json else ()), *(("--policy", policy) if policy else ()))
