"""Faults on demand: one object asked at named sites of the venue and the model whether something goes wrong now."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulator.errors import VenueError

# Every site with the kinds it understands; a fault that no site would ever ask for is refused when it is set.
SITES: dict[str, tuple[str, ...]] = {
    "rest.before_accept": ("delay", "hang", "reset", "late", "http"),
    "rest.after_accept": ("delay", "hang", "reset", "http"),
    "rest.reply": ("garble", "empty", "other_order"),
    "visibility": ("lag",),
    "fill": ("partial_then_silence", "hold"),
    "cancel": ("fill_during_cancel", "late_fill"),
    "ws.send": ("drop", "zombie", "disconnect", "duplicate"),
    "ws.handshake": ("refuse",),
    "listen_key": ("expire",),
    "clock": ("skew", "jump"),
    "sources.reply": ("http",),
    "sources.price": ("skew",),
    "model.reply": (
        "delay",
        "hang",
        "bad_json",
        "fenced_json",
        "wrong_symbol",
        "truncated",
        "empty",
        "refusal",
        "http",
        "drip",
    ),
}

# `http` faults by name: status, body, headers. The texts are Binance's; a 503 exists in three meanings.
HTTP_ANSWERS: dict[str, tuple[int, str, dict[str, str]]] = {
    "unknown": (503, '{"code":-1000,"msg":"Unknown error, please check your request or try again later."}', {}),
    "unavailable": (503, '{"code":-1001,"msg":"Service Unavailable."}', {}),
    "internal": (503, '{"code":-1001,"msg":"Internal error; unable to process your request. Please try again."}', {}),
    "server_error": (500, '{"code":-1000,"msg":"An unknown error occurred while processing the request."}', {}),
    "bad_gateway": (502, "<html><head><title>502 Bad Gateway</title></head><body>502</body></html>", {}),
    "timeout": (
        408,
        (
            '{"code":-1007,"msg":"Timeout waiting for response from backend server. '
            'Send status unknown; execution status unknown."}'
        ),
        {},
    ),
    "rate_limited": (429, '{"code":-1003,"msg":"Too many requests."}', {"Retry-After": "5"}),
    "banned": (418, '{"code":-1003,"msg":"Way too many requests; IP(127.0.0.1) banned."}', {"Retry-After": "120"}),
}


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong: where, how, for what (`match`), and how often."""

    id: int
    site: str
    kind: str
    params: dict[str, Any]
    match: dict[str, str]
    count: int | None
    probability: float
    dice: random.Random
    hits: int = 0

    def applies_to(self, context: Mapping[str, object]) -> bool:
        """Whether every `match` entry is what the site says of itself; `tw-*` matches all that begins with `tw-`."""
        return all(_matches(str(context.get(name, "")), wanted) for name, wanted in self.match.items())

    def describe(self) -> dict[str, Any]:
        """The fault as `GET /simulator/faults` shows it."""
        return {
            "id": self.id, "site": self.site, "kind": self.kind, "params": self.params, "match": self.match,
            "count": self.count, "probability": self.probability, "hits": self.hits,
        }  # fmt: skip


def _matches(value: str, wanted: str) -> bool:
    return value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted


@dataclass(slots=True)
class Faults:
    """The faults in force; `consult` is the only question the sites ask."""

    active: dict[int, Fault] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    struck: dict[int, int] = field(default_factory=dict)
    next_id: int = 1

    def add(self, wish: Mapping[str, Any]) -> Fault:
        """Put a fault in force from `{"site","kind","params","match","count"|"probability","seed"}`."""
        site, kind = str(wish.get("site", "")), str(wish.get("kind", ""))
        if site not in SITES:
            raise VenueError(-1130, f"site {site!r} is not known; known are {', '.join(sorted(SITES))}")
        if kind not in SITES[site]:
            raise VenueError(-1130, f"kind {kind!r} is not known at {site}; known are {', '.join(SITES[site])}")
        params = dict(wish.get("params") or {})
        if (
            kind == "http"
            and site not in ("model.reply", "sources.reply")
            and str(params.get("answer", "unknown")) not in HTTP_ANSWERS
        ):
            raise VenueError(-1130, f"answer {params['answer']!r} is not known; known are {', '.join(HTTP_ANSWERS)}")
        probability = float(wish.get("probability", 1.0))
        count = None if wish.get("count") is None and "probability" in wish else int(wish.get("count") or 1)
        fault = Fault(
            self.next_id, site, kind, params, {str(k): str(v) for k, v in dict(wish.get("match") or {}).items()},
            count, probability, random.Random(int(wish.get("seed", 0))),
        )  # fmt: skip
        self.active[fault.id] = fault
        self.next_id += 1
        return fault

    def clear(self, fault_id: int | None = None) -> int:
        """Take one fault, or all, out of force; how many went."""
        gone = list(self.active) if fault_id is None else [i for i in (fault_id,) if i in self.active]
        for number in gone:
            del self.active[number]
        return len(gone)

    def consult(self, site: str, now_ms: int, **context: object) -> Fault | None:
        """The fault that strikes at this site now, or None; each strike is counted and logged."""
        if not self.active:
            return None
        for fault in list(self.active.values()):
            if fault.site != site or not fault.applies_to(context) or fault.dice.random() >= fault.probability:
                continue
            fault.hits += 1
            self.struck[fault.id] = fault.hits
            if fault.count is not None and fault.hits >= fault.count:
                del self.active[fault.id]
            self._remember(fault, now_ms, context)
            return fault
        return None

    def _remember(self, fault: Fault, now_ms: int, context: Mapping[str, object]) -> None:
        entry = {"at": now_ms, "id": fault.id, "site": fault.site, "kind": fault.kind}
        self.log.append(entry | {name: str(value) for name, value in context.items()})
        del self.log[:-10_000]
