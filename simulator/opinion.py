"""The rules behind the model: evidence for and against a signal, read from its facts and from nothing else."""

import math
import re
from dataclasses import dataclass
from typing import Any

REASONS = (
    "trend_aligned", "trend_against", "momentum_supports", "momentum_against", "overextended", "volume_thin",
    "volatility_high", "mean_reversion_setup", "reward_poor", "insufficient_evidence",
)  # fmt: skip
SUPPORTING = ("trend_aligned", "momentum_supports", "mean_reversion_setup")
LEAST_FACTS = 2
CONFIRM_AT, REJECT_BELOW = -0.03, -0.18
LONGEST_RATIONALE = 400
INJECTION = re.compile(
    r"ignore (all|any|the|previous|prior)|disregard (all|the|previous)|system prompt|you are now|new instructions|"
    r"as an ai|jailbreak|</?(system|assistant|user)>|must (confirm|approve)|verdict\s*[:=]", re.IGNORECASE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Evidence:
    """One consideration: its code, its weight (positive speaks for the signal), and the facts it rests on."""

    reason: str
    weight: float
    fact_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opinion:
    """An answer before it is written as JSON."""

    signal_id: str
    symbol: str
    verdict: str
    p_target_first_bp: int
    primary_reason: str
    invalidations: tuple[str, ...]
    evidence_ids: tuple[str, ...]
    injection_suspected: bool
    rationale: str

    def describe(self) -> dict[str, Any]:
        """The JSON object that the content holds."""
        return {
            "signal_id": self.signal_id, "symbol": self.symbol, "verdict": self.verdict,
            "p_target_first_bp": self.p_target_first_bp, "primary_reason": self.primary_reason,
            "invalidations": list(self.invalidations), "evidence_ids": list(self.evidence_ids),
            "injection_suspected": self.injection_suspected, "rationale": self.rationale[:LONGEST_RATIONALE],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """The numeric facts by name, with their ids."""

    values: dict[str, tuple[float, str]]

    def find(self, *patterns: str) -> tuple[float, str] | None:
        """The first fact whose name matches one of the patterns, in their order."""
        for pattern in patterns:
            for name, entry in self.values.items():
                if re.fullmatch(pattern, name):
                    return entry
        return None


def form_opinion(question: dict[str, Any]) -> Opinion:
    """Confirm, reject or abstain on `{"signal", "facts", "reasons"}`."""
    signal, raw = question["signal"], question.get("facts") or []
    facts = read_facts(raw)
    is_suspect = _is_injected(question)
    evidence = weigh(signal, facts) if not is_suspect else []
    score = sum(e.weight for e in evidence)
    verdict = _verdict(score, evidence, facts, is_suspect)
    return Opinion(
        str(signal.get("id", "")), str(signal.get("symbol", "")), verdict, _probability(signal, score, verdict),
        _primary(evidence, verdict), _invalidations(evidence, verdict),
        tuple(dict.fromkeys(i for e in evidence for i in e.fact_ids)), is_suspect, _rationale(signal, evidence, verdict, score),
    )  # fmt: skip


def read_facts(raw: Any) -> Facts:
    """The facts that are numbers; text facts carry no weight here."""
    values: dict[str, tuple[float, str]] = {}
    for fact in raw if isinstance(raw, list) else []:
        number = _number(fact.get("value")) if isinstance(fact, dict) else None
        if number is not None:
            values[str(fact.get("name", "")).lower()] = (number, str(fact.get("id", "")))
    return Facts(values)


def weigh(signal: dict[str, Any], facts: Facts) -> list[Evidence]:
    """All considerations that the facts allow."""
    side = 1.0 if str(signal.get("side", "long")).lower() in ("long", "buy") else -1.0
    reverts = "reversion" in str(signal.get("strategy", "")).lower()
    found = (
        _trend(side, reverts, signal, facts), _stretch(side, reverts, signal, facts), _momentum(side, facts),
        _oscillator(side, reverts, facts), _volume(facts), _volatility(signal, facts), _band(side, reverts, facts),
        _reward(signal), _confidence(signal),
    )  # fmt: skip
    return [e for e in found if e is not None]


def _trend(side: float, reverts: bool, signal: dict[str, Any], facts: Facts) -> Evidence | None:
    """Fast average against slow one, measured in the market's own range; a reversion trades against it by nature."""
    fast, slow = (
        facts.find(r"ema_?fast", r"ema_(?:8|9|1\d|20)", r"sma_(?:5|10|20)"),
        facts.find(r"ema_?slow", r"ema_(?:50|55|100|200)", r"sma_(?:50|100|200)", r"ema_(?:21|26|34)"),
    )
    unit = _range(signal, facts)
    if fast is None or slow is None or not unit:
        return None
    lean = max(-1.0, min(1.0, side * (fast[0] - slow[0]) / unit))
    weight = lean * (0.08 if reverts else 0.2)
    return Evidence("trend_aligned" if weight >= 0 else "trend_against", weight, (fast[1], slow[1]))


def _stretch(side: float, reverts: bool, signal: dict[str, Any], facts: Facts) -> Evidence | None:
    """A price that has run far from its slow average leaves little for those who follow late."""
    slow = facts.find(r"ema_?slow", r"ema_(?:21|26|34|50)", r"sma_(?:20|50)")
    price, unit = _number(signal.get("price")), _range(signal, facts)
    if reverts or slow is None or price is None or not unit:
        return None
    run = side * (price - slow[0]) / unit
    if run > 1.1:
        return Evidence("overextended", -0.3 * min(2.0, run - 0.6), (slow[1],))
    if run < 0.25:
        return Evidence("momentum_against", -0.3, (slow[1],))
    return Evidence("momentum_supports", 0.12, (slow[1],))


def _range(signal: dict[str, Any], facts: Facts) -> float:
    """The usual range of a candle in price units: the ATR, or half a per cent of the price."""
    atr = facts.find(r"atr(?:_\d+)?")
    return atr[0] if atr is not None else (_number(signal.get("price")) or 0.0) * 0.005


def _momentum(side: float, facts: Facts) -> Evidence | None:
    macd = facts.find(r"macd_?hist(?:ogram)?(?:_\d+)*", r"macd(?:_\d+)*", r"momentum(?:_\d+)?", r"roc(?:_\d+)?")
    if macd is None:
        return None
    weight = 0.12 if macd[0] * side > 0 else -0.07
    return Evidence("momentum_supports" if weight > 0 else "momentum_against", weight, (macd[1],))


def _oscillator(side: float, reverts: bool, facts: Facts) -> Evidence | None:
    """For a reversion the RSI should be stretched, but neither barely nor as in a free fall."""
    rsi = facts.find(r"rsi(?:_\d+)?")
    if rsi is None:
        return None
    depth = (50 - rsi[0]) * side  # positive: the price went against the side, which is what reversion wants
    if reverts:
        if depth > 31:
            return Evidence("momentum_against", -0.35, (rsi[1],))
        code = "mean_reversion_setup" if depth > 22.0 else "insufficient_evidence" if depth > 0 else "overextended"
        return Evidence(code, max(-0.4, min(0.3, (depth - 22.0) / 12)), (rsi[1],))
    if depth < -24:
        return Evidence("overextended", -0.24, (rsi[1],))
    return Evidence("momentum_supports" if depth <= 0 else "momentum_against", 0.08 if depth <= 0 else -0.08, (rsi[1],))


def _volume(facts: Facts) -> Evidence | None:
    volume = facts.find(r"volume_ratio(?:_\d+)?", r"relative_volume")
    if volume is None:
        return None
    if volume[0] < 0.6:
        return Evidence("volume_thin", -0.25, (volume[1],))
    return Evidence("momentum_supports", min(0.1, (volume[0] - 0.6) * 0.06), (volume[1],))


def _volatility(signal: dict[str, Any], facts: Facts) -> Evidence | None:
    """A usual range of more than one and a half per cent a candle makes any stop a coin's toss."""
    percent, atr = facts.find(r"atr_p(?:c|ercen)t(?:_\d+)?", r"atr_ratio(?:_\d+)?"), facts.find(r"atr(?:_\d+)?")
    price = _number(signal.get("price"))
    found = percent or atr
    if found is None:
        return None
    share = found[0] / 100 if percent is not None else found[0] / price if price else 0.0
    return Evidence("volatility_high", -0.25, (found[1],)) if share > 0.015 else None


def _band(side: float, reverts: bool, facts: Facts) -> Evidence | None:
    place = facts.find(r"(?:bb|bollinger)_(?:position|pct|percent_?b|percent)(?:_\d+)*")
    if place is None:
        return None
    stretch = (0.5 - place[0]) * 2 * side
    if reverts:
        code = "mean_reversion_setup" if stretch > 0 else "overextended"
        return Evidence(code, 0.12 * max(-1.0, min(1.0, stretch)), (place[1],))
    return Evidence("overextended", -0.1, (place[1],)) if stretch < -1.0 else None


def _reward(signal: dict[str, Any]) -> Evidence | None:
    price, stop, target = (_number(signal.get(name)) for name in ("price", "stop", "target"))
    if price is None or stop is None or target is None or price == stop:
        return None
    ratio = abs(target - price) / abs(price - stop)
    if ratio < 1.0:
        return Evidence("reward_poor", -0.3, ())
    return Evidence("trend_aligned", min(0.06, (ratio - 1.0) * 0.04), ())


def _confidence(signal: dict[str, Any]) -> Evidence | None:
    """The strategy's own confidence, in shares or per cent, counts for little."""
    given = _number(signal.get("confidence"))
    if given is None:
        return None
    share = given / 100 if given > 1 else given
    return Evidence("momentum_supports" if share >= 0.5 else "momentum_against", (share - 0.5) * 0.1, ())


def _verdict(score: float, evidence: list[Evidence], facts: Facts, is_suspect: bool) -> str:
    if is_suspect or len(facts.values) < LEAST_FACTS or not any(e.fact_ids for e in evidence):
        return "abstain"
    if score > CONFIRM_AT:
        return "confirm"
    return "reject" if score < REJECT_BELOW else "abstain"


def _probability(signal: dict[str, Any], score: float, verdict: str) -> int:
    """The chance in basis points that the target is met before the stop: a random walk's, bent by the evidence."""
    price, stop, target = (_number(signal.get(name)) for name in ("price", "stop", "target"))
    fair = 0.5
    if price is not None and stop is not None and target is not None and target != stop:
        fair = abs(price - stop) / (abs(price - stop) + abs(target - price) or 1.0)
    odds = math.log(max(0.02, min(0.98, fair)) / (1 - max(0.02, min(0.98, fair)))) + score
    return max(0, min(10_000, round(10_000 / (1 + math.exp(-odds)))))


def _primary(evidence: list[Evidence], verdict: str) -> str:
    if verdict == "abstain" or not evidence:
        return "insufficient_evidence"
    sign = 1 if verdict == "confirm" else -1
    return max(evidence, key=lambda e: e.weight * sign).reason


def _invalidations(evidence: list[Evidence], verdict: str) -> tuple[str, ...]:
    against = sorted((e for e in evidence if e.weight < 0), key=lambda e: e.weight)
    found = tuple(dict.fromkeys(e.reason for e in against))[:3]
    return found if verdict != "confirm" or found else ("volatility_high",)


def _rationale(signal: dict[str, Any], evidence: list[Evidence], verdict: str, score: float) -> str:
    parts = ", ".join(f"{e.reason} {e.weight:+.2f}" for e in sorted(evidence, key=lambda e: -abs(e.weight))[:5])
    return (
        f"{verdict} {signal.get('side')} {signal.get('symbol')}: score {score:+.2f} from {parts or 'no usable facts'}."
    )


def _is_injected(question: dict[str, Any]) -> bool:
    texts = [str(r) for r in question.get("reasons") or []]
    texts += [f"{f.get('name')} {f.get('value')}" for f in question.get("facts") or [] if isinstance(f, dict)]
    texts += [str(v) for v in question["signal"].values()]
    return any(INJECTION.search(text) for text in texts)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
