"""What the simulation found in the fleet, each kept from coming back."""

from __future__ import annotations

from decimal import Decimal

from common.domain.risk.context import Measure
from common.domain.risk.verdict import Level, Rule


def test_a_veto_holds_no_negative_zero_which_the_ledger_would_not_keep() -> None:
    measure = Measure(Decimal("-0.00"), Decimal(0), "USDT", is_crossed=True)
    veto = measure.veto(Level.SANITY, Rule.STOP_ON_WRONG_SIDE)
    assert str(veto.measured) == "0.00"
