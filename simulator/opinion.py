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
CONFIRM_AT, REJECT_BELOW = 0.0, -0.18
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
        _trend(side, reverts, facts), _momentum(side, facts), _oscillator(side, reverts, facts), _volume(facts),
        _volatility(facts), _band(side, reverts, facts), _reward(signal), _confidence(signal),
    )  # fmt: skip
    return [e for e in found if e is not None]


def _trend(side: float, reverts: bool, facts: Facts) -> Evidence | None:
    fast = facts.find(r"ema_?fast", r"ema_(?:8|9|10|12|13|20|21)", r"sma_(?:10|20)")
    slow = facts.find(r"ema_?slow", r"ema_(?:26|34|50|55|100|200)", r"sma_(?:50|100|200)", r"ema_21")
    if fast is None or slow is None or not slow[0]:
        return None
    lean = max(-1.0, min(1.0, side * (fast[0] - slow[0]) / slow[0] * 200))
    weight = lean * (0.1 if reverts else 0.22)
    return Evidence("trend_aligned" if weight >= 0 else "trend_against", weight, (fast[1], slow[1]))


def _momentum(side: float, facts: Facts) -> Evidence | None:
    macd = facts.find(r"macd_?hist(?:ogram)?(?:_pct)?", r"macd", r"momentum(?:_\d+)?", r"roc(?:_\d+)?")
    if macd is None:
        return None
    weight = 0.13 if macd[0] * side > 0 else -0.11
    return Evidence("momentum_supports" if weight > 0 else "momentum_against", weight, (macd[1],))


def _oscillator(side: float, reverts: bool, facts: Facts) -> Evidence | None:
    rsi = facts.find(r"rsi(?:_\d+)?")
    if rsi is None:
        return None
    stretch = (50 - rsi[0]) / 50 * side  # positive: the price went against the side, which is what reversion wants
    if reverts:
        return Evidence("mean_reversion_setup" if stretch > 0 else "overextended", 0.35 * stretch, (rsi[1],))
    if stretch < -0.5:
        return Evidence("overextended", -0.24, (rsi[1],))
    return Evidence(
        "momentum_supports" if stretch <= 0 else "momentum_against", 0.08 if stretch <= 0 else -0.06, (rsi[1],)
    )


def _volume(facts: Facts) -> Evidence | None:
    volume = facts.find(r"volume_ratio(?:_\d+)?", r"relative_volume")
    if volume is None:
        return None
    if volume[0] < 0.6:
        return Evidence("volume_thin", -0.2, (volume[1],))
    return Evidence("momentum_supports", min(0.12, (volume[0] - 0.6) * 0.08), (volume[1],))


def _volatility(facts: Facts) -> Evidence | None:
    ratio = facts.find(r"atr_pct(?:_\d+)?", r"atr_percent", r"atr_ratio(?:_\d+)?")
    if ratio is None:
        return None
    share = ratio[0] / 100 if ratio[0] > 0.2 else ratio[0]
    return Evidence("volatility_high", -0.25, (ratio[1],)) if share > 0.025 else None


def _band(side: float, reverts: bool, facts: Facts) -> Evidence | None:
    place = facts.find(r"(?:bb|bollinger)_(?:position|pct|percent_?b|percent)(?:_\d+)?")
    if place is None:
        return None
    stretch = (0.5 - place[0]) * 2 * side
    if reverts:
        return Evidence(
            "mean_reversion_setup" if stretch > 0 else "overextended", 0.14 * max(-1, min(1, stretch)), (place[1],)
        )
    return Evidence("overextended", -0.1, (place[1],)) if stretch < -1.0 else None


def _reward(signal: dict[str, Any]) -> Evidence | None:
    price, stop, target = (_number(signal.get(name)) for name in ("price", "stop", "target"))
    if price is None or stop is None or target is None or price == stop:
        return None
    ratio = abs(target - price) / abs(price - stop)
    if ratio < 1.0:
        return Evidence("reward_poor", -0.3, ())
    return Evidence("trend_aligned", min(0.1, (ratio - 1.0) * 0.06), ())


def _confidence(signal: dict[str, Any]) -> Evidence | None:
    """The strategy's own confidence, in shares or per cent, counts for little."""
    given = _number(signal.get("confidence"))
    if given is None:
        return None
    share = given / 100 if given > 1 else given
    return Evidence("momentum_supports" if share >= 0.5 else "momentum_against", (share - 0.5) * 0.2, ())


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
