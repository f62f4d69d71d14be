"""The fear-and-greed index as alternative.me publishes it (GET /fng/?limit=…), one value a day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from common.adapters.public_sources.asking import ask
from common.domain.sources import Mood

NAME = "alternative.me"


class _Day(BaseModel):
    """A day of the index; numbers come as texts."""

    model_config = ConfigDict(extra="ignore")

    value: int = Field(ge=0, le=100)
    value_classification: str = Field(default="", max_length=100)
    timestamp: int = Field(ge=0, le=32_503_680_000)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    data: list[_Day]


_ANSWER = TypeAdapter(_Answer)


class FearGreedIndex:
    """The index at `url`; implements ports.sources.MoodSource."""

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        self._url, self._timeout_s = url.rstrip("/"), timeout_s

    def moods(self, days: int) -> Sequence[Mood]:
        """The last `days` values, the newest first."""
        answer = ask(NAME, f"{self._url}/fng/", {"limit": str(days), "format": "json"}, _ANSWER, None, self._timeout_s)
        return [
            Mood(datetime.fromtimestamp(day.timestamp, UTC), day.value, day.value_classification)
            for day in answer.data[:days]
        ]
