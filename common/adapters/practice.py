"""Opens accounts at the practice venue, as a person would on a real venue's website."""

from __future__ import annotations

from decimal import Decimal

import httpx2

from common.domain.errors import Permanent, Transient
from common.ports.venue import Credentials


class PracticeDesk:
    """The simulator's own door for what no venue's protocol offers: opening an account with a balance."""

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        self._url, self._timeout_s = url.rstrip("/"), timeout_s

    def open_account(self, credentials: Credentials, balance: Decimal, personality: str = "") -> None:
        """Open the account of `credentials` with `balance` of the settle asset; opening it twice is harmless.

        Towards this account the venue behaves as `personality` says; as it does towards all, where that is empty.
        """
        body = {"api_key": credentials.key, "api_secret": credentials.secret, "balance": format(balance, "f")}
        body |= {"personality": personality} if personality else {}
        try:
            with httpx2.Client(timeout=self._timeout_s, trust_env=False) as client:
                answer = client.post(f"{self._url}/simulator/accounts", json=body)
        except httpx2.HTTPError as error:
            raise Transient(f"the practice venue at {self._url} does not answer: {type(error).__name__}") from None
        if answer.status_code >= 400:
            raise Permanent(f"the practice venue refused the account: {answer.status_code} {answer.text[:200]}")
