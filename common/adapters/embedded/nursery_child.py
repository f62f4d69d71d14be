"""The nursery itself: imports once, then forks a child for each request and tells its parent who was born and who ended.

Run by `nursery.py` as `python -m common.adapters.embedded.nursery_child SOCKET MODULE… [--later MODULE…]`. Messages are JSON, one a packet.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from common.adapters.embedded.child import NOT_STARTED, CannotBecome, die_with

MESSAGE_MAX = 1 << 18

LATER = "--later"

_PR_SET_NAME = 15


def serve(parent: socket.socket, later: list[str]) -> dict[str, Any] | None:
    """Fork for every request; returns in each child with its request, and in the nursery with None when the parent is gone.

    While nobody asks, the modules `later` are imported one by one.
    """
    bell, knocker = os.pipe()
    os.set_blocking(knocker, False)
    os.set_blocking(bell, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(knocker, warn_on_full_buffer=False)
    alive: set[int] = set()
    while True:
        ready, _, _ = select.select([parent.fileno(), bell], [], [], 0.0 if later else None)
        if not ready:
            _try_import(later.pop(0))
            continue
        if bell in ready:
            with suppress(BlockingIOError):
                os.read(bell, 4096)
            _tell_of_ends(parent, alive)
        if parent.fileno() not in ready:
            continue
        said = parent.recv(MESSAGE_MAX)
        if not said:
            return None
        request = json.loads(said)
        if "reap" in request:
            os.waitpid(request["reap"], 0)
            continue
        nursery = os.getpid()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(bell)
            os.close(knocker)
            parent.close()
            return {**request, "nursery": nursery}
        alive.add(pid)
        parent.send(json.dumps({"born": pid}).encode())


def _import(module: str) -> None:
    importlib.import_module(module)
    gc.collect()
    gc.freeze()  # What was imported is never garbage: collections in the children leave its pages shared.


def _try_import(module: str) -> None:
    """Import what only some need: who needs it will say what is wrong with it, and the others live on."""
    try:
        _import(module)
    except ImportError as error:
        sys.stderr.write(f"{module} is left to those who need it: {error}\n")


def _tell_of_ends(parent: socket.socket, alive: set[int]) -> None:
    """Tell of children that ended; they stay in the kernel's table until the parent has heard of it."""
    for pid in list(alive):
        gone = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if gone is not None:
            alive.discard(pid)
            status = gone.si_status if gone.si_code == os.CLD_EXITED else -gone.si_status
            parent.send(json.dumps({"ended": pid, "status": status}).encode())


def become(request: dict[str, Any]) -> None:
    """Be the child that was asked for, as if it had been started: its session, its log, its environment, its module."""
    os.setsid()
    die_with(request["nursery"], request["death_signal"])
    _take_streams(request["log"])
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NAME, request["name"].encode()[:15], 0, 0, 0)
    os.environ.clear()
    os.environ.update(request["env"])
    if request["directory"]:
        os.chdir(request["directory"])
    sys.argv = [request["module"], *request["arguments"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def _take_streams(log: str) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    os.close(out)
    os.close(nothing)


def main(arguments: list[str]) -> int:
    """Import, then serve; a child leaves `serve` and becomes what it was asked to be."""
    modules = arguments[1:]
    before = modules.index(LATER) if LATER in modules else len(modules)
    for module in modules[:before]:
        _import(module)
    with socket.socket(fileno=int(arguments[0])) as parent:
        request = serve(parent, modules[before + 1 :])
    if request is not None:
        try:
            become(request)
        except CannotBecome as error:
            sys.stderr.write(f"{request['name']} was not started: {error}\n")
            return NOT_STARTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
