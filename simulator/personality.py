"""What differs from venue to venue, in one place: how ids are named, how long they are unique, how orders are acknowledged."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Personality:
    """The rules of one kind of venue, which the order desk asks instead of knowing them."""

    name: str
    client_id_field: str
    client_id_query_field: str
    client_id_pattern: str
    id_unique_among_open_orders_only: bool
    acknowledgement: str  # "result": the answer shows fills; "ack": it only says that the order was taken
    triggered_order_keeps_client_id: bool
    forgets_unfilled_orders_after_ms: int
    forgets_orders_after_ms: int


DAY_MS = 86_400_000

BINANCE_FUTURES = Personality(
    name="binance-futures",
    client_id_field="newClientOrderId",
    client_id_query_field="origClientOrderId",
    client_id_pattern=r"^[\.A-Z\:/a-z0-9_-]{1,36}$",
    id_unique_among_open_orders_only=True,
    acknowledgement="result",
    triggered_order_keeps_client_id=True,
    forgets_unfilled_orders_after_ms=3 * DAY_MS,
    forgets_orders_after_ms=90 * DAY_MS,
)
