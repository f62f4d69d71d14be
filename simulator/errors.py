"""The venue's refusals, with Binance's codes and texts."""


class VenueError(Exception):
    """A refusal that the venue answers as JSON `{"code", "msg"}` with an HTTP status."""

    def __init__(self, code: int, msg: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{code} {msg}")
        self.code = code
        self.msg = msg
        self.status = status
        self.headers = headers or {}


class StateMismatch(Exception):
    """The state folder belongs to another market; starting on it would tear prices from the orders made on them."""


class BadArguments(Exception):
    """An argument of the program is wrong; the text names field, value and what is accepted."""


TEXTS = {
    -1003: "Too many requests; current limit of IP(127.0.0.1) is {limit} requests per minute.",
    -1015: "Too many new orders; current limit is {limit} orders per {window}.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1022: "Signature for this request is not valid.",
    -1100: "Illegal characters found in parameter '{name}'; legal range is '{legal}'.",
    -1102: "Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
    -1106: "Parameter '{name}' sent when not required.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -1120: "Invalid interval.",
    -1121: "Invalid symbol.",
    -1125: "This listenKey does not exist.",
    -1130: "Data sent for parameter '{name}' is not valid.",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2018: "Balance is insufficient.",
    -2019: "Margin is insufficient.",
    -2021: "Order would immediately trigger.",
    -2022: "ReduceOnly Order is rejected.",
    -2027: "Exceeded the maximum allowable position at current leverage.",
    -4003: "Quantity less than or equal to zero.",
    -4005: "Quantity greater than max quantity.",
    -4014: "Price not increased by tick size.",
    -4015: "Client order id is not valid.",
    -4016: "Limit price can't be higher than {limit}.",
    -4024: "Limit price can't be lower than {limit}.",
    -4028: "Leverage {leverage} is not valid",
    -4045: "Reach max stop order limit.",
    -4046: "No need to change margin type.",
    -4059: "No need to change position side.",
    -4061: "Order's position side does not match user's setting.",
    -4108: "This contract is currently not open for trading.",
    -4116: "ClientOrderId is duplicated.",
    -4130: "An open stop or take profit order with closePosition in the direction is existing.",
    -4137: "The quantity must be zero with closePosition equals true.",
    -4164: "Order's notional must be no smaller than {limit} (unless you choose reduce only).",
    -4168: "Unable to adjust to isolated-margin mode under the Multi-Assets mode.",
    -5021: "Due to the order could not be filled immediately, the FOK order has been rejected.",
    -5022: "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    -5027: "No need to modify the order.",
}


def refuse(code: int, **values: object) -> VenueError:
    """The refusal for a code, with its text filled in; key and signature refusals answer 401, the rest 400."""
    status = 401 if code in (-2014, -2015) else 400
    return VenueError(code, TEXTS[code].format(**values), status)


def rejected_filter(name: str) -> VenueError:
    """A price or size outside the symbol's filter."""
    return VenueError(-1013, f"Filter failure: {name}")
