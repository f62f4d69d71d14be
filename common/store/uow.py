"""The unit of work: nothing is kept unless we say so, and nothing is rung unless it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import Self
from uuid import UUID

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from common.domain.errors import Permanent
from common.domain.job import JobRef
from common.store.accounting import CashFlows, Recent, Reviews, Statements
from common.store.audit import Audit
from common.store.capability_records import CapabilityRecords
from common.store.errors import translated, translated_commit
from common.store.flattenings import Flattenings
from common.store.halts import Halts
from common.store.jobs import Jobs
from common.store.ledger import Decisions, Fills, Fundings, Orders, Positions
from common.store.market import AdviceGiven, Candles, Instruments, Leavings, Signals
from common.store.paper import PaperBook
from common.store.parameters import ParameterVersions
from common.store.retention import prune
from common.store.risk import Risk
from common.store.session import Session
from common.store.snapshots import Snapshots
from common.store.sources import Candidates, Coins, Moods, PriceFindings
from common.store.tenants import Accounts, Subscriptions, Tenants
from common.store.watch import Equity, Heartbeats, Quarantine, Tokens


class UnitOfWork:
    """One transaction as one tenant, or as nobody; leaving it without `commit` keeps nothing."""

    def __init__(self, engine: Engine, tenant_id: UUID | None, months: set[tuple[int, int]]) -> None:
        self.tenant_id = tenant_id
        self._engine = engine
        self._months = months
        self._session: Session | None = None

    def __enter__(self) -> Self:
        try:
            self._session = Session(self._engine.connect(), self.tenant_id)
        except (SQLAlchemyError, psycopg.Error) as error:
            raise translated(error) from error
        if self.tenant_id is not None:
            try:
                self._session.first(
                    "SELECT set_config('app.tenant_id', :tenant, true)", {"tenant": str(self.tenant_id)}
                )
            except BaseException:
                self._end()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.end()

    @property
    def session(self) -> Session:
        """The open transaction; raises Permanent outside of the block and after the commit."""
        if self._session is None:
            raise Permanent("this unit of work has ended")
        return self._session

    def commit(self) -> list[JobRef]:
        """Keep everything, and end; returns the new jobs that may be rung.

        Raises Transient or Permanent when nothing was kept, OutcomeUnknown when the answer to COMMIT was lost.
        """
        refs = self.jobs.flush()
        self.audit.flush()
        try:
            self.session.connection.commit()
        except SQLAlchemyError as error:
            raise translated_commit(error) from error
        self._months |= self.candles.prepared
        self._end()
        return refs

    def prune(self, cutoffs: Mapping[str, datetime]) -> dict[str, int]:
        """Forget what is older than its cutoff; see `retention`."""
        return prune(self.session, cutoffs)

    @cached_property
    def jobs(self) -> Jobs:
        """Work handed over between stages."""
        return Jobs(self.session)

    @cached_property
    def instruments(self) -> Instruments:
        """What can be traded."""
        return Instruments(self.session)

    @cached_property
    def candles(self) -> Candles:
        """Closed candles."""
        return Candles(self.session, self._months)

    @cached_property
    def snapshots(self) -> Snapshots:
        """What markets looked like when candles closed."""
        return Snapshots(self.session)

    @cached_property
    def candidates(self) -> Candidates:
        """What is worth looking at."""
        return Candidates(self.session)

    @cached_property
    def coins(self) -> Coins:
        """Coins as aggregators see them."""
        return Coins(self.session)

    @cached_property
    def moods(self) -> Moods:
        """The fear-and-greed index."""
        return Moods(self.session)

    @cached_property
    def price_findings(self) -> PriceFindings:
        """Prices in doubt."""
        return PriceFindings(self.session)

    @cached_property
    def signals(self) -> Signals:
        """What strategies said."""
        return Signals(self.session)

    @cached_property
    def leavings(self) -> Leavings:
        """When strategies want their positions left."""
        return Leavings(self.session)

    @cached_property
    def advice(self) -> AdviceGiven:
        """What models said."""
        return AdviceGiven(self.session)

    @cached_property
    def tenants(self) -> Tenants:
        """Who trades here."""
        return Tenants(self.session)

    @cached_property
    def accounts(self) -> Accounts:
        """Where the tenant trades."""
        return Accounts(self.session)

    @cached_property
    def subscriptions(self) -> Subscriptions:
        """What tenants want to trade."""
        return Subscriptions(self.session)

    @cached_property
    def parameters(self) -> ParameterVersions:
        """With which parameters."""
        return ParameterVersions(self.session)

    @cached_property
    def risk(self) -> Risk:
        """What counts against the tenant's limits."""
        return Risk(self.session)

    @cached_property
    def halts(self) -> Halts:
        """What must not be traded now."""
        return Halts(self.session)

    @cached_property
    def flattenings(self) -> Flattenings:
        """How far closing everything has come."""
        return Flattenings(self.session)

    @cached_property
    def capability_records(self) -> CapabilityRecords:
        """What probes found out about venues."""
        return CapabilityRecords(self.session)

    @cached_property
    def decisions(self) -> Decisions:
        """What became of signals."""
        return Decisions(self.session)

    @cached_property
    def orders(self) -> Orders:
        """What was asked of venues."""
        return Orders(self.session)

    @cached_property
    def fills(self) -> Fills:
        """What venues did."""
        return Fills(self.session)

    @cached_property
    def fundings(self) -> Fundings:
        """What holding cost."""
        return Fundings(self.session)

    @cached_property
    def positions(self) -> Positions:
        """What is and was held."""
        return Positions(self.session)

    @cached_property
    def recent(self) -> Recent:
        """What was closed last."""
        return Recent(self.session)

    @cached_property
    def cash_flows(self) -> CashFlows:
        """What moved wallets beside trading."""
        return CashFlows(self.session)

    @cached_property
    def statements(self) -> Statements:
        """Whether wallets hold what our book says."""
        return Statements(self.session)

    @cached_property
    def reviews(self) -> Reviews:
        """What was wrong with closed positions."""
        return Reviews(self.session)

    @cached_property
    def quarantine(self) -> Quarantine:
        """Orders of strangers."""
        return Quarantine(self.session)

    @cached_property
    def equity(self) -> Equity:
        """What accounts were worth."""
        return Equity(self.session)

    @cached_property
    def audit(self) -> Audit:
        """The chain of what happened."""
        return Audit(self.session)

    @cached_property
    def tokens(self) -> Tokens:
        """Who may ask the API."""
        return Tokens(self.session)

    @cached_property
    def heartbeats(self) -> Heartbeats:
        """Which workers live."""
        return Heartbeats(self.session)

    @cached_property
    def paper(self) -> PaperBook:
        """The paper venue's own book."""
        return PaperBook(self.session)
