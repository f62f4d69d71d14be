"""What the fleet says about itself: logs without secrets, bound to the work they are about, and numbers for Prometheus."""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from common.domain.errors import Transient
from common.domain.job import JobRef, Stage
from common.domain.signal import Signal
from common.ports.advisor import Advisor, AdvisorAnswer
from common.ports.bus import Bus
from common.settings import MASK, Settings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECRET_NAME = re.compile(
    r"(^|[_\-.\s])(secret|key|token|password|passwd|passphrase|signature|authorization|credentials?|cookie)($|[_\-.\s])"
    r"|api_?key|secret_?key|private_?key|listen_?key",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# What libraries write into messages: query strings, headers, addresses with a password.
_IN_TEXT = (
    (
        re.compile(
            r"\b(signature|api[_-]?key|api[_-]?secret|secret|listen[_-]?key|password|token)(=|%3D|[\"']?:\s*[\"'])"
            r"([^&\s\"',;)]+)",
            re.IGNORECASE,
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=\-]{6,}", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"(\w+://[^\s:/@]*):[^\s/@]+@"), rf"\1:{MASK}@"),
)
_SECRET_LENGTH_MIN = 6
_DEPTH_MAX = 8
_LOG_FILE_BYTES_MAX = 20_000_000
_LOG_FILES_KEPT = 5

# Libraries that write a line for each of their messages or requests; what matters of those, the stage helper logs.
_NOISY = (
    *("httpx", "httpcore", "httpx2", "ccxt", "openai", "urllib3", "asyncio", "kombu", "amqp", "alembic"),
    *("celery.beat", "celery.app.trace", "celery.worker.strategy", "celery.worker.request"),
)

_known_secrets: set[str] = set()


# --- Logs -----------------------------------------------------------------------------------------------------------


def register_secrets(secrets: Iterable[str]) -> None:
    """Mask these texts wherever they turn up in a log from now on, whatever the field is called."""
    for secret in secrets:
        if len(secret) >= _SECRET_LENGTH_MIN:
            _known_secrets.add(secret)


def redact_text(text: str) -> str:
    """`text` with registered secrets, signatures, tokens and passwords of addresses masked."""
    for secret in sorted(_known_secrets, key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, MASK)
    for pattern, replacement in _IN_TEXT:
        text = pattern.sub(replacement, text)
    return text


def redact(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor that stands last before rendering, so that nothing passes beside it."""
    del logger, method
    for name in list(event):
        event[name] = MASK if _names_a_secret(name) else _redacted(event[name], _DEPTH_MAX)
    return event


def _names_a_secret(name: object) -> bool:
    return isinstance(name, str) and bool(_SECRET_NAME.search(name) or _SECRET_NAME.search(_CAMEL.sub("_", name)))


def _redacted(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {
            redact_text(str(name)): MASK if _names_a_secret(name) else _redacted(item, depth - 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(item, depth - 1) for item in value]
    # Bytes, exceptions and foreign objects are rendered by their text, so it is their text that is looked at.
    return redact_text(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def configure_logging(settings: Settings, stream: TextIO | None = None, **context: str) -> None:
    """Send every log of this process, ours and libraries', to `stream` (stdout) and to the log file if one is set.

    `context` is bound to the whole process (`process="worker"`). May be called again after a fork.
    """
    register_secrets(settings.secrets())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _constant(context),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    target = stream if stream is not None else sys.stdout
    handlers: list[logging.Handler] = [logging.StreamHandler(target)]
    handlers[0].setFormatter(_formatter(shared, settings.log_format, colors=target.isatty()))
    if settings.log_file is not None:
        handlers.append(_rotating(settings.log_file))
        handlers[1].setFormatter(_formatter(shared, "json", colors=False))
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(settings.log_level.upper())
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


@contextmanager
def bound(**context: object) -> Iterator[None]:
    """Bind `context` (correlation_id, job, stage, tenant …) to every log written inside, in this thread or task."""
    with structlog.contextvars.bound_contextvars(
        **{name: str(value) for name, value in context.items() if value is not None}
    ):
        yield


def _constant(context: Mapping[str, str]) -> structlog.typing.Processor:
    def add(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        del logger, method
        for name, value in context.items():
            event.setdefault(name, value)
        return event

    return add


def _formatter(
    shared: Sequence[structlog.typing.Processor], kind: str, *, colors: bool
) -> structlog.stdlib.ProcessorFormatter:
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(sort_keys=True)
        if kind == "json"
        else structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=list(shared),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact,
            renderer,
        ],
    )


def _rotating(path: Path) -> logging.Handler:
    path.parent.mkdir(parents=True, exist_ok=True)
    return logging.handlers.RotatingFileHandler(
        path, maxBytes=_LOG_FILE_BYTES_MAX, backupCount=_LOG_FILES_KEPT, encoding="utf-8"
    )


# --- Numbers --------------------------------------------------------------------------------------------------------

_LIFE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The fleet's numbers; names start with `tradewinds_`. Counters count events of a process, gauges mirror the ledger."""

    registry: CollectorRegistry
    jobs: Counter
    stage_seconds: Histogram
    ring_errors: Counter
    queue_depth: Gauge
    queue_age_seconds: Gauge
    orders: Gauge
    vetoes: Gauge
    model_calls: Counter
    model_cost_usd: Counter
    model_seconds: Histogram
    fill_to_stop_seconds: Gauge
    naked_fills: Gauge
    account_gaps: Counter
    account_fills: Counter
    account_refill_seconds: Histogram

    def job(self, stage: str, outcome: str, seconds: float) -> None:
        """A ring of the doorbell of `stage` ended as `outcome` after `seconds` of life."""
        self.jobs.labels(stage, outcome).inc()
        self.stage_seconds.labels(stage).observe(seconds)

    def account_stream(self, what: str, label: str, number: float) -> None:
        """What a stream of an account came to: a `gap` by its cause, fills `booked` by venue, a gap `refilled`."""
        if what == "gap":
            self.account_gaps.labels(label).inc(number)
        elif what == "booked":
            self.account_fills.labels(label).inc(number)
        else:
            self.account_refill_seconds.observe(number)

    def ledger(self, status: Mapping[str, Any]) -> None:
        """Mirror what `fleet_status` counted: queues by stage, orders by status, vetoes by rule."""
        depths = {queue["stage"]: queue for queue in status.get("stages", ())}
        # A stage that was drained is no longer told of, and must not keep its last depth.
        for stage in Stage:
            queue = depths.get(stage.value, {"pending": 0, "oldest_age_s": 0})
            self.queue_depth.labels(stage.value).set(queue["pending"])
            self.queue_age_seconds.labels(stage.value).set(float(queue["oldest_age_s"]))
        protection = status.get("protection", {})
        for figure in ("p50", "p99", "max"):
            if protection.get(f"{figure}_s") is not None:
                self.fill_to_stop_seconds.labels(figure).set(protection[f"{figure}_s"])
        self.naked_fills.set(protection.get("late", 0))
        for state, count in status.get("orders", {}).items():
            self.orders.labels(state).set(count)
        for rule, count in status.get("vetoes", {}).items():
            self.vetoes.labels(rule).set(count)

    def exposition(self) -> tuple[bytes, str]:
        """The text Prometheus scrapes and its content type; with a metrics folder, of every process that shares it."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(_gathered(self.registry)), CONTENT_TYPE_LATEST

    def serve(self, port: int, host: str = "0.0.0.0") -> None:  # noqa: S104 - a container is scraped from outside.
        """Answer scrapes on `port` from a thread of this process."""
        from prometheus_client import start_http_server

        start_http_server(port, addr=host, registry=_gathered(self.registry))


def share_metrics(settings: Settings) -> None:
    """Share metrics through the metrics folder; must run before `metrics()` is first asked, and before any fork."""
    if settings.metrics_dir is not None:
        settings.metrics_dir.mkdir(parents=True, exist_ok=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(settings.metrics_dir.resolve())


def forget_process(pid: int) -> None:
    """Drop the gauges of a process that ended; its counters stay, because what was counted has happened."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]


@cache
def metrics() -> Metrics:
    """The metrics of this process. The library is loaded here, because it looks for the metrics folder when loaded."""
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()

    def counter(name: str, text: str, *labels: str) -> Counter:
        return Counter(f"tradewinds_{name}", text, labels, registry=registry)

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"tradewinds_{name}", text, labels, registry=registry, multiprocess_mode="mostrecent")

    def histogram(name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"tradewinds_{name}", text, labels, registry=registry, buckets=_LIFE_BUCKETS)

    return Metrics(
        registry=registry,
        jobs=counter("jobs", "Rings of the doorbell by what became of them", "stage", "outcome"),
        stage_seconds=histogram("stage_seconds", "Seconds from claim to commit", "stage"),
        ring_errors=counter("ring_errors", "Rings the broker did not take; the relay rings again"),
        queue_depth=gauge("queue_depth", "Jobs waiting", "stage"),
        queue_age_seconds=gauge("queue_oldest_age_seconds", "Age of the oldest waiting job", "stage"),
        orders=gauge("orders", "Orders in the ledger", "status"),
        vetoes=gauge("vetoes", "Refusals in the ledger", "rule"),
        model_calls=counter("model_calls", "Questions to the model by its answer", "profile", "verdict"),
        model_cost_usd=counter("model_cost_usd", "What the model's answers cost", "profile"),
        model_seconds=histogram("model_seconds", "Seconds the model took", "profile"),
        fill_to_stop_seconds=gauge(
            "fill_to_stop_seconds", "Seconds from an entry's fill to its acknowledged stop", "of"
        ),
        naked_fills=gauge("naked_fills", "Fills of entries that were naked for longer than the deadline"),
        account_gaps=counter("account_stream_gaps", "Times of which a venue may have kept something back", "cause"),
        account_fills=counter("account_stream_fills", "Fills that were booked because the venue told them", "venue"),
        account_refill_seconds=histogram(
            "account_stream_refill_seconds", "Seconds from a gap to the visit that fills it"
        ),
    )


def _gathered(registry: CollectorRegistry) -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return registry
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return shared


@dataclass(frozen=True, slots=True)
class ObservedBus:
    """A bus whose failures are counted."""

    bus: Bus

    def ring(self, refs: Sequence[JobRef]) -> None:
        """Ring, and count it when the broker cannot be reached."""
        try:
            self.bus.ring(refs)
        except Transient:
            metrics().ring_errors.inc()
            raise


@dataclass(frozen=True, slots=True)
class ObservedAdvisor:
    """An advisor whose answers, cost and latency are counted."""

    advisor: Advisor

    @property
    def profile(self) -> str:
        """Name of the profile."""
        return self.advisor.profile

    def ask(self, signal: Signal) -> AdvisorAnswer:
        """Ask, and count the answer."""
        answer = self.advisor.ask(signal)
        counted = metrics()
        counted.model_calls.labels(self.profile, str(answer.verdict)).inc()
        counted.model_cost_usd.labels(self.profile).inc(float(answer.cost_usd))
        counted.model_seconds.labels(self.profile).observe(answer.latency_ms / 1000)
        return answer
