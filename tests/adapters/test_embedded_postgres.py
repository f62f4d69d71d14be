"""The embedded Postgres keeps what it committed, whoever runs it and however it ended."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from common.adapters.embedded import EmbeddedError, EmbeddedPostgres, Identity, PostgresServer
from common.adapters.embedded import identity as identities
from common.adapters.embedded import postgres as postgres_room
from common.adapters.embedded.home import HOST, ServerHome

PROJECT = Path(__file__).parents[2]

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")

START_AND_WAIT = """
import sys, time
from pathlib import Path
from common.adapters.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), durable=False).start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


@pytest.fixture
def server(home: Path) -> Iterator[PostgresServer]:
    with EmbeddedPostgres(home, durable=False).start() as started:
        yield started


@pytest.fixture
def parent(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that starts the server of `home` and tells its number."""
    command = [sys.executable, "-c", START_AND_WAIT, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as started:
        yield started
        started.kill()


def ask(url: str, question: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(question.encode()).fetchone()
    return row and row[0]


def keep_rows(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create table kept as select generate_series(1, 1000) as number")


def count_rows(server: PostgresServer) -> object:
    return ask(server.url_superuser, "select count(*) from kept")


def mode(path: Path) -> str:
    return stat.filemode(path.stat().st_mode)


def test_it_is_postgres_18_in_utc(server: PostgresServer) -> None:
    assert str(ask(server.url_superuser, "show server_version")).startswith("18.")
    assert ask(server.url_superuser, "show timezone") == "UTC"
    assert server.alive


def test_without_the_password_nobody_enters(server: PostgresServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.dsn("postgres", "guess", "postgres"))


def test_its_secrets_are_readable_for_the_owner_alone(server: PostgresServer, home: Path) -> None:
    assert mode(home / "password") == "-rw-------"
    assert mode(home / "data") == "drwx------"
    assert (home / "password").read_text() not in repr(server) + repr(server.address)
    assert not (home / "initial-password").exists()


def test_its_password_is_in_no_command_line(server: PostgresServer, home: Path) -> None:
    shown = Path(f"/proc/{server.pid}/cmdline").read_text()
    assert (home / "password").read_text() not in shown


def test_it_may_be_reached_by_a_socket_where_its_path_is_short_enough(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="tw-") as folder:
        Path(folder).chmod(0o755)
        with EmbeddedPostgres(Path(folder) / "p", durable=False, by_socket=True).start() as server:
            assert ask(server.url_superuser, "select inet_server_port() is null") is True
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(server.dsn("postgres", "guess", "postgres"))
    deep = tmp_path / ("x" * 90)
    with EmbeddedPostgres(deep, durable=False, by_socket=True).start() as server:
        assert ask(server.url_superuser, "select inet_server_port()") == server.port


def test_kill_9_loses_nothing_that_was_committed(home: Path) -> None:
    server = EmbeddedPostgres(home).start()
    keep_rows(server.url_superuser)
    server.kill()
    with EmbeddedPostgres(home).start() as again:
        assert count_rows(again) == 1000
        assert ask(again.url_superuser, "show fsync") == "on"


def test_a_server_whose_parent_was_killed_is_replaced_with_nothing_lost(
    home: Path, parent: subprocess.Popen[str]
) -> None:
    orphan = int(parent.stdout.readline())  # type: ignore[union-attr]
    address = EmbeddedPostgres(home).running()
    assert address is not None
    assert address.pid == orphan
    keep_rows(address.url_superuser)
    parent.kill()
    parent.wait()
    with EmbeddedPostgres(home, durable=False).start() as server:
        assert server.pid != orphan
        assert count_rows(server) == 1000


def test_a_folder_in_use_is_refused_with_the_number_of_its_user(server: PostgresServer, home: Path) -> None:
    with pytest.raises(EmbeddedError, match=f"process {os.getpid()} is using"):
        EmbeddedPostgres(home).start()
    assert server.alive


def test_another_process_finds_the_running_server(server: PostgresServer, home: Path) -> None:
    assert EmbeddedPostgres(home).running() == server.address


def test_a_stopped_server_is_not_found_running(home: Path) -> None:
    EmbeddedPostgres(home, durable=False).start().stop()
    assert EmbeddedPostgres(home).running() is None


def test_a_pid_file_that_names_a_stranger_does_not_hinder_the_start(home: Path) -> None:
    EmbeddedPostgres(home, durable=False).start().stop()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (home / "data" / "postmaster.pid").write_text(f"{stranger.pid}\n{home / 'data'}\n0\n1\n\n{HOST}\n")
    with EmbeddedPostgres(home, durable=False).start() as server:
        assert server.alive
        assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_the_port_is_remembered(home: Path) -> None:
    first = EmbeddedPostgres(home, durable=False).start()
    first.stop()
    with EmbeddedPostgres(home, durable=False).start() as second:
        assert second.port == first.port


def test_a_port_taken_by_another_program_is_left_to_it(home: Path) -> None:
    first = EmbeddedPostgres(home, durable=False).start()
    first.stop()
    with socket.create_server((HOST, first.port)), EmbeddedPostgres(home, durable=False).start() as second:
        assert second.port != first.port
        assert ask(second.url_superuser, "select 1") == 1


def test_a_port_taken_between_the_look_and_the_start_is_left_to_its_taker(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taker = socket.create_server((HOST, 0))
    taken, looks = taker.getsockname()[1], []
    honest = ServerHome.port

    def port(self: ServerHome) -> int:
        looks.append(self)
        return taken if len(looks) == 1 else honest(self)

    monkeypatch.setattr(ServerHome, "port", port)
    with taker, EmbeddedPostgres(home, durable=False).start() as server:
        assert server.port != taken


def test_a_start_killed_while_it_made_the_data_is_made_good(home: Path) -> None:
    half = home / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(home, durable=False).start() as server:
        assert ask(server.url_superuser, "select 1") == 1


def test_a_path_too_long_for_a_socket_is_no_hindrance(tmp_path: Path) -> None:
    deep = tmp_path / ("long name " * 12) / ("and longer" * 12)
    with EmbeddedPostgres(deep, durable=False).start() as server:
        assert ask(server.url_superuser, "select 1") == 1


def test_a_folder_that_nobody_else_may_enter_is_no_hindrance(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with EmbeddedPostgres(tmp_path / "private" / "postgres", durable=False).start() as server:
        assert ask(server.url_superuser, "select 1") == 1
    assert mode(tmp_path) == "drwx------"


@pytest.fixture
def open_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that nobody can reach, on a machine that forbids user namespaces."""
    nobody = Identity("user", 65534, 65534)
    monkeypatch.setattr(identities, "_candidates", lambda _: [nobody])
    with tempfile.TemporaryDirectory() as folder:
        refusal = identities._refusal(nobody, Path(folder), postgres_room.find_binaries() / "postgres")
        if refusal is not None:
            pytest.skip(f"nobody cannot reach this clone or its temporary folder: {refusal}")
        yield Path(folder)


@only_root
def test_where_namespaces_are_forbidden_root_becomes_nobody(open_home: Path) -> None:
    with EmbeddedPostgres(open_home, durable=False).start() as server:
        assert Path(f"/proc/{server.pid}").stat().st_uid == 65534
        assert ask(server.url_superuser, "select 1") == 1
    assert mode(open_home / "password") == "-rw-------"


@only_root
def test_data_is_handed_over_when_the_identity_changes(home: Path) -> None:
    EmbeddedPostgres(home, durable=False).start().stop()
    data = home / "data"
    postgres_room._give(data, Identity("user", 65534, 65534))
    assert data.stat().st_uid == (data / "PG_VERSION").stat().st_uid == 65534
    with EmbeddedPostgres(home, durable=False).start() as server:
        assert ask(server.url_superuser, "select 1") == 1


@only_root
def test_where_no_identity_is_left_root_reads_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.parent.chmod(0o700)
    monkeypatch.setattr(identities, "_candidates", lambda _: [Identity("user", 65534, 65534)])
    with pytest.raises(EmbeddedError, match="run this as an ordinary user, or set TRADEWINDS_DATABASE_URL"):
        EmbeddedPostgres(home, durable=False).start()


def test_a_machine_without_the_binaries_reads_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EmbeddedError, match="TRADEWINDS_DATABASE_URL"):
        postgres_room.find_binaries()


def test_variables_meant_for_another_postgres_do_not_reach_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", "/nowhere")
    with EmbeddedPostgres(home, durable=False).start() as server:
        assert ask(server.dsn("postgres", (home / "password").read_text(), "postgres"), "select 1") == 1
