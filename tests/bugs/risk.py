"""Mistakes in holding limits."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

from common.domain import sizing
from common.domain.risk import advice, caps, judge, kill_switch, rulebook, sanity
from common.domain.risk.context import state
from common.services import evaluate_risk, learn, trip_breaker
from common.store.risk import Risk
from tests.bugs.garden import bug, set_on, swap


def _blind_book(keep: Any) -> None:
    original = Risk.lock_book

    def lock_book(self: Any, *arguments: Any, **named: Any) -> Any:
        book = original(self, *arguments, **named)
        return replace(book, exposures=tuple(item for item in book.exposures if keep(item)))

    set_on(Risk, "lock_book", lock_book)


@bug("I6", "orders on their way and of unknown fate do not count")
def exposure_ignores_what_is_on_its_way() -> None:
    _blind_book(lambda item: item.is_position)


@bug("I6", "positions held do not count")
def exposure_ignores_positions() -> None:
    _blind_book(lambda item: not item.is_position)


@bug("I6", "the book is read before the market is asked, and decided upon without a lock")
def book_read_before_the_market() -> None:
    original_book = Risk.lock_book
    early: dict[Any, Any] = {}
    original = evaluate_risk.evaluate_risk

    def evaluate(fleet: Any, uow: Any, job: Any) -> str:
        signal, account, _ = evaluate_risk._subject(uow, job)
        with fleet.store.unit_of_work(account.tenant_id) as other:
            early[account.id, signal.id] = other.risk.lock_book(account.id, fleet.clock.now(), signal)
        return original(fleet, uow, job)

    def book_at(self: Any, account_id: Any, now: Any, signal: Any = None, **named: Any) -> Any:
        key = (account_id, signal.id if signal is not None else None)
        if key in early:
            return early.pop(key)
        return original_book(self, account_id, now, signal, **named)

    set_on(Risk, "lock_book", book_at)
    swap(original, evaluate)


@bug("I13", "an approval reserves nothing")
def no_reservation() -> None:
    set_on(Risk, "add_reservation", lambda self, *arguments: False)


@bug("I13", "a reservation is released as soon as the order has left")
def reservation_released_in_doubt() -> None:
    original = learn.keep

    def keep(uow: Any, before: Any, after: Any, now: Any, **lingering: Any) -> Any:
        kept = original(uow, before, after, now, **lingering)
        if after.status.value in {"unknown", "submitting"}:
            uow.risk.release_reservation(after.id)
        return kept

    swap(original, keep)


@bug("I13", "a reservation outlives its order")
def reservation_leaked() -> None:
    set_on(Risk, "release_reservation", lambda self, order_id: False)
    set_on(Risk, "let_lapse", lambda self, order_id, at: None)


@bug("I6", "an instrument does not rest after a stop-out")
def cooldown_ignored() -> None:
    set_on(Risk, "symbol_cooldown", lambda self, *arguments: None)


@bug("I6", "the breaker never looks at the record")
def breaker_asleep() -> None:
    swap(trip_breaker.trip_breaker, lambda uow, account, closed, now: None)
    _no_thresholds()


def _no_thresholds() -> None:
    from common.domain import breaker

    for rule in list(breaker.THRESHOLDS):
        before = breaker.THRESHOLDS[rule]
        swap(before, lambda record, limits, equity: None)


@bug("I6", "a profit of the day counts as its loss, and a loss as nothing")
def day_loss_with_the_wrong_sign() -> None:
    swap(caps.day_loss, lambda record: max(record.day_profit, 0 * record.day_profit))


@bug("I6", "the limit on positions is passed by one")
def one_position_too_many() -> None:
    original = rulebook.position_count_exceeds_limit

    def check(context: Any) -> Any:
        limit = context.limits.position_count_max
        return original(replace(context, limits=replace(context.limits, position_count_max=limit + 1)))

    swap(original, check)


@bug("I6", "quarantine stops nobody")
def quarantine_ignored() -> None:
    swap(kill_switch.quarantined, lambda context: state(False, "orders"))


@bug("I6", "an account trades before its book was compared with the venue's")
def trades_unreconciled() -> None:
    swap(kill_switch.account_not_reconciled, lambda context: state(False, "state"))


@bug("I6", "the model's no is not heard")
def advice_not_heard() -> None:
    swap(advice.advisor_rejected, lambda context: state(False, "answer"))


@bug("I10", "the size depends on how many decisions this process has made")
def size_depends_on_the_process() -> None:
    original, numbers = judge.propose, count()

    def propose(*arguments: Any, **named: Any) -> Any:
        proposal = original(*arguments, **named)
        even = next(numbers) % 2 == 0
        return replace(proposal, quantity=proposal.quantity / 2 if even else proposal.quantity)

    swap(original, propose)


@bug("I6", "the account may hold the same instrument several times")
def stacking_allowed() -> None:
    swap(rulebook.stacked_position, lambda context: None)


@bug("GRID", "sizes are not cut to the venue's grid, and nobody looks at them again")
def quantity_off_the_grid() -> None:
    set_on(sizing, "floor_to", lambda value, step: value.quantize(step / 100))
    swap(sanity.off_grid, lambda context: state(False, "grid"))


@bug("I6", "the orders of the last minute are not counted")
def orders_per_minute_not_counted() -> None:
    swap(rulebook.order_rate_exceeds_limit, lambda context: None)
