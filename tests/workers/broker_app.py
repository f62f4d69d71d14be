"""A Celery application with the fleet's own settings and tasks that only leave a mark; started as a process by tests."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

from common.settings import read_settings
from workers.app import configuration
from workers.children import Children
from workers.listener import Listener
from workers.waker import Waker

app = Celery("tradewinds")
app.conf.update(configuration(read_settings()) | {"imports": (), "beat_schedule": {}})
if not os.environ.get("WITHOUT_WAKER"):
    app.steps["worker"].add(Waker)
app.steps["worker"].add(Listener)
app.steps["worker"].add(Children)


@app.task(name="mark", queue="marks")
def mark(path: str, seconds: float = 0.0) -> None:
    """Say that it began, take so long, and leave a file."""
    Path(f"{path}.began").touch()
    time.sleep(seconds)
    Path(path).touch()
