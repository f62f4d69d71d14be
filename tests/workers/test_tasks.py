"""Tasks are doorbells: they take ids or readable names, run what can be run, and keep what was refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import Celery

from common.domain.decision import DecisionOutcome
from common.domain.errors import NotFound, Permanent, Transient
from common.domain.job import JobState, Stage
from common.domain.market import InstrumentStatus
from common.domain.order import OrderRole, OrderStatus
from common.services.status import why
from common.services.tenants import subscribe
from common.settings import Settings
from tests.services.venue import SOL, VENUE
from tests.services.world import House, World


def ring(app: Celery, name: str, **kwargs: Any) -> UUID:
    """Let a task run as a worker would run its message; the task's id."""
    task_id = uuid4()
    app.tasks[name].apply(kwargs=kwargs, task_id=str(task_id), throw=True)
    return task_id


# --- Settings -------------------------------------------------------------------------------------------------------


def test_every_stage_has_a_task_that_ends_before_its_message_would_be_delivered_again(app: Celery) -> None:
    from workers.queues import VISIBILITY_TIMEOUT_S

    for stage in Stage:
        assert app.tasks[stage.value].time_limit < VISIBILITY_TIMEOUT_S


def test_every_task_of_ours_is_asked_to_end_before_it_is_ended(app: Celery) -> None:
    from workers.queues import VISIBILITY_TIMEOUT_S

    ours = [task for name, task in app.tasks.items() if not name.startswith("celery.")]
    assert len(ours) > len(Stage)
    assert [task.name for task in ours if not 0 < task.soft_time_limit < task.time_limit < VISIBILITY_TIMEOUT_S] == []


def test_every_task_goes_to_a_queue_that_somebody_works_on(app: Celery) -> None:
    from workers.queues import QUEUES, worker_options

    ours = [name for name in app.tasks if not name.startswith("celery.")]
    assert len(ours) > 10
    for name in ours:
        queue = app.amqp.router.route(app.tasks[name]._get_exec_options(), name)["queue"].name
        assert worker_options(queue)["queues"] == [queue]
        assert queue in QUEUES


def test_a_message_finds_the_queue_of_its_stage_by_its_name_alone(app: Celery) -> None:
    from workers.queues import STAGE_QUEUES

    for stage, queue in STAGE_QUEUES.items():
        assert app.amqp.router.route({}, stage.value)["queue"].name == queue.name


def test_a_worker_may_be_started_with_more_slots_and_not_for_a_stage_that_does_not_exist() -> None:
    from workers.queues import QUEUES, worker_options

    assert worker_options("risk", 9)["concurrency"] == 9
    assert worker_options("risk")["concurrency"] == QUEUES["risk"].concurrency
    with pytest.raises(NotFound, match="execution, llm, maintenance"):
        worker_options("cooking")


def test_messages_are_json_and_acknowledged_late_and_nothing_is_kept_of_results(tmp_path: Path) -> None:
    from workers.app import configuration

    told = configuration(Settings(home=tmp_path, redis_url="redis://example.org:1/0", redis_prefix="one"))
    assert (told["task_serializer"], told["accept_content"], told["result_backend"]) == ("json", ["json"], None)
    assert (told["task_acks_late"], told["task_reject_on_worker_lost"], told["worker_prefetch_multiplier"]) == (
        True,
        False,
        1,
    )
    assert told["broker_transport_options"]["global_keyprefix"] == "one:"
    assert told["broker_url"] == "redis://example.org:1/0"


def test_an_unknown_command_or_stage_ends_with_an_answer(app: Celery, capsys: pytest.CaptureFixture[str]) -> None:
    from workers.__main__ import main

    assert main(["worker", "cooking"]) == 2
    assert "there is: execution" in capsys.readouterr().err


# --- Doorbells ------------------------------------------------------------------------------------------------------


def test_a_message_of_ids_runs_every_job_it_names(fleet: World, app: Celery) -> None:
    houses = [fleet.settle_in(name) for name in ("harbour", "meridian")]
    fleet.announce()
    jobs = [[str(ref.id), str(ref.tenant_id)] for ref in fleet.bus.inbox]
    ring(app, "risk.evaluate", jobs=[*jobs, *jobs])
    decisions = [fleet.decision(house) for house in houses]
    assert [item.outcome for item in decisions if item] == [DecisionOutcome.APPROVED] * 2


def test_one_job_of_a_batch_that_fails_does_not_keep_the_others(fleet: World, app: Celery, house: House) -> None:
    fleet.announce()
    ref = fleet.take(Stage.EVALUATE)
    ring(app, "risk.evaluate", jobs=[[str(uuid4()), None], [str(ref.id), str(ref.tenant_id)]])
    assert fleet.decision(house) is not None


def test_readable_arguments_run_the_job_they_mean(fleet: World, app: Celery, house: House) -> None:
    signal = fleet.announce()
    ring(app, "risk.evaluate", tenant="harbour", signal=str(signal.id))
    order = fleet.entry(house)
    ring(app, "execution.place", tenant="harbour", order=order.intent.client_order_id)
    assert fleet.entry(house).status is OrderStatus.FILLED
    ring(app, "execution.settle", tenant="harbour", order=str(order.id))
    ring(app, "execution.cancel", tenant="harbour", order=str(order.id))
    ring(app, "signal.scan", venue=VENUE, instrument=SOL, timeframe="5m")
    states = {
        job.stage: job.state
        for stage in Stage
        for job in fleet.jobs(stage)
        if job.key.count("twe") or stage is Stage.SCAN
    }
    assert set(states.values()) == {JobState.DONE}
    assert len(states) == 4


def test_a_confirmation_can_be_asked_for_by_names(fleet: World, app: Celery) -> None:
    house = fleet.settle_in(advisor="default")
    signal = fleet.announce()
    ring(app, "llm.confirm", signal=str(signal.id), advisor="default")
    fleet.work()
    assert fleet.decision(house) is not None


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("risk.evaluate", {"tenant": "nobody", "signal": "x"}, "harbour"),
        ("risk.evaluate", {"tenat": "harbour"}, "risk.evaluate got an unexpected keyword argument 'tenat'"),
        ("risk.evaluate", {}, "missing 2 required positional arguments: 'tenant' and 'signal'"),
        ("signal.scan", {"venue": "elsewhere", "instrument": SOL, "timeframe": "5m"}, "practice"),
        ("llm.confirm", {"signal": "x", "advisor": "oracle"}, "default"),
        ("execution.place", {"tenant": "harbour", "order": "twx"}, "no order of tenant harbour"),
        ("execution.place", {"jobs": "harbour"}, "pairs of a job's id"),
        ("execution.place", {"jobs": [["not an id", None]]}, "pairs of a job's id"),
        ("execution.place", {"jobs": [[None, None]]}, "pairs of a job's id"),
    ],
)
def test_what_cannot_be_meant_is_kept_as_refused_under_the_tasks_id(
    fleet: World, app: Celery, house: House, name: str, arguments: dict[str, Any], reason: str
) -> None:
    task_id = ring(app, name, **arguments)
    [job] = why(fleet.fleet, str(task_id))["jobs"]
    assert (job["stage"], job["state"], job["payload"]) == (name, "failed", arguments)
    assert reason in job["outcome"]


# --- Ticks ----------------------------------------------------------------------------------------------------------


def test_ticks_do_what_they_are_named_for(fleet: World, app: Celery, house: House) -> None:
    fleet.enter(house)
    ring(app, "signal.schedule")
    assert len(fleet.bus.of(Stage.SCAN)) == 1
    fleet.clock.advance(2)
    ring(app, "maintenance.relay")
    assert len(fleet.bus.of(Stage.SCAN)) == 2
    ring(app, "maintenance.reconcile")
    ring(app, "maintenance.equity")
    ring(app, "maintenance.cash")
    ring(app, "maintenance.instruments")
    with fleet.store.unit_of_work(house.tenant.id) as uow:
        assert uow.equity.latest(house.account.id) is not None
        assert uow.cash_flows.opening(house.account.id) is not None
    fleet.move_price("97")
    fleet.visit(house)
    fleet.clock.advance(3600)
    ring(app, "maintenance.review")
    with fleet.store.unit_of_work(house.tenant.id) as uow:
        assert len(uow.reviews.of_tenant()) == 1


def test_the_tick_of_candidates_lets_subscriptions_follow_them(fleet: World, app: Celery, house: House) -> None:
    made = subscribe(fleet.fleet, *house.ids, strategy="confluence", timeframe="1h", instruments=["candidates:1"])
    with fleet.store.unit_of_work(None) as uow:
        listed = uow.instruments.list(VENUE)
        halted = [replace(item, status=InstrumentStatus.HALTED) for item in listed if item.symbol in made.instruments]
        uow.instruments.save(halted)
        uow.commit()
    ring(app, "maintenance.candidates")
    with fleet.store.unit_of_work(house.tenant.id) as uow:
        followed = next(item for item in uow.subscriptions.list() if item.id == made.id)
    assert len(followed.instruments) == 1
    assert followed.instruments != made.instruments


def test_an_account_is_visited_by_names_and_by_ids(fleet: World, app: Celery, house: House) -> None:
    fleet.enter(house)
    fleet.move_price("97")
    ring(app, "position.monitor", tenant="harbour")
    assert fleet.positions(house) == []
    tenant_id, account_id = house.ids
    ring(app, "position.visit", tenant_id=str(tenant_id), account_id=str(account_id))
    assert fleet.statuses(house, OrderRole.STOP) == [OrderStatus.FILLED]


def test_a_tick_rings_for_one_visit_per_account(fleet: World, app: Celery, house: House) -> None:
    fleet.settle_in("meridian")
    ring(app, "position.tick")
    with app.connection_for_read() as connection, connection.SimpleQueue("position") as queue:
        messages = [queue.get_nowait() for _ in range(2)]
        accounts = {message.payload[1]["account_id"] for message in messages}
        for message in messages:
            message.ack()
    assert str(house.account.id) in accounts
    assert len(accounts) == 2


@pytest.mark.parametrize("error", [Transient("the database is away"), Permanent("no such thing"), TypeError("defect")])
def test_a_tick_that_fails_leaves_the_rest_to_the_next_one(
    fleet: World, app: Celery, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("workers.maintenance.relay_jobs", fail)
    ring(app, "maintenance.relay")


# --- One fleet per process ------------------------------------------------------------------------------------------


def test_a_process_builds_its_fleet_once_and_a_child_its_own(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers import fleet as room

    built: list[object] = []

    def build(*_: object, **__: object) -> object:
        built.append(object())
        return built[-1]

    monkeypatch.setattr(room, "build_fleet", build)
    room.forget()
    first = room.current_fleet()
    assert room.current_fleet() is first
    room._owns[-1].pid = -1
    assert room.current_fleet() is not first
    assert len(built) == 2
    room.forget()


def test_a_worker_shows_that_it_is_alive(fleet: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers import heartbeat

    sign = tmp_path / "deep" / "alive"
    monkeypatch.setattr(heartbeat, "_heartbeat_file", lambda: sign)
    monkeypatch.setattr(heartbeat, "_names", [])
    heartbeat._on_heartbeat()
    assert sign.exists()
    heartbeat.start_heartbeat("risk@here-0")
    with fleet.store.operator() as view:
        assert [(beat.worker, beat.stage) for beat in view.heartbeats()] == [("risk@here-0", "risk")]


def test_a_worker_that_cannot_say_so_works_on(fleet: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers import heartbeat

    def refuse() -> None:
        raise Transient("no database")

    monkeypatch.setattr(heartbeat, "_names", ["risk@here-0"])
    monkeypatch.setattr(heartbeat, "current_fleet", refuse)
    heartbeat._on_heartbeat()
