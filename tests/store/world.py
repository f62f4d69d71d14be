"""A small world in the store: two tenants of the same making, and whatever a test wants to happen to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Self
from uuid import UUID, uuid5

import psycopg

from common.domain.advice import Advice, AdviceReason, AdviceVerdict, AdvisorFallback, advice_id
from common.domain.blunder import BlunderLabel, Evidence, Grade, Review, Reviewed
from common.domain.decision import Decision, DecisionOutcome, decision_id
from common.domain.fill import Fill, Funding
from common.domain.job import Stage
from common.domain.market import Candle, Instrument
from common.domain.order import (
    Order,
    OrderIntent,
    OrderRole,
    OrderSide,
    OrderStatus,
    OrderType,
    client_order_id,
    closing_order_id,
    entry_order_id,
)
from common.domain.paper import PaperFill, PaperFunding, PaperOrder, PaperPosition
from common.domain.parameter_version import ParameterState, ParameterVersion
from common.domain.position import Position, position_id
from common.domain.postings import CashFlow, FlowKind
from common.domain.risk.book import Environment, HaltMode, HaltScope, TradingState
from common.domain.risk.verdict import Level, Reservation, Rule, Veto
from common.domain.signal import NAMESPACE, ExitPlan, Side, Signal, signal_id
from common.domain.tenant import Account, Subscription, Tenant
from common.store import Store
from common.store.accounting import KeptStatement
from tests.clocks import NOON

VENUE, SYMBOL, TIMEFRAME, STRATEGY = "simulator", "BTC/USDT:USDT", "5m", "ema_crossover"


def somebody_waits(root: psycopg.Connection[Any]) -> bool:
    """Whether a session of this database waits for a lock, as the superuser sees it."""
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return root.execute(waiting).rowcount > 0


def identity(*parts: object) -> UUID:
    """An id that is the same in every run."""
    return uuid5(NAMESPACE, "|".join(str(part) for part in ("store tests", *parts)))


@dataclass(frozen=True, slots=True)
class House:
    """One tenant with its account."""

    tenant: Tenant
    account: Account

    @property
    def id(self) -> UUID:
        """The tenant's id."""
        return self.tenant.id


@dataclass(frozen=True, slots=True)
class World:
    """Two tenants of the same making, subscribed to the same market."""

    store: Store
    ours: House
    theirs: House

    @classmethod
    def found(cls, store: Store) -> Self:
        """Write the two tenants and their market into an empty store."""
        with store.unit_of_work(None) as uow:
            uow.instruments.save([instrument()])
            uow.commit()
        return cls(store, settle(store, "ours"), settle(store, "theirs"))


def settle(store: Store, name: str, **account: Any) -> House:
    """A tenant of that name with one account and one subscription."""
    tenant = Tenant(identity("tenant", name), name, TradingState.ACTIVE, NOON)
    opened = Account(
        id=identity("account", name),
        tenant_id=tenant.id,
        name="main",
        venue=VENUE,
        environment=Environment.PAPER,
        profile="standard",
        is_reconciled=True,
    )
    house = House(tenant, replace(opened, **account))
    with store.unit_of_work(tenant.id) as uow:
        uow.tenants.add(tenant)
        uow.accounts.add(house.account)
        uow.subscriptions.add(subscription(house))
        uow.commit()
    return house


def subscription(house: House, **changes: Any) -> Subscription:
    """The wish of the house's account to trade the one market there is."""
    wish = Subscription(
        id=identity("subscription", house.id),
        tenant_id=house.id,
        account_id=house.account.id,
        strategy=STRATEGY,
        timeframe=TIMEFRAME,
        instruments=(SYMBOL,),
        advisor=None,
        on_advisor_unavailable=AdvisorFallback.WAIT,
        active_from=NOON - timedelta(days=1),
    )
    return replace(wish, **changes)


def instrument(symbol: str = SYMBOL) -> Instrument:
    """A market with a grid."""
    return Instrument(
        venue=VENUE,
        symbol=symbol,
        base=symbol.partition("/")[0],
        quote="USDT",
        settle="USDT",
        tick_size=Decimal("0.10"),
        step_size=Decimal("0.001"),
        min_quantity=Decimal("0.001"),
        max_quantity=Decimal(1000),
        min_notional=Decimal(5),
        max_leverage=125,
        maker_fee=Decimal("0.0002"),
        taker_fee=Decimal("0.0005"),
    )


def candle(number: int, close: str = "40000.5") -> Candle:
    """The `number`-th five-minute candle of noon."""
    opened_at = NOON + number * timedelta(minutes=5)
    price = Decimal(close)
    return Candle(opened_at, opened_at + timedelta(minutes=5), price, price + 1, price - 1, price, Decimal("12.345"))


def signal(number: int = 0, **changes: Any) -> Signal:
    """The `number`-th signal of the one strategy."""
    closed_at = NOON + number * timedelta(minutes=5)
    raised = Signal(
        id=signal_id(VENUE, SYMBOL, TIMEFRAME, STRATEGY, "1", closed_at),
        venue=VENUE,
        instrument=SYMBOL,
        timeframe=TIMEFRAME,
        strategy=STRATEGY,
        strategy_version="1",
        side=Side.LONG,
        confidence=Decimal("0.75"),
        price=Decimal("40000.50"),
        exits=ExitPlan(stop=Decimal("39000.1"), target=Decimal("42000.9"), max_hold=timedelta(hours=4)),
        reasons=("ema_fast_above_slow", "volume_confirms"),
        features={"ema_12": 40000.123456789, "ratio": 1e-17, "whole": 3.0, "huge": 1e22},
        closed_at=closed_at,
        expires_at=closed_at + timedelta(minutes=5),
    )
    return replace(raised, **changes)


def advice(number: int = 0) -> Advice:
    """What the model says about the `number`-th signal."""
    subject = signal(number)
    return Advice(
        id=advice_id(subject.id, "default"),
        signal_id=subject.id,
        profile="default",
        verdict=AdviceVerdict.CONFIRM,
        reason=AdviceReason.TREND_ALIGNED,
        cause=None,
        p_target_first=Decimal("0.61"),
        rationale="the trend agrees",
        model="practice",
        prompt="…",
        prompt_version="1",
        raw_answer="{}",
        latency_ms=512,
        tokens_in=700,
        tokens_out=40,
        cost_usd=Decimal("0.00042"),
        occurred_at=subject.closed_at,
    )


def intent(house: House, number: int = 0, **changes: Any) -> OrderIntent:
    """The entry of the house on the `number`-th signal."""
    subject = signal(number)
    order_id = entry_order_id(house.id, house.account.id, subject.id)
    wanted = OrderIntent(
        order_id=order_id,
        tenant_id=house.id,
        account_id=house.account.id,
        venue=VENUE,
        instrument=SYMBOL,
        role=OrderRole.ENTRY,
        side=OrderSide.BUY,
        type=OrderType.MARKET,
        quantity=Decimal("0.5"),
        price=Decimal("40000.50"),
        trigger_price=None,
        client_order_id=client_order_id("tw", order_id, OrderRole.ENTRY),
        signal_id=subject.id,
        position_id=position_id(order_id),
        leverage=4,
        halt_epoch=0,
        expires_at=subject.expires_at,
    )
    return replace(wanted, **changes)


def entry(house: House, number: int = 0, **changes: Any) -> Order:
    """The entry order of the house on the `number`-th signal."""
    placed = Order(
        intent(house, number), OrderStatus.INTENDED, version=0, created_at=NOON + timedelta(minutes=5 * number)
    )
    return replace(placed, **changes)


def stop(house: House, number: int = 1) -> Order:
    """The `number`-th stop of the house's position on signal 0."""
    position = intent(house).position_id
    order_id = closing_order_id(position, OrderRole.STOP, number)
    wanted = intent(
        house,
        order_id=order_id,
        role=OrderRole.STOP,
        side=OrderSide.SELL,
        type=OrderType.STOP_MARKET,
        trigger_price=Decimal("39000.1"),
        client_order_id=client_order_id("tw", order_id, OrderRole.STOP),
    )
    return Order(wanted, OrderStatus.INTENDED, version=0, created_at=NOON + timedelta(seconds=number))


def fill(house: House, trade_id: str = "t1", number: int = 0, **changes: Any) -> Fill:
    """A fill of the house's entry on the `number`-th signal."""
    of = intent(house, number)
    executed = Fill(
        tenant_id=house.id,
        account_id=house.account.id,
        venue=VENUE,
        trade_id=trade_id,
        order_id=of.order_id,
        position_id=of.position_id,
        instrument=of.instrument,
        side=of.side,
        quantity=Decimal("0.2"),
        price=Decimal("40000.50"),
        fee=Decimal("4.00005"),
        fee_asset="USDT",
        is_maker=False,
        occurred_at=NOON + timedelta(seconds=3),
    )
    return replace(executed, **changes)


def funding(house: House, income_id: str = "f1", **changes: Any) -> Funding:
    """A funding payment on the house's position on signal 0."""
    paid = Funding(
        tenant_id=house.id,
        account_id=house.account.id,
        venue=VENUE,
        income_id=income_id,
        instrument=SYMBOL,
        position_id=intent(house).position_id,
        amount=Decimal("-0.81"),
        asset="USDT",
        occurred_at=NOON + timedelta(hours=4),
    )
    return replace(paid, **changes)


def position(house: House, number: int = 0, **changes: Any) -> Position:
    """The house's open position on the `number`-th signal."""
    of = intent(house, number)
    held = Position(
        id=of.position_id,
        tenant_id=house.id,
        account_id=house.account.id,
        venue=VENUE,
        instrument=SYMBOL,
        side=Side.LONG,
        strategy=STRATEGY,
        signal_id=of.signal_id,
        leverage=4,
        exits=signal(number).exits,
        quantity=Decimal("0.5"),
        opened_quantity=Decimal("0.5"),
        entry_price=Decimal(40000),
        best_price=Decimal(40000),
        fees=Decimal(10),
        opened_at=NOON + timedelta(minutes=5 * number),
    )
    return replace(held, **changes)


def closed(house: House, number: int, profit: int, at: datetime) -> Position:
    """A position of the house that was closed at `at` with `profit` after costs."""
    return position(
        house,
        number,
        quantity=Decimal(0),
        gross_profit=Decimal(profit) + 10,
        closed_at=at,
        opened_at=at - timedelta(hours=1),
    )


def cash_flow(house: House, income_id: str = "c1", **changes: Any) -> CashFlow:
    """A deposit of the house."""
    came = CashFlow(
        tenant_id=house.id,
        account_id=house.account.id,
        venue=VENUE,
        kind=FlowKind.TRANSFER,
        income_id=income_id,
        amount=Decimal("250.5"),
        asset="USDT",
        note="TRANSFER",
        occurred_at=NOON + timedelta(minutes=1),
    )
    return replace(came, **changes)


def statement(house: House, **changes: Any) -> KeptStatement:
    """The last comparison of the house's wallet, which agreed."""
    agreed = KeptStatement(house.account.id, "USDT", Decimal(10000), Decimal(10000), "", NOON, NOON)
    return replace(agreed, **changes)


def reviewed(house: House, number: int = 0, **changes: Any) -> Reviewed:
    """The review of the house's position on the `number`-th signal."""
    found = Review((BlunderLabel.LATE_EXIT, BlunderLabel.PREMATURE_EXIT), 50, Grade.MISTAKE)
    judged = Reviewed(
        tenant_id=house.id,
        account_id=house.account.id,
        position_id=intent(house, number).position_id,
        review=found,
        evidence=Evidence(entry_spread_bps=Decimal("1.25"), planned_hold=timedelta(hours=1)),
        closed_at=NOON + timedelta(minutes=number),
        reviewed_at=NOON + timedelta(hours=1),
    )
    return replace(judged, **changes)


def decision(house: House, number: int = 0, **changes: Any) -> Decision:
    """The house's refusal of the `number`-th signal."""
    subject = signal(number)
    refused = Decision(
        id=decision_id(house.id, house.account.id, subject.id),
        tenant_id=house.id,
        account_id=house.account.id,
        signal_id=subject.id,
        outcome=DecisionOutcome.VETOED,
        veto=Veto(Level.RULEBOOK, Rule.NOTIONAL_EXCEEDS_LIMIT, Decimal(1500), Decimal(1000), "USDT"),
        order_id=None,
        advice_id=None,
        inputs={"price": "40000.50", "ema": 0.1, "z": 1, "a": [1, 2]},
        occurred_at=subject.closed_at,
    )
    return replace(refused, **changes)


def parameter_version(house: House, number: int = 1, **changes: Any) -> ParameterVersion:
    """The house's `number`-th proposal for the one strategy."""
    proposed = ParameterVersion(
        tenant_id=house.id,
        strategy=STRATEGY,
        number=number,
        parameters={"fast": 5},
        digest="abcd1234",
        state=ParameterState.PROPOSED,
        proposed_by="ada",
        proposed_at=NOON,
        reason="a test",
    )
    return replace(proposed, **changes)


def furnish(world: World, house: House) -> None:
    """Put at least one row of the house into every table that belongs to tenants."""
    account = house.account.id
    now = NOON
    with world.store.unit_of_work(house.id) as uow:
        uow.accounts.save_credentials(account, "key-1", b"sealed", "…abcd")
        uow.accounts.save_balance(account, Decimal(10000), Decimal(10100), Decimal(9000), now)
        uow.orders.add(entry(house))
        uow.risk.add_reservation(entry(house).id, account, Reservation(Decimal(20000), Decimal(5000), Decimal(500)))
        uow.risk.symbol_cooldown(account, SYMBOL, now)
        uow.decisions.add(decision(house))
        uow.fills.add(fill(house))
        uow.fundings.add(funding(house))
        uow.positions.add(position(house))
        uow.cash_flows.add(cash_flow(house))
        uow.statements.keep(statement(house))
        uow.reviews.add(reviewed(house))
        uow.quarantine.add(account, SYMBOL, "v-9", None, "a stranger", now)
        uow.equity.snapshot(account, Decimal(10100), Decimal(10000), Decimal(100), Decimal(0), now)
        uow.audit.append("order", str(entry(house).id), {"to": "intended"}, now)
        uow.halts.add(HaltScope.TENANT, str(house.id), HaltMode.HALT_NEW, "a test", "tester", now)
        uow.parameters.add(parameter_version(house))
        uow.parameters.activate("another strategy", 1, "abcd1234", now)
        uow.flattenings.note(account, 1, now, ["1 BTC/USDT:USDT"], [], now)
        uow.tokens.add(house.id.bytes, house.id, "dashboard", ["read"], now)
        uow.jobs.add(
            Stage.PLACE, f"place:{house.id}", tenant_id=house.id, payload={}, now=now, correlation_id=signal().id
        )
        opened = uow.paper.open(account, "USDT", Decimal(1000))
        held = PaperPosition(SYMBOL, Decimal("0.1"), Decimal(40000), 4)
        uow.paper.save(
            replace(opened, positions=(held,)),
            orders=[paper_order()],
            fills=[
                PaperFill(2, 1, "c1", SYMBOL, OrderSide.BUY, Decimal("0.1"), Decimal(40000), Decimal(2), False, now)
            ],
            fundings=[PaperFunding(3, SYMBOL, Decimal("-0.1"), now)],
        )
        uow.commit()


def paper_order(number: int = 1, **changes: Any) -> PaperOrder:
    """A working order at the paper venue."""
    order = PaperOrder(
        number=number,
        client_order_id="c1",
        instrument=SYMBOL,
        side=OrderSide.BUY,
        type=OrderType.MARKET,
        quantity=Decimal("0.1"),
        price=Decimal(40000),
        trigger_price=None,
        reduce_only=False,
        leverage=4,
        status=OrderStatus.ACCEPTED,
        created_at=NOON,
    )
    return replace(order, **changes)
