"""Judges a stored decision again from its inputs, for the law that the same inputs give the same verdict."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from common.domain.advice import Advice
from common.domain.codec import decode
from common.domain.market import MarketState
from common.domain.risk.book import Book
from common.domain.risk.context import Proposal
from common.domain.risk.judge import judge
from common.domain.risk.limits import Limits
from common.domain.risk.verdict import Verdict
from common.domain.signal import Signal


def verdict_of(inputs: Mapping[str, Any]) -> Verdict:
    """What the judges say of `inputs` today."""
    return judge(
        decode(Proposal, inputs["proposal"]),
        decode(Signal, inputs["signal"]),
        decode(Advice, inputs["advice"]) if inputs["advice"] else None,
        decode(MarketState, inputs["market"]),
        decode(Book, inputs["book"]),
        decode(Limits, inputs["limits"]),
        now=decode(datetime, inputs["now"]),
        transit=decode(timedelta, inputs["transit"]),
    )
