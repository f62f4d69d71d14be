"""Mistakes in placing orders: what hummingbot, freqtrade and many a script get wrong."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

from common.domain.errors import OutcomeUnknown, Refused
from common.domain.order import IN_DOUBT, OrderRole, OrderStatus
from common.services import learn, place_order
from common.services.fleet import Fleet
from tests.bugs.garden import bug, set_on, swap


@bug("I2", "an order found in doubt is sent again")
def resend_when_found_in_doubt() -> None:
    original = place_order.place_order

    def place(fleet: Any, uow: Any, job: Any) -> str:
        order, account = place_order.subject(uow, job)
        if order.status not in IN_DOUBT:
            return original(fleet, uow, job)
        venue = fleet.venue_of(uow, account)
        return place_order._send(fleet, uow, job, account, venue, order)

    swap(original, place)


@bug("I2", "a placement whose outcome is unknown is tried once more at once")
def blind_retry() -> None:
    original = place_order._send

    class Again:
        def __init__(self, venue: Any) -> None:
            self._venue = venue

        def __getattr__(self, name: str) -> Any:
            return getattr(self._venue, name)

        def place(self, intent: Any, submitted_at: Any) -> Any:
            try:
                return self._venue.place(intent, submitted_at)
            except OutcomeUnknown:
                return self._venue.place(intent, submitted_at)

    def send(fleet: Any, uow: Any, job: Any, account: Any, venue: Any, order: Any) -> str:
        return original(fleet, uow, job, account, Again(venue), order)

    swap(original, send)


@bug("I3", "the order leaves before its intent is committed")
def send_before_commit() -> None:
    original = place_order._submit

    def submit(fleet: Any, account: Any, venue: Any, order: Any) -> Any:
        now = fleet.clock.now()
        after = original(fleet, account, venue, order)
        return after if after.status is not OrderStatus.SUBMITTING else after.move(after.status, submitted_at=now)

    def hasty(fleet: Any, account: Any, venue: Any, order: Any) -> Any:
        with fleet.store.unit_of_work(account.tenant_id) as uow:
            now = fleet.clock.now()
            why_not = place_order._objection(fleet, uow, account, order, now)
        if why_not:
            return submit(fleet, account, venue, order)
        return order.move(OrderStatus.SUBMITTING, submitted_at=now, valid_until=now + venue.validity, updated_at=now)

    swap(original, hasty)


@bug("I3", "the request is stamped when it leaves, not when its intent was committed")
def fresh_stamp_at_send() -> None:
    original = place_order._send

    class Stamped:
        def __init__(self, venue: Any, clock: Any) -> None:
            self._venue, self._clock = venue, clock

        def __getattr__(self, name: str) -> Any:
            return getattr(self._venue, name)

        def place(self, intent: Any, submitted_at: Any) -> Any:
            return self._venue.place(intent, self._clock.now())

    def send(fleet: Any, uow: Any, job: Any, account: Any, venue: Any, order: Any) -> str:
        return original(fleet, uow, job, account, Stamped(venue, fleet.clock), order)

    swap(original, send)


@bug("I9", "no halt is looked at when an order leaves")
def no_halt_check_at_submit() -> None:
    original = place_order._objection

    def objection(fleet: Any, uow: Any, account: Any, order: Any, now: Any) -> str:
        why = original(fleet, uow, account, order, now)
        return "" if why.startswith("halted") else why

    swap(original, objection)


@bug("I9", "halts are looked at before the venue is spoken to, and not in the transaction that submits")
def halts_read_too_early() -> None:
    original_place, original_objection = place_order.place_order, place_order._objection

    def place(fleet: Any, uow: Any, job: Any) -> str:
        order, account = place_order.subject(uow, job)
        if order.status is OrderStatus.INTENDED:
            with fleet.store.unit_of_work(account.tenant_id) as early:
                why_not = original_objection(fleet, early, account, order, fleet.clock.now())
            if why_not:
                return original_place(fleet, uow, job)
            venue = fleet.venue_of(uow, account)
            venue.set_leverage(order.intent.instrument, order.intent.leverage)
            token.append(order.id)
        return original_place(fleet, uow, job)

    def objection(fleet: Any, uow: Any, account: Any, order: Any, now: Any) -> str:
        why = original_objection(fleet, uow, account, order, now)
        return "" if order.id in token and why.startswith("halted") else why

    token: list[Any] = []
    swap(original_place, place)
    swap(original_objection, objection)


@bug("I1", "an entry whose signal has expired is sent all the same")
def expired_entry_sent() -> None:
    original = place_order._objection

    def objection(fleet: Any, uow: Any, account: Any, order: Any, now: Any) -> str:
        why = original(fleet, uow, account, order, now)
        return "" if why.startswith("expired") else why

    swap(original, objection)


@bug("I8", "a halt keeps exits and stops back too")
def exit_blocked_by_halt() -> None:
    original = place_order._objection

    def objection(fleet: Any, uow: Any, account: Any, order: Any, now: Any) -> str:
        if uow.halts.in_force(account.venue, account.tenant_id, "simulated_dice", order.intent.instrument):
            return "halted"
        return original(fleet, uow, account, order, now)

    swap(original, objection)


@bug("I4", "an unknown outcome is taken for a refusal")
def unknown_is_failure() -> None:
    original = place_order._send

    class Certain:
        def __init__(self, venue: Any) -> None:
            self._venue = venue

        def __getattr__(self, name: str) -> Any:
            return getattr(self._venue, name)

        def place(self, intent: Any, submitted_at: Any) -> Any:
            try:
                return self._venue.place(intent, submitted_at)
            except OutcomeUnknown as error:
                raise Refused("timeout", str(error)) from error

    def send(fleet: Any, uow: Any, job: Any, account: Any, venue: Any, order: Any) -> str:
        return original(fleet, uow, job, account, Certain(venue), order)

    swap(original, send)


@bug("I4", "an unknown outcome is taken for an acceptance")
def unknown_is_success() -> None:
    original = place_order._send

    def send(fleet: Any, uow: Any, job: Any, account: Any, venue: Any, order: Any) -> str:
        with contextlib.suppress(OutcomeUnknown, Refused):
            venue.place(order.intent, order.submitted_at)
        uow.risk.lock()
        now = fleet.clock.now()
        learn.keep(uow, order, order.move(OrderStatus.ACCEPTED, updated_at=now), now)
        return "sent"

    swap(original, send)


@bug("I1", "nobody is asked what became of an order in doubt")
def forget_to_settle() -> None:
    swap(place_order.request_settlement, lambda fleet, uow, order, cause: None)


@bug("I1", "a commit whose answer was lost counts as failed, and the job as done")
def commit_lost_is_failure() -> None:
    original = place_order._submit

    def submit(fleet: Any, account: Any, venue: Any, order: Any) -> Any:
        try:
            return original(fleet, account, venue, order)
        except OutcomeUnknown:
            return order

    swap(original, submit)


@bug("I2", "a commit whose answer was lost is made again by a second order")
def commit_lost_is_retried_with_a_copy() -> None:
    original = place_order._send

    def send(fleet: Any, uow: Any, job: Any, account: Any, venue: Any, order: Any) -> str:
        told = original(fleet, uow, job, account, venue, order)
        if told.startswith("outcome unknown"):
            venue.place(order.intent, order.submitted_at)
        return told

    swap(original, send)


@bug("I11", "one connection to the venue serves all accounts of a process")
def one_venue_for_all_accounts() -> None:
    original = Fleet.venue_of
    cache: dict[Any, Any] = {}

    def venue_of(self: Any, uow: Any, account: Any) -> Any:
        return cache.setdefault((account.venue, id(self)), original(self, uow, account))

    set_on(Fleet, "venue_of", venue_of)


@bug("I14", "keys are written into the audit trail for debugging")
def keys_in_the_audit_trail() -> None:
    from common.services import fleet as room

    original = Fleet.venue_of

    def venue_of(self: Any, uow: Any, account: Any) -> Any:
        keys = room.open_credentials(self.vault, account, uow.accounts.sealed_credentials(account.id))
        if keys is not None:
            uow.audit.append("debug", str(account.id), {"signed_with": keys.secret}, self.clock.now())
        return original(self, uow, account)

    set_on(Fleet, "venue_of", venue_of)


@bug("I12", "a paper account is opened with somebody's real keys")
def paper_with_real_keys() -> None:
    from common.services import fleet as room

    original = room.open_credentials
    last: list[Any] = []

    def keys_of(vault: Any, account: Any, sealed: Any) -> Any:
        keys = original(vault, account, sealed)
        if keys is not None:
            last.append(keys)
        return keys if keys is not None or not last else last[-1]

    swap(original, keys_of)


@bug("I8", "closing orders go out without reduce-only")
def reduce_only_dropped() -> None:
    from common.domain.order import OrderIntent

    set_on(OrderIntent, "reduce_only", property(lambda self: False))


@bug("I16", "an entry is sent in two halves under one intent")
def order_split_in_two() -> None:
    original = place_order._send

    def send(fleet: Any, uow: Any, job: Any, account: Any, venue: Any, order: Any) -> str:
        if order.intent.role is OrderRole.ENTRY:
            half = replace(order.intent, quantity=order.intent.quantity / 2)
            try:
                venue.place(half, order.submitted_at)
            except (OutcomeUnknown, Refused):
                return original(fleet, uow, job, account, venue, order)
        return original(fleet, uow, job, account, venue, order)

    swap(original, send)
