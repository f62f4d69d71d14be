"""An advisor behind an endpoint that speaks the OpenAI chat protocol; whatever goes wrong there, it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from common.adapters.openai_advisor.answer import RATIONALE_LENGTH_MAX, Malformed, ModelAnswer, read_answer, schema
from common.adapters.openai_advisor.deadline import CutOff, DeadlineExceeded, within
from common.adapters.openai_advisor.models import StructuredMode, model_capability
from common.adapters.openai_advisor.prompts import clean, facts, prompt_profile, question
from common.domain.advice import AdviceVerdict, UnavailableCause
from common.domain.errors import InvalidInput
from common.domain.signal import Signal
from common.ports.advisor import AdvisorAnswer
from common.ports.clock import Clock

if TYPE_CHECKING:
    import openai

_RAW_LENGTH_MAX = 20_000
_CONNECT_TIMEOUT_S = 2.0
_BUSY = frozenset({402, 408, 409, 425, 429})


class Unusable(Exception):
    """There is no usable answer, because of `cause`; `detail` says more to a person."""

    def __init__(self, cause: UnavailableCause, detail: str, *, is_repairable: bool = False) -> None:
        super().__init__(detail)
        self.cause, self.detail, self.is_repairable = cause, detail, is_repairable


@dataclass(slots=True)
class Account:
    """What one question has used so far, over both attempts."""

    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: Decimal = Decimal(0)
    model: str = ""
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One signal, made ready to ask about."""

    signal: Signal
    text: str
    fact_ids: tuple[str, ...]
    messages: list[dict[str, str]] = field(default_factory=list)


class OpenAIAdvisor:
    """Asks one model about signals under one prompt profile; implements ports.advisor.Advisor, safe among threads.

    `deadline_s` is seconds of life for a question, its one repair included. Prompts hold market facts only: an advisor
    knows no tenant, so that one answer serves all of them.
    """

    def __init__(
        self,
        profile: str,
        base_url: str,
        api_key: str,
        model: str,
        clock: Clock,
        deadline_s: float = 8.0,
        structured_mode: StructuredMode | None = None,
        prompt: str = "balanced",
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        if deadline_s <= 0:
            raise InvalidInput("deadline_s", deadline_s, "a number of seconds above zero")
        self._profile, self._model, self._clock, self._deadline_s = profile, model, clock, deadline_s
        self._row = model_capability(model)
        self._mode = structured_mode or self._row.structured_mode
        self._prompt = prompt_profile(prompt)
        self._base_url, self._api_key, self._transport = base_url, api_key, transport
        self._client_made: openai.OpenAI | None = None
        self._lock = Lock()

    @property
    def profile(self) -> str:
        """Name of the profile."""
        return self._profile

    @property
    def prompt_version(self) -> str:
        """Version and digest of the prompt in force."""
        return self._prompt.version

    def ask(self, signal: Signal) -> AdvisorAnswer:
        """The model's answer on `signal` within the deadline; an unusable one is UNAVAILABLE with its cause."""
        # Loaded here, because only the model's own worker needs it, and before the deadline begins to run.
        import openai  # noqa: F401

        started = self._clock.monotonic()
        account = Account(model=self._model)
        text = question(signal)
        asked = Question(signal, text, tuple(fact["id"] for fact in facts(signal)), self._messages(text))
        try:
            answer = self._converse(asked, account, started)
        except Unusable as unusable:
            return self._unavailable(asked, account, started, unusable)
        return self._usable(asked, account, started, answer)

    def _messages(self, text: str) -> list[dict[str, str]]:
        return [{"role": "system", "content": self._prompt.system}, {"role": "user", "content": text}]

    def _converse(self, asked: Question, account: Account, started: float) -> ModelAnswer:
        """The answer, after at most one repair of a broken structure inside the same deadline."""
        try:
            return self._attempt(asked, asked.messages, account, started)
        except Unusable as unusable:
            if not unusable.is_repairable:
                raise
            fault = unusable.detail
        # Asked afresh: the broken answer is not shown again, for what it said must not argue for itself.
        repair = self._messages(question(asked.signal, correction=fault))
        return self._attempt(asked, repair, account, started)

    def _attempt(
        self, asked: Question, messages: list[dict[str, str]], account: Account, started: float
    ) -> ModelAnswer:
        remaining = self._deadline_s - (self._clock.monotonic() - started)
        if remaining <= 0:
            raise Unusable(UnavailableCause.TIMEOUT, "no time was left for a repair")
        completion = self._complete(asked, messages, remaining)
        self._book(completion, account)
        content = _content(completion)
        account.raw = content.replace("\x00", "")[:_RAW_LENGTH_MAX]
        try:
            answer = read_answer(content, asked.fact_ids)
        except Malformed as error:
            raise Unusable(UnavailableCause.MALFORMED, str(error), is_repairable=True) from None
        if answer.signal_id != str(asked.signal.id) or answer.symbol != asked.signal.instrument:
            raise Unusable(UnavailableCause.WRONG_SUBJECT, "the answer is about another signal or symbol")
        return answer

    def _complete(self, asked: Question, messages: list[dict[str, str]], remaining: float) -> Any:
        import openai

        timeout = httpx2.Timeout(remaining, connect=min(remaining, _CONNECT_TIMEOUT_S))
        request = self._request(asked) | {"messages": messages, "timeout": timeout}
        try:
            return within(remaining, lambda: self._client().chat.completions.create(**request))
        except (DeadlineExceeded, openai.APITimeoutError):
            raise Unusable(UnavailableCause.TIMEOUT, f"no answer within {self._deadline_s} s") from None
        except openai.APIStatusError as error:
            raise Unusable(_cause_of(error.status_code), f"the endpoint answered {error.status_code}") from None
        except openai.APIConnectionError:
            raise Unusable(UnavailableCause.UNREACHABLE, "the endpoint cannot be reached") from None
        except Exception as error:  # noqa: BLE001 - the library raises bare TypeErrors on odd bodies.
            raise Unusable(
                UnavailableCause.MALFORMED, f"the endpoint's answer broke the client: {type(error).__name__}"
            ) from None

    def _request(self, asked: Question) -> dict[str, Any]:
        request: dict[str, Any] = {"model": self._model, "max_tokens": self._row.output_tokens_max}
        if self._model.startswith(("gpt-5", "o")) and self._mode is StructuredMode.JSON_SCHEMA:
            request = {"model": self._model, "max_completion_tokens": self._row.output_tokens_max}
        if self._row.takes_temperature:
            request["temperature"] = 0
        if self._row.extra_body:
            request["extra_body"] = dict(self._row.extra_body)
        if self._mode is StructuredMode.JSON_OBJECT:
            request["response_format"] = {"type": "json_object"}
        if self._mode is StructuredMode.JSON_SCHEMA:
            wanted = schema(str(asked.signal.id), asked.signal.instrument, asked.fact_ids)
            held = {"name": "advice", "strict": True, "schema": wanted}
            request["response_format"] = {"type": "json_schema", "json_schema": held}
        return request

    def _client(self) -> openai.OpenAI:
        """Made at the first question, so that a process may fork between building the fleet and using it."""
        import openai

        with self._lock:
            if self._client_made is None:
                transport = self._transport or httpx2.HTTPTransport(proxy=_proxy(self._base_url))
                http = httpx2.Client(transport=CutOff(transport, self._clock), trust_env=False)
                self._client_made = openai.OpenAI(
                    api_key=self._api_key or "none", base_url=self._base_url, http_client=http, max_retries=0
                )
            return self._client_made

    def _book(self, completion: Any, account: Account) -> None:
        """Add what the endpoint says was used; an endpoint's own price is taken before ours."""
        account.model = str(getattr(completion, "model", None) or self._model)
        usage = getattr(completion, "usage", None)
        tokens_in, tokens_out = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        cached = _count(getattr(usage, "prompt_tokens_details", None), "cached_tokens")
        cached = cached or _count(usage, "prompt_cache_hit_tokens")
        account.tokens_in += tokens_in
        account.tokens_out += tokens_out
        told = _price(getattr(usage, "cost", None))
        own = self._row.cost(tokens_in, min(cached, tokens_in), tokens_out, self._clock.now())
        account.cost_usd += own if told is None else told

    def _usable(self, asked: Question, account: Account, started: float, answer: ModelAnswer) -> AdvisorAnswer:
        # A model that thinks it was told what to say has not judged the market.
        verdict = AdviceVerdict.ABSTAIN if answer.injection_suspected else AdviceVerdict(answer.verdict)
        return self._answer(
            asked, account, started,
            verdict=verdict, reason=answer.primary_reason, cause=None,
            p_target_first=Decimal(answer.p_target_first_bp) / 10_000,
            rationale=clean(answer.rationale, RATIONALE_LENGTH_MAX),
        )  # fmt: skip

    def _unavailable(self, asked: Question, account: Account, started: float, unusable: Unusable) -> AdvisorAnswer:
        return self._answer(
            asked, account, started,
            verdict=AdviceVerdict.UNAVAILABLE, reason=None, cause=unusable.cause, p_target_first=None,
            rationale=clean(unusable.detail, RATIONALE_LENGTH_MAX),
        )  # fmt: skip

    def _answer(self, asked: Question, account: Account, started: float, **judged: Any) -> AdvisorAnswer:
        return AdvisorAnswer(
            model=account.model,
            prompt=f"{self._prompt.system}\n\n{asked.text}",
            prompt_version=self._prompt.version,
            raw_answer=account.raw,
            latency_ms=round((self._clock.monotonic() - started) * 1000),
            tokens_in=account.tokens_in,
            tokens_out=account.tokens_out,
            cost_usd=account.cost_usd,
            **judged,
        )


def _content(completion: Any) -> str:
    """The text of a finished answer; raises Unusable for every way of not being one."""
    error = getattr(completion, "error", None)
    if error:
        code = error.get("code") if isinstance(error, Mapping) else None
        raise Unusable(_cause_of(code), f"the endpoint answered 200 with an error inside: {code}")
    choices = getattr(completion, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise Unusable(UnavailableCause.MALFORMED, "the answer holds no choice")
    choice, message = choices[0], getattr(choices[0], "message", None)
    finish = getattr(choice, "finish_reason", None)
    if finish == "content_filter" or getattr(message, "refusal", None):
        raise Unusable(UnavailableCause.REFUSED, "the model refused to answer")
    if finish != "stop":
        raise Unusable(UnavailableCause.MALFORMED, f"the answer ended with {finish!r} instead of stop")
    content = getattr(message, "content", None)
    if not isinstance(content, str) or not content.strip():
        raise Unusable(UnavailableCause.MALFORMED, "the answer is empty")
    return content


def _cause_of(status: object) -> UnavailableCause:
    """What a status means for us: busy or broken endpoints may answer later, the others refuse."""
    if not isinstance(status, int) or status in _BUSY or status >= 500:
        return UnavailableCause.UNREACHABLE
    return UnavailableCause.REFUSED


def _count(usage: object, name: str) -> int:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) and value > 0 else 0


def _price(value: object) -> Decimal | None:
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        return None
    return price if price.is_finite() and price >= 0 else None


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for `url`; this machine is always reached directly."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127.") or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)
