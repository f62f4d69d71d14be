"""Time, ids and chance come through ports, so that every run can be repeated."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.source import Module, modules, report

REASON = (
    "A decision is replayed bit for bit, and a simulated fleet follows a virtual clock, only if nobody looks at the machine's "
    "clock or throws its dice: take `now` as an argument or ask the Clock and Ids ports. Only common/adapters and simulator may."
)
BANNED = (
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "uuid.uuid1",
    "uuid.uuid4",
    "random",
    "numpy.random",
    "secrets",
    "os.urandom",
)


def uses(module: Module) -> list[str]:
    """Each place where the module reads a clock or throws dice."""
    return [
        f"{module.path}:{line} {name}"
        for line, name in module.names_used()
        if any(name == banned or name.startswith(f"{banned}.") for banned in BANNED)
    ]


def test_only_adapters_and_the_simulator_know_the_time_and_throw_dice() -> None:
    watched = [
        module
        for module in modules("common", "workers", "api", "cli", "beat_schedule.py")
        if not module.is_in("common/adapters")
    ]
    offences = [use for module in watched for use in uses(module)]
    assert not offences, report(REASON, offences)


@pytest.mark.parametrize(
    "source",
    [
        "import datetime\ndatetime.datetime.now()",
        "import datetime as dt\ndt.datetime.now(dt.UTC)",
        "from datetime import datetime\ndatetime.utcnow()",
        "from datetime import datetime as clock\nread = clock.now",
        "from time import monotonic as tick\ntick()",
        "import time\ntime.time()",
        "import uuid\nuuid.uuid4()",
        "from random import choice\nchoice([1])",
        "import numpy as np\nnp.random.default_rng()",
        "import secrets\nsecrets.token_bytes()",
        "import os\nos.urandom(8)",
    ],
)
def test_the_look_out_sees_every_disguise(source: str) -> None:
    assert uses(Module("example.py", ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    ["import time\ntime.sleep(1)", "from datetime import datetime\ndatetime.fromisoformat('x')", "now = clock.now()"],
)
def test_the_look_out_lets_the_innocent_pass(source: str) -> None:
    assert not uses(Module("example.py", ast.parse(source)))
