"""Faults of the fleet's own processes: killed, stopped, restarted, out of files, out of disk."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chaos.crew import STAGES, Hand
from chaos.faults.kind import kind, wait_for
from chaos.world import World, patiently
from common.domain.errors import Transient

_READY_S = 20.0


@kind("kills", 1300, 1.5)
def worker_kill(world: World, dice: random.Random) -> str:
    """kill -9 of a worker of any stage."""
    hand = dice.choice(world.crew.of(dice.choice(STAGES)))
    return f"{hand.name} pid {world.crew.kill(hand)}"


@kind("kills", 700, 0.7)
def worker_child_kill(world: World, dice: random.Random) -> str:
    """kill -9 of a prefork child."""
    hand = dice.choice(world.crew.of("signal"))
    pid = world.crew.kill_child(hand)
    return f"child {pid} of {hand.name}" if pid else ""


@kind("crew", 80, 3.0)
def worker_stop(world: World, dice: random.Random) -> str:
    """SIGSTOP of a worker for some seconds, then SIGCONT."""
    hand = dice.choice(world.crew.of(dice.choice(STAGES)))
    seconds = dice.choice((0.5, 1.0, 2.0, 4.0))
    pids = world.crew.freeze(hand)
    time.sleep(seconds)
    world.crew.thaw(pids)
    return f"{hand.name} for {seconds:.1f} s"


@kind("deploy", 150, 12.0, outlasts=True)
def rolling_restart(world: World, dice: random.Random) -> str:
    """SIGTERM of a stage's workers one after another, each when the one before is ready, as a deployment does."""
    stage = dice.choice(STAGES)
    for hand in world.crew.of(stage):
        world.crew.retire([hand.name], 15.0)
        world.crew.recall([hand.name])
        wait_for(lambda process=hand.process: "ready." in process.tail(50), _READY_S)  # type: ignore[misc]
    return stage


@kind("crew", 60, 2.0)
def worker_out_of_files(world: World, dice: random.Random) -> str:
    """A worker may open no further file or connection for a while."""
    hand = dice.choice(world.crew.of(dice.choice(STAGES)))
    seconds = dice.uniform(0.5, 2.0)
    with _limited(hand, resource.RLIMIT_NOFILE, lambda pid: len(list(Path(f"/proc/{pid}/fd").iterdir()))) as limit:
        if limit is None:
            return ""
        time.sleep(seconds)
    return f"{hand.name} at {limit} files for {seconds:.1f} s"


@kind("crew", 60, 2.0)
def worker_disk_full(world: World, dice: random.Random) -> str:
    """A worker can write nothing more to its log for a while, nor to any longer file."""
    hand = dice.choice(world.crew.of(dice.choice(STAGES)))
    seconds = dice.uniform(0.5, 2.0)
    log = world.crew.logs / f"{hand.name}.log"
    with _limited(hand, resource.RLIMIT_FSIZE, lambda pid: log.stat().st_size) as limit:
        if limit is None:
            return ""
        time.sleep(seconds)
    return f"{hand.name} at {limit} bytes for {seconds:.1f} s"


@contextmanager
def _limited(hand: Hand, what: int, to: Callable[[int], int]) -> Iterator[int | None]:
    """Hold a process to a limit and give back what it had; None where the process is gone already."""
    pid = hand.process.pid
    try:
        soft, hard = resource.prlimit(pid, what)
        limit = to(pid)
        resource.prlimit(pid, what, (limit, hard))
    except (ProcessLookupError, FileNotFoundError):
        yield None
        return
    try:
        yield limit
    finally:
        with suppress(ProcessLookupError):  # Killed meanwhile, its limits have gone with it.
            resource.prlimit(pid, what, (soft, hard))


@kind("clocks", 34, 0.3)
def beat_kill(world: World, dice: random.Random) -> str:
    """kill -9 of one of the two beats."""
    hand = dice.choice(world.crew.of("beat"))
    return f"{hand.name} pid {world.crew.kill(hand)}"


@kind("clocks", 33, 0.3)
def beat_repeated(world: World, dice: random.Random) -> str:
    """The same ticks many times over, as two leaders would ring them."""
    from workers.app import app

    names = ["signal.schedule", "position.tick", "maintenance.relay", "maintenance.reconcile"]
    for name in names * dice.randint(2, 5):
        patiently(lambda name=name: _send(app, name), 5.0)  # type: ignore[misc]
    return ", ".join(names)


def _send(app: object, name: str) -> None:
    from kombu.exceptions import OperationalError

    try:
        app.send_task(name, queue="maintenance", expires=5, retry=False)  # type: ignore[attr-defined]
    except (OperationalError, OSError) as error:
        raise Transient(f"broker: {error}") from None


@kind("clocks", 33, 2.0)
def beats_silent(world: World, dice: random.Random) -> str:
    """Neither beat ticks for some seconds: both are stopped, and go on."""
    seconds = dice.uniform(1.0, 4.0)
    pids = [pid for hand in world.crew.of("beat") for pid in world.crew.freeze(hand)]
    time.sleep(seconds)
    world.crew.thaw(pids)
    return f"for {seconds:.1f} s"
