"""Counsel: answers a model gave once, so that a backtest is judged with the very advice that the fleet had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from common.domain.advice import Advice, AdviceVerdict, AdvisorFallback
from common.domain.risk.book import Book


@dataclass(frozen=True, slots=True)
class Counsel:
    """Recorded answers by signal, heard as those of an advisor that the account requires.

    A signal without an answer is judged as one of which the model had none to give: it waits, unless `on_unavailable`
    says that the technical signal is enough.
    """

    answers: Mapping[UUID, Advice]
    on_unavailable: AdvisorFallback = AdvisorFallback.WAIT

    def confirms(self, signal: UUID) -> bool:
        """Whether the answer is one that no rule of the advice level can object to."""
        advice = self.answers.get(signal)
        return advice is not None and advice.verdict is AdviceVerdict.CONFIRM

    def required(self, book: Book) -> Book:
        """`book` of an account that wants its entries confirmed."""
        return replace(book, advisor_required=True, on_advisor_unavailable=self.on_unavailable)
