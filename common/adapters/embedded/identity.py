"""Whom Postgres, which refuses to be root, may be on this machine without opening anybody's folders."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from common.adapters.embedded.process import OWN, EmbeddedError, Identity

_PROBE_TIMEOUT_S = 20.0


def suitable_identity(directory: Path, program: Path) -> Identity:
    """The first identity under which `program` runs in `directory`; raises EmbeddedError when there is none.

    A named user other than root runs it as itself. Root, and a user without a name (initdb asks for one), tries a user
    namespace first: files stay ours and nothing is chowned. Where the kernel or a container forbids namespaces, root
    becomes nobody, or else the owner of the folders above, whoever can reach both the program and the folder.
    """
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return OWN
    refusals = []
    for identity in _candidates(directory):
        refusal = _refusal(identity, directory, program)
        if refusal is None:
            return identity
        refusals.append(refusal)
    raise EmbeddedError(
        f"Postgres refuses to run as root and found no other identity for {directory} ({'; '.join(refusals)}); "
        "run this as an ordinary user, or set TRADEWINDS_DATABASE_URL to a Postgres of yours"
    )


def _candidates(directory: Path) -> Iterator[Identity]:
    someone = _someone()
    if someone is not None:
        yield Identity("namespace", someone.pw_uid, someone.pw_gid)
    if os.geteuid() != 0:
        return
    if someone is not None:
        yield Identity("user", someone.pw_uid, someone.pw_gid)
    for folder in directory.resolve().parents:
        status = folder.stat()
        if status.st_uid != 0 and _has_name(status.st_uid):
            yield Identity("user", status.st_uid, status.st_gid)
            return


def _refusal(identity: Identity, directory: Path, program: Path) -> str | None:
    """Why `identity` cannot run `program` in `directory`, or None when it can."""
    if identity.kind == "user":
        directory.chmod(0o711)  # Our own folder: the user may pass through it to the data, and list nothing.
    probe = subprocess.run(
        identity.wrap([str(program), "--version"], signal.SIGKILL, directory),
        capture_output=True,
        text=True,
        check=False,
        timeout=_PROBE_TIMEOUT_S,
    )
    if probe.returncode == 0:
        return None
    return (
        f"as {identity.kind} {identity.uid}: {probe.stderr.strip().partition('not started: ')[2] or probe.returncode}"
    )


def _someone() -> pwd.struct_passwd | None:
    """Nobody, or else any named user that is not root."""
    users = sorted((user for user in pwd.getpwall() if user.pw_uid != 0), key=lambda user: user.pw_name != "nobody")
    return users[0] if users else None


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
