"""The few instructions between fork and exec: become who the server must be, die with the parent, then run it.

Run as a file by `process.py` (`python -I -S child.py <options> -- <command>`), so it may import the standard library only, and
everything it needs is imported before it gives up its identity: afterwards its own interpreter may be out of reach.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
from pathlib import Path

NOT_STARTED = 125  # The exit status of a child that could not become what it was asked to be.

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1


class CannotBecome(Exception):
    """The kernel refused a step on the way to the command; the message names the step."""


def become_namespaced(uid: int, gid: int) -> None:
    """Seem to be `uid`:`gid` in a user namespace of our own while every file stays ours."""
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise CannotBecome(f"user namespace refused: {os.strerror(ctypes.get_errno())}")
    try:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {outside_uid} 1")
        _write("/proc/self/gid_map", f"{gid} {outside_gid} 1")
    except OSError as error:
        raise CannotBecome(f"user namespace refused its map: {error}") from error


def become_user(uid: int, gid: int) -> None:
    """Give up root for good."""
    try:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        raise CannotBecome(f"user {uid} refused: {error}") from error


def die_with(parent: int, signal_number: int) -> None:
    """Ask the kernel for `signal_number` when the parent ends; leave at once when it has ended already.

    Linux only; elsewhere a left-over server is found and stopped at the next start. It comes after the change of identity,
    because the kernel forgets the request when credentials change.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        raise CannotBecome(f"parent death signal refused: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        raise CannotBecome("the parent ended before its child began")


def _write(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="ascii")


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", type=int, required=True)
    parser.add_argument("--identity", choices=("own", "namespace", "user"), default="own")
    parser.add_argument("--uid", type=int, default=0)
    parser.add_argument("--gid", type=int, default=0)
    parser.add_argument("--directory")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Prepare this process and replace it with the command; returns only when that failed."""
    arguments = _arguments(argv)
    command = arguments.command[1:]
    try:
        if arguments.identity == "namespace":
            become_namespaced(arguments.uid, arguments.gid)
        elif arguments.identity == "user":
            become_user(arguments.uid, arguments.gid)
        die_with(arguments.parent, arguments.death_signal)
        if arguments.directory:
            os.chdir(arguments.directory)
        os.execvp(command[0], command)  # noqa: S606 - replacing this process is the whole point.
    except (CannotBecome, OSError) as error:
        sys.stderr.write(f"{command[0]} was not started: {error}\n")
    return NOT_STARTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
