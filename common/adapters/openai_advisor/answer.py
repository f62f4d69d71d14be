"""The model's answer as untrusted input: read strictly, or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.domain.advice import AdviceReason, AdviceVerdict

RATIONALE_LENGTH_MAX = 400
_EVIDENCE_MAX = 64
_VERDICTS = ("confirm", "reject", "abstain")


class Malformed(Exception):
    """The answer breaks the structure; the text says where, for the one repair and for the log."""


class ModelAnswer(BaseModel):
    """Exactly the keys that were asked for, each once, of exactly these types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    signal_id: Annotated[str, Field(max_length=64)]
    symbol: Annotated[str, Field(max_length=64)]
    verdict: Literal[AdviceVerdict.CONFIRM, AdviceVerdict.REJECT, AdviceVerdict.ABSTAIN]
    p_target_first_bp: Annotated[int, Field(ge=0, le=10_000)]
    primary_reason: AdviceReason
    invalidations: Annotated[list[AdviceReason], Field(max_length=3)]
    evidence_ids: Annotated[list[Annotated[str, Field(max_length=8)]], Field(max_length=_EVIDENCE_MAX)]
    injection_suspected: bool
    rationale: Annotated[str, Field(max_length=RATIONALE_LENGTH_MAX)]


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """JSON takes the last of two equal keys, so that `reject` followed by `confirm` would confirm."""
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Malformed(f"keys given more than once: {', '.join(twice)}")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise Malformed(f"{name} is not a number")


def read_answer(text: str, known_facts: Sequence[str]) -> ModelAnswer:
    """`text` as an answer that relies on `known_facts` only; raises Malformed with the first fault."""
    try:
        json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        answer = ModelAnswer.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Malformed(f"{'.'.join(str(part) for part in first['loc']) or 'answer'}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise Malformed("the answer is not one JSON object") from None
    invented = sorted(set(answer.evidence_ids) - set(known_facts))
    if invented:
        raise Malformed(f"evidence_ids: there is no fact {invented[0]!r}")
    return answer


def schema(signal_id: str, symbol: str, known_facts: Sequence[str]) -> dict[str, Any]:
    """The answer's JSON schema for this question; without ranges and lengths, which strict providers refuse."""
    reasons = {"type": "string", "enum": [str(reason) for reason in AdviceReason]}
    evidence: dict[str, Any] = {"type": "string"} | ({"enum": list(known_facts)} if known_facts else {})
    properties: dict[str, Any] = {
        "evidence_ids": {"type": "array", "items": evidence},
        "invalidations": {"type": "array", "items": reasons},
        "primary_reason": reasons,
        "p_target_first_bp": {"type": "integer"},
        "verdict": {"type": "string", "enum": list(_VERDICTS)},
        "signal_id": {"type": "string", "enum": [signal_id]},
        "symbol": {"type": "string", "enum": [symbol]},
        "injection_suspected": {"type": "boolean"},
        "rationale": {"type": "string"},
    }
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
