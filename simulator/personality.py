"""What differs from venue to venue, in one place: how ids are named, how long they are unique, how orders are acknowledged."""

from dataclasses import dataclass, replace

from simulator.errors import BadArguments


@dataclass(frozen=True, slots=True)
class Personality:
    """The rules of one kind of venue, which the order desk asks instead of knowing them.

    The wire protocol stays Binance USD-M's whatever the personality; what changes is behaviour: which field an id is
    read from (others are ignored, as venues ignore what they do not know), what a second use of an id meets, when an
    order is shown, and whether the refusal of an order has a code.
    """

    name: str
    client_id_field: str
    client_id_query_field: str  # empty: orders cannot be asked for by client id
    client_id_pattern: str
    id_uniqueness: str  # "open": among open orders only; "ever": also after their end; "none"
    acknowledgement: str  # "result": the answer shows fills; "ack": it only says that the order was taken
    triggered_order_keeps_client_id: bool
    forgets_unfilled_orders_after_ms: int
    forgets_orders_after_ms: int
    duplicate: tuple[int, str] = (-4116, "ClientOrderId is duplicated.")
    shows_orders_after_s: float = 0.0  # in life: how long an acknowledged order stays unseen
    tells_codes: bool = True


DAY_MS = 86_400_000

BINANCE_FUTURES = Personality(
    name="binance-futures",
    client_id_field="newClientOrderId",
    client_id_query_field="origClientOrderId",
    client_id_pattern=r"^[\.A-Z\:/a-z0-9_-]{1,36}$",
    id_uniqueness="open",
    acknowledgement="result",
    triggered_order_keeps_client_id=True,
    forgets_unfilled_orders_after_ms=3 * DAY_MS,
    forgets_orders_after_ms=90 * DAY_MS,
)
BINANCE_SPOT = replace(
    BINANCE_FUTURES,
    name="binance-spot",
    duplicate=(-2010, "Duplicate order sent."),
    forgets_unfilled_orders_after_ms=90 * DAY_MS,
)
BYBIT = replace(
    BINANCE_FUTURES,
    name="bybit",
    client_id_field="orderLinkId",
    client_id_query_field="orderLinkId",
    client_id_pattern=r"^[A-Za-z0-9_-]{1,36}$",
    id_uniqueness="ever",
    acknowledgement="ack",
    duplicate=(110072, "OrderLinkedID is duplicate"),
    shows_orders_after_s=0.05,
)
HYPERLIQUID = replace(
    BINANCE_FUTURES,
    name="hyperliquid",
    client_id_field="cloid",
    client_id_query_field="cloid",
    client_id_pattern=r"^0x[0-9a-f]{32}$",
    id_uniqueness="none",
    tells_codes=False,
)
COINBASE = replace(
    BINANCE_FUTURES,
    name="coinbase",
    client_id_field="client_order_id",
    client_id_query_field="",
    client_id_pattern=r"^[A-Za-z0-9_-]{1,128}$",
    id_uniqueness="none",
)
PERSONALITIES = {each.name: each for each in (BINANCE_FUTURES, BINANCE_SPOT, BYBIT, HYPERLIQUID, COINBASE)}


def personality(name: str) -> Personality:
    """The personality of that name."""
    if name not in PERSONALITIES:
        raise BadArguments(f"personality {name!r} is not known; known are {', '.join(PERSONALITIES)}")
    return PERSONALITIES[name]
