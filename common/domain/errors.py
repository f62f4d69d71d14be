"""The failures of the fleet, typed by what to do next.

TradewindsError
├── Transient         try again later; nothing has happened
│   └── AskAgain      … and it is known when
├── Permanent         record and stop; trying again cannot help
│   ├── InvalidInput  names the field, the value and what would be accepted
│   ├── NotFound      names what was asked for and what exists
│   ├── Refused       a definite refusal by the other side, with its code
│   │   └── NotNow    … for a reason that passes: clocks differ, or too many requests
│   └── IllegalMove   a state machine was asked for a move its table does not hold
└── OutcomeUnknown    it may have happened; ask the venue before acting
"""

from __future__ import annotations

from collections.abc import Iterable


class TradewindsError(Exception):
    """Root of every error the fleet raises on purpose."""


class Transient(TradewindsError):
    """The attempt failed before it could have any effect; the same attempt may be made later."""


class AskAgain(Transient):
    """Nothing has happened, and trying again makes sense in `delay_s` seconds of life."""

    def __init__(self, message: str, delay_s: float) -> None:
        super().__init__(message)
        self.delay_s = delay_s


class Permanent(TradewindsError):
    """The attempt failed and will fail again; it is recorded and not repeated."""


class OutcomeUnknown(TradewindsError):
    """The request may have taken effect; only the other side can tell, and it must be asked before acting."""


class InvalidInput(Permanent):
    """A value from outside was refused: names the field, the value and what would be accepted."""

    def __init__(self, field: str, value: object, accepted: str) -> None:
        super().__init__(f"{field}: {value!r} is not accepted; expected {accepted}")
        self.field, self.value, self.accepted = field, value, accepted


class NotFound(Permanent):
    """Something was named that does not exist: says what kind, which name, and which names exist."""

    def __init__(self, kind: str, name: object, existing: Iterable[object] = ()) -> None:
        known = ", ".join(sorted(str(item) for item in existing))
        super().__init__(f"no {kind} {str(name)!r}" + (f"; there is: {known}" if known else ""))
        self.kind, self.name = kind, name


class Refused(Permanent):
    """The other side definitely refused: `code` is its own code, on the allow-list of definite refusals."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"refused with {code}: {message}")
        self.code, self.message = code, message


class NotNow(Refused):
    """Nothing was taken, for a reason that passes: a time stamp, or too many requests. The same wish may be made anew."""


class IllegalMove(Permanent):
    """A state machine was asked for a move that its table does not hold."""

    def __init__(self, noun: str, identity: object, source: object, destination: object) -> None:
        super().__init__(f"{noun} {identity} cannot go from {source} to {destination}")
        self.source, self.destination = source, destination
