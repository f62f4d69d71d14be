"""The Celery application: a doorbell on Redis, with every setting chosen on measured evidence."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_init, worker_process_init, worker_ready

from beat_schedule import BEATS
from common.settings import Settings, read_settings
from workers.children import Children
from workers.listener import Listener
from workers.queues import STAGE_QUEUES, VISIBILITY_TIMEOUT_S
from workers.waker import Waker

TASK_MODULES = (
    "workers.signal",
    "workers.llm",
    "workers.risk",
    "workers.execution",
    "workers.position",
    "workers.maintenance",
    # Imported before the consumer is built: Celery's heart looks for its listeners only once.
    "workers.heartbeat",
)


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's settings for `settings`; the reason stands beside each choice that is not the default."""
    return {
        "broker_url": settings.redis_url or "redis://127.0.0.1:6379/0",
        # A worker outlives any outage of its broker; there is nothing better to do than to look again (workers/consumer.py).
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "worker_consumer": "workers.consumer:EagerConsumer",
        "broker_transport_options": {
            # After kill -9 a message comes back when this has passed; with kombu's default sweep it would take 98 s.
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "global_keyprefix": f"{settings.redis_prefix}:",
            # A frozen or vanished Redis must not block anybody for long: the relay rings again. A consumer waits for
            # messages a second at a time, so it is never cut off by this while Redis answers.
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "max_connections": settings.redis_pool_size,
        },
        # Messages are ids in JSON, nothing that could be executed; outcomes are in Postgres, not in Redis.
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "result_backend": None,
        # A task that dies is delivered again; the job row says whether there is anything left to do.
        "task_acks_late": True,
        # A poison task must not loop: the relay rings for what is still pending.
        "task_reject_on_worker_lost": False,
        # What runs when the broker goes away runs on (Celery 6 will cut it): a placement that left must be written down.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Whether a child that was killed had told its outcome is soon known; Celery would wait ten seconds.
        "worker_lost_wait": 0.5,
        # A child that is slow to start on a busy machine is not killed and forked again for it.
        "worker_proc_alive_timeout": 30.0,
        # What a slot does not work on is left for others; a long visit must not sit on the next one's message. With late
        # acknowledgement this already means that nothing is fetched ahead, so worker_disable_prefetch would add nothing.
        "worker_prefetch_multiplier": 1,
        # After a lost connection the window would open again only one finished task at a time.
        "worker_enable_prefetch_count_reduction": False,
        # SIGTERM: what runs may finish in this time, the rest goes back to the queue. Supervisors wait longer than that.
        "worker_soft_shutdown_timeout": 8.0,
        "worker_enable_soft_shutdown_on_idle": False,
        # Events cost a third of the throughput; Flower's workers page needs only the heartbeats.
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "task_create_missing_queues": True,
        "task_default_queue": "maintenance",
        "task_routes": {stage.value: {"queue": queue.name} for stage, queue in STAGE_QUEUES.items()}
        | {"position.*": {"queue": "position"}, "signal.*": {"queue": "signal"}, "execution.*": {"queue": "execution"}},
        "timezone": "UTC",
        "enable_utc": True,
        "beat_schedule": {beat.name: beat.entry() for beat in BEATS},
        "beat_scheduler": "workers.beat:FleetScheduler",
        "beat_max_loop_interval": 0.2,
        "imports": TASK_MODULES,
    }


settings = read_settings()
app = Celery("tradewinds")
app.conf.update(configuration(settings))
app.steps["worker"].add(Waker)
app.steps["worker"].add(Listener)
app.steps["worker"].add(Children)


@setup_logging.connect
def _log_as_the_fleet_does(**_: object) -> None:
    from common.telemetry import configure_logging

    configure_logging(read_settings())


@worker_init.connect
def _know_the_slots(sender: Any = None, **_: object) -> None:
    from workers.fleet import serve

    # Children of a prefork pool do one task at a time, each in a process of its own.
    is_threaded = "thread" in getattr(sender.pool_cls, "__module__", str(sender.pool_cls))
    serve(sender.concurrency if is_threaded else 1)


@worker_process_init.connect
def _start_afresh_in_the_child(**_: object) -> None:
    # Connections must not cross a fork.
    from workers.fleet import forget

    forget()


@worker_ready.connect
def _say_hello(sender: Any = None, **_: object) -> None:
    from workers.heartbeat import start_heartbeat

    start_heartbeat(str(getattr(sender, "hostname", "worker")))
