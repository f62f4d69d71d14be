"""Turns what ccxt raises into what to do next; nothing of ccxt leaves this room, nor anything signed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from common.adapters.ccxt_venue.capabilities import Capability
from common.adapters.ccxt_venue.client import Exchange
from common.adapters.ccxt_venue.redaction import redact
from common.domain.errors import AskAgain, NotNow, OutcomeUnknown, Permanent, Refused, TradewindsError, Transient

T = TypeVar("T")


def told(row: Capability, last: Exchange | None) -> tuple[str, str]:
    """(code, text) of the venue's own refusal in its last answer; empty where there is none."""
    answer: Any = None if last is None else last.answer()
    if not isinstance(answer, dict) or not row.code_field:
        return "", ""
    nested = answer.get("error_response")
    answer = nested if isinstance(nested, dict) else answer
    code: Any = answer.get(row.code_field)
    if isinstance(code, list):
        code = code[0] if len(code) == 1 else None
    text = next((str(answer[name]) for name in ("msg", "retMsg", "message", "error_details") if answer.get(name)), "")
    return ("" if code in (None, "", 0, "0", "200", 200) else str(code)), text


def describe(last: Exchange | None, error: BaseException | None, code: str, text: str, secrets: Sequence[str]) -> str:
    """What happened, in words that hold no address query, no key and no signature."""
    where = "no request was sent" if last is None else f"{last.method} {last.path}"
    status = "" if last is None or last.status is None else f" answered {last.status}"
    said = f" {code} {text}".rstrip() if code or text else ""
    kind = f" ({type(error).__name__})" if error is not None else ""
    return redact(f"{where}{status}{said}{kind}", secrets)


def is_definite_refusal(row: Capability, last: Exchange | None, code: str, text: str) -> bool:
    """Whether the venue itself said, with a code on its allow-list, that it does not have this order."""
    if last is None or last.status is None or last.status >= 500 or last.status == 408:
        return False
    return code in row.refusal_codes and not row.is_duplicate(code, text)


def placing(row: Capability, client: Any, secrets: Sequence[str], send: Callable[[], T]) -> T:
    """What `send` returns; raises Refused for a definite refusal and OutcomeUnknown for everything else.

    The failure is built outside of the handler, so that no exception of ccxt hangs on ours as its context.
    """
    error: BaseException
    try:
        return send()
    except TradewindsError:
        raise
    except Exception as caught:  # noqa: BLE001 - whatever it is, the order may be at the venue.
        error = caught
    import ccxt

    last = client.tw_last
    code, text = told(row, last)
    message = describe(last, error, code, text, secrets)
    failure: TradewindsError
    is_untimely = isinstance(error, ccxt.InvalidNonce)
    if is_untimely:
        _set_clock(client)
    if is_definite_refusal(row, last, code, text):
        failure = (NotNow if is_untimely else Refused)(code, redact(text, secrets))
    elif last is None and isinstance(error, ccxt.BaseError):
        # No request was even begun: nothing has left this process, which is as definite as it gets.
        is_passing = isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded)
        failure = (NotNow if is_passing else Refused)("NOT_SENT", redact(f"{type(error).__name__}: {error}", secrets))
    else:
        failure = OutcomeUnknown(message)
    del error
    raise failure


def reading(row: Capability, client: Any, secrets: Sequence[str], ask: Callable[[], T]) -> T:
    """What `ask` returns; raises Transient when asking again may help, AskAgain where it is known when, else Permanent."""
    error: BaseException
    try:
        return ask()
    except TradewindsError:
        raise
    except Exception as caught:  # noqa: BLE001 - translated below, whatever it is.
        error = caught
    import ccxt

    code, text = told(row, client.tw_last)
    message = describe(client.tw_last, error, code, text, secrets)
    if client.tw_last is None and isinstance(error, ccxt.BaseError):
        message = redact(f"{type(error).__name__}: {error}", secrets)
    # Reads that can never succeed by asking again.
    hopeless = (ccxt.AuthenticationError, ccxt.NotSupported, ccxt.BadSymbol, ccxt.ArgumentsRequired, ccxt.BadRequest)
    is_untimely = isinstance(error, ccxt.InvalidNonce)
    if is_untimely:
        _set_clock(client)
    is_hopeless = isinstance(error, hopeless) and not is_untimely
    failure = Permanent(message) if is_hopeless else _passing(client, message)
    del error
    raise failure


def _passing(client: Any, message: str) -> Transient:
    held_s = client.tw_pacer.held_s if client.tw_pacer is not None else 0.0
    return AskAgain(message, held_s) if held_s > 0 else Transient(message)


def _set_clock(client: Any) -> None:
    """Read the venue's clock anew, where ours follows it: the next request must not be refused for the same reason."""
    refresh = getattr(client.tw_clock, "refresh", None)
    if refresh is not None:
        refresh()


def is_not_found(row: Capability, client: Any, error: BaseException) -> bool:
    """Whether the venue said that it does not know the order; evidence, never proof."""
    import ccxt

    code, _ = told(row, client.tw_last)
    return isinstance(error, ccxt.OrderNotFound) or code in ("-2013", "-2011")
