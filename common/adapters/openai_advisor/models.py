"""What is known of each model: how it can be held to a structure, what it costs, what it must be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from common.domain.errors import InvalidInput

_MILLION = Decimal(1_000_000)


class StructuredMode(StrEnum):
    """How far the server itself holds the answer to a structure; ours is checked in any case."""

    JSON_SCHEMA = "json_schema"
    JSON_OBJECT = "json_object"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class ModelCapability:
    """One model, or a family: `pattern` matches its whole id. Prices are USD per million tokens; None = not known.

    `peak_hours` are UTC hours in which prices are `peak_factor` times as high.
    """

    pattern: str
    structured_mode: StructuredMode
    output_tokens_max: int = 400
    takes_temperature: bool = True
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    price_in: Decimal | None = None
    price_in_cached: Decimal | None = None
    price_out: Decimal | None = None
    peak_hours: frozenset[int] = frozenset()
    peak_factor: Decimal = Decimal(1)

    def cost(self, tokens_in: int, tokens_cached: int, tokens_out: int, at: datetime) -> Decimal:
        """USD for these tokens at that time; zero where the price is not known."""
        if self.price_in is None or self.price_out is None:
            return Decimal(0)
        cached_price = self.price_in if self.price_in_cached is None else self.price_in_cached
        plain = max(0, tokens_in - tokens_cached)
        cost = (plain * self.price_in + tokens_cached * cached_price + tokens_out * self.price_out) / _MILLION
        return cost * (self.peak_factor if at.hour in self.peak_hours else 1)


_NO_THINKING = {"thinking": {"type": "disabled"}}
_DEEPSEEK_PEAK = frozenset({1, 2, 3, 6, 7, 8, 9})

_ROWS = (
    ModelCapability(
        r"simulated-.*",
        StructuredMode.JSON_OBJECT,
        price_in=Decimal("0.14"),
        price_in_cached=Decimal("0.0028"),
        price_out=Decimal("0.28"),
    ),
    # DeepSeek answers 400 to json_schema; it thinks unless told not to and then ignores temperature.
    ModelCapability(
        r"deepseek-v4-flash",
        StructuredMode.JSON_OBJECT,
        extra_body=_NO_THINKING,
        price_in=Decimal("0.14"),
        price_in_cached=Decimal("0.0028"),
        price_out=Decimal("0.28"),
        peak_hours=_DEEPSEEK_PEAK,
        peak_factor=Decimal(2),
    ),
    ModelCapability(
        r"deepseek-v4-pro",
        StructuredMode.JSON_OBJECT,
        extra_body=_NO_THINKING,
        price_in=Decimal("0.435"),
        price_in_cached=Decimal("0.0036"),
        price_out=Decimal("0.87"),
        peak_hours=_DEEPSEEK_PEAK,
        peak_factor=Decimal(2),
    ),
    # OpenRouter: without require_parameters a provider that ignores the structure may serve the call.
    ModelCapability(
        r"[\w.-]+/[\w.:-]+",
        StructuredMode.JSON_OBJECT,
        extra_body={"provider": {"require_parameters": True}, "usage": {"include": True}},
    ),
    ModelCapability(r"qwen.*", StructuredMode.JSON_OBJECT, extra_body={"enable_thinking": False}),
    ModelCapability(r"gpt-5.*|o\d.*", StructuredMode.JSON_SCHEMA, output_tokens_max=2000, takes_temperature=False),
    ModelCapability(r"gpt-.*", StructuredMode.JSON_SCHEMA),
)
_OTHERS = ModelCapability(r".*", StructuredMode.TEXT)

_ALIASES = {
    "deepseek-chat": "deepseek-v4-flash",
    "deepseek-reasoner": "deepseek-v4-flash",
}


def model_capability(model: str) -> ModelCapability:
    """The row of `model`: its own, its family's, or the most careful one. Raises InvalidInput for a moving alias."""
    if model in _ALIASES or model.endswith(("-latest", ":latest")):
        known = _ALIASES.get(model, "a dated or numbered id")
        raise InvalidInput("model", model, f"a pinned model id, for an alias changes under its name: {known}")
    return next((row for row in _ROWS if re.fullmatch(row.pattern, model)), _OTHERS)
