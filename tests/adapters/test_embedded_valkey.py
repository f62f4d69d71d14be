"""The embedded Valkey keeps its append-only file, whoever runs it and however it ended."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from common.adapters.embedded import EmbeddedError, EmbeddedValkey, ValkeyServer
from common.adapters.embedded import valkey as valkey_room
from common.adapters.embedded.home import HOST, ServerHome

PROJECT = Path(__file__).parents[2]

START_AND_WAIT = """
import sys, time
from pathlib import Path
from common.adapters.embedded import EmbeddedValkey
server = EmbeddedValkey(Path(sys.argv[1])).start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "valkey"


@pytest.fixture
def server(home: Path) -> Iterator[ValkeyServer]:
    with EmbeddedValkey(home).start() as started:
        yield started


@pytest.fixture
def parent(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that starts the server of `home` and tells its number."""
    command = [sys.executable, "-c", START_AND_WAIT, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as started:
        yield started
        started.kill()


def configured(server: ValkeyServer, name: str) -> str:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return str(client.config_get(name)[name])


def test_it_keeps_a_file_and_evicts_nothing(server: ValkeyServer) -> None:
    names = ("appendonly", "appendfsync", "save", "maxmemory-policy")
    assert [configured(server, name) for name in names] == ["yes", "everysec", "", "noeviction"]


def test_without_the_password_nobody_enters(server: ValkeyServer) -> None:
    with pytest.raises(redis.AuthenticationError), redis.Redis(host=HOST, port=server.port) as client:
        client.ping()


def test_its_password_is_private(server: ValkeyServer, home: Path) -> None:
    password = (home / "password").read_text()
    files = [home / "password", home / "valkey.conf"]
    assert [stat.filemode(path.stat().st_mode) for path in files] == ["-rw-------"] * 2
    assert password not in repr(server) + repr(server.address) + Path(f"/proc/{server.pid}/cmdline").read_text()


def test_what_was_written_survives_a_clean_stop(home: Path) -> None:
    with EmbeddedValkey(home).start() as server, redis.Redis.from_url(server.url) as client:
        client.set("kept", "yes")
    with EmbeddedValkey(home).start() as again, redis.Redis.from_url(again.url) as client:
        assert client.get("kept") == b"yes"


def test_what_was_synced_survives_kill_9(home: Path) -> None:
    server = EmbeddedValkey(home).start()
    with redis.Redis.from_url(server.url) as client:
        client.config_set("appendfsync", "always")
        client.set("kept", "yes")
    server.kill()
    with EmbeddedValkey(home).start() as again, redis.Redis.from_url(again.url) as client:
        assert client.get("kept") == b"yes"


def test_a_server_whose_parent_was_killed_is_replaced_with_nothing_lost(
    home: Path, parent: subprocess.Popen[str]
) -> None:
    orphan = int(parent.stdout.readline())  # type: ignore[union-attr]
    address = EmbeddedValkey(home).running()
    assert address is not None
    with redis.Redis.from_url(address.url) as client:
        client.set("kept", "yes")
    parent.kill()
    parent.wait()
    with EmbeddedValkey(home).start() as server, redis.Redis.from_url(server.url) as client:
        assert server.pid != orphan
        assert client.get("kept") == b"yes"


def test_a_folder_that_was_left_is_free_whoever_still_holds_a_copy_of_its_lock(home: Path) -> None:
    """As a child does, that another thread is just starting."""
    left = ServerHome(home)
    left.claim()
    assert left._lock is not None
    copy = os.dup(left._lock.fileno())
    left.release()
    again = ServerHome(home)
    again.claim()
    again.release()
    os.close(copy)


def test_a_folder_in_use_is_refused(server: ValkeyServer, home: Path) -> None:
    with pytest.raises(EmbeddedError, match=f"process {os.getpid()} is using"):
        EmbeddedValkey(home).start()
    assert server.alive


def test_another_process_finds_the_running_server(server: ValkeyServer, home: Path) -> None:
    assert EmbeddedValkey(home).running() == server.address


def test_a_stopped_server_is_not_found_running(home: Path) -> None:
    EmbeddedValkey(home).start().stop()
    assert EmbeddedValkey(home).running() is None


def test_a_port_taken_by_another_program_is_left_to_it(home: Path) -> None:
    first = EmbeddedValkey(home).start()
    first.stop()
    with socket.create_server((HOST, first.port)), EmbeddedValkey(home).start() as second:
        assert second.port != first.port


def test_an_unusual_path_is_no_hindrance(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / ("a 'quoted' \"name\" " * 8)).start() as server:
        assert server.alive


def test_a_machine_without_the_binary_reads_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EmbeddedError, match="TRADEWINDS_REDIS_URL"):
        valkey_room.find_binary()
