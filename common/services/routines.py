"""Which use case handles the jobs of which stage."""

from __future__ import annotations

from collections.abc import Mapping

from common.domain.job import Stage
from common.services.confirm_signal import confirm_signal, give_up_confirmation, skip_confirmation
from common.services.evaluate_risk import evaluate_risk, record_failure
from common.services.place_order import give_up_placement, place_order
from common.services.scan_market import scan_market
from common.services.settle_order import cancel_order, settle_order
from common.services.stage import Routine

ROUTINES: Mapping[Stage, Routine] = {
    Stage.SCAN: Routine(scan_market),
    Stage.CONFIRM: Routine(confirm_signal, on_expired=skip_confirmation, on_failed=give_up_confirmation),
    Stage.EVALUATE: Routine(evaluate_risk, on_failed=record_failure),
    Stage.PLACE: Routine(place_order, on_failed=give_up_placement),
    Stage.SETTLE: Routine(settle_order, is_persistent=True),
    Stage.CANCEL: Routine(cancel_order, is_persistent=True),
}
