"""Level 1, the kill switch: halts in force, the states of tenant and account, and whether real money may move at all."""

from __future__ import annotations

from collections.abc import Mapping

from common.domain.risk.book import Environment, Halt, HaltScope, TradingState
from common.domain.risk.context import Check, Context, Measure, state
from common.domain.risk.verdict import Rule


def covers(halt: Halt, context: Context) -> bool:
    """Whether `halt` covers the entry of `context`; an empty subject covers the whole scope."""
    signal = context.signal
    subjects = {
        HaltScope.PLATFORM: {halt.subject},
        HaltScope.VENUE: {signal.venue},
        HaltScope.TENANT: {str(context.book.tenant_id)},
        HaltScope.STRATEGY: {signal.strategy},
        HaltScope.INSTRUMENT: {signal.instrument, f"{signal.venue}:{signal.instrument}"},
    }
    return not halt.subject or halt.subject in subjects[halt.scope]


def _halted(scope: HaltScope) -> Check:
    def check(context: Context) -> Measure:
        halt = next((item for item in context.book.halts if item.scope is scope and covers(item, context)), None)
        detail = "" if halt is None else f"{halt.mode}, epoch {halt.epoch}: {halt.reason}"
        return state(halt is not None, "halts", detail)

    return check


def tenant_not_active(context: Context) -> Measure:
    """A tenant that only reduces or is halted takes no new risk."""
    held = context.book.tenant_state
    return state(held is not TradingState.ACTIVE, "state", f"the tenant is {held}")


def account_not_reconciled(context: Context) -> Measure:
    """Nothing is opened before ledger and venue agree."""
    return state(not context.book.is_reconciled, "state", "ledger and venue have not been compared yet")


def environment_not_allowed(context: Context) -> Measure:
    """Money moves only when platform, tenant and account each say so."""
    is_bad = context.book.environment is Environment.LIVE and not context.book.live_allowed
    return state(is_bad, "state", "live trading is not enabled by platform, tenant and account alike")


def quarantined(context: Context) -> Measure:
    """An order of unknown origin at the venue stops entries on its account and instrument."""
    is_bad = context.signal.instrument in context.book.quarantined
    return state(is_bad, "orders", "an order that is not ours was found here")


RULES: Mapping[Rule, Check] = {
    Rule.HALTED_PLATFORM: _halted(HaltScope.PLATFORM),
    Rule.HALTED_VENUE: _halted(HaltScope.VENUE),
    Rule.HALTED_TENANT: _halted(HaltScope.TENANT),
    Rule.HALTED_STRATEGY: _halted(HaltScope.STRATEGY),
    Rule.HALTED_INSTRUMENT: _halted(HaltScope.INSTRUMENT),
    Rule.TENANT_NOT_ACTIVE: tenant_not_active,
    Rule.ACCOUNT_NOT_RECONCILED: account_not_reconciled,
    Rule.ENVIRONMENT_NOT_ALLOWED: environment_not_allowed,
    Rule.QUARANTINED: quarantined,
}
