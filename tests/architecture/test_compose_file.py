"""The compose file is one Docker would accept, checked without Docker; `make check` asks Docker itself where it is."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.architecture.source import PROJECT, report

COMPOSE = PROJECT / "docker-compose.yml"

# Of the Compose Specification; what Docker would call "additional properties are not allowed".
TOP_LEVEL = {"name", "services", "networks", "volumes", "secrets", "configs", "include"}
SERVICE = frozenset(
    """
    annotations attach build cap_add cap_drop cgroup command configs container_name cpus depends_on deploy develop
    devices dns entrypoint env_file environment expose extends extra_hosts group_add healthcheck hostname image
    init ipc labels logging mem_limit network_mode networks pid pids_limit platform ports privileged profiles
    pull_policy read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period
    stop_signal storage_opt sysctls tmpfs tty ulimits user volumes working_dir
    """.split()  # noqa: SIM905 - sixty words in quotes would hide the words.
)
HEALTHCHECK = {"test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}

pytestmark = pytest.mark.skipif(not COMPOSE.exists(), reason="there is no docker-compose.yml")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return {name: part for name, part in read.items() if not name.startswith("x-")}


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(compose["services"])


def named(entries: Any) -> list[str]:
    """The names in a list or mapping of secrets, networks, configs or volumes, in short or long form."""
    return [entry["source"] if isinstance(entry, dict) else str(entry) for entry in entries or ()]


def test_every_word_is_one_compose_knows(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    unknown = [f"{word}" for word in set(compose) - TOP_LEVEL]
    unknown += [f"services.{name}.{word}" for name, service in services.items() for word in set(service) - SERVICE]
    unknown += [
        f"services.{name}.healthcheck.{word}"
        for name, service in services.items()
        for word in set(service.get("healthcheck", {})) - HEALTHCHECK
    ]
    assert not unknown, report("Docker refuses a compose file with words it does not know:", sorted(unknown))


@pytest.mark.parametrize("kind", ["secrets", "configs", "networks"])
def test_what_a_service_names_is_declared(
    kind: str, compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    declared = set(compose.get(kind, {})) | {"default"}
    missing = [
        f"{name}: {entry}"
        for name, service in services.items()
        for entry in named(service.get(kind))
        if entry not in declared
    ]
    assert not missing, report(f"These {kind} are used and not declared at the end of the file:", missing)


def test_named_volumes_are_declared(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    used = {
        volume.partition(":")[0]
        for service in services.values()
        for volume in named(service.get("volumes"))
        if not volume.startswith((".", "/", "~", "$"))
    }
    assert used <= set(compose.get("volumes", {}))


def test_services_wait_for_services_that_can_answer(services: dict[str, dict[str, Any]]) -> None:
    waits = [
        (name, other, how.get("condition", "service_started"))
        for name, service in services.items()
        for other, how in dict.items(service.get("depends_on") or {})
    ]
    wrong = [
        f"{name} → {other} ({how})" for name, other, how in waits if other not in services or how not in CONDITIONS
    ]
    wrong += [
        f"{name} → {other} has no healthcheck"
        for name, other, how in waits
        if how == "service_healthy" and "healthcheck" not in services.get(other, {})
    ]
    assert not wrong, report("`up --wait` would wait for ever, or not at all:", wrong)


def test_no_service_is_root_may_write_its_image_or_keeps_a_capability(services: dict[str, dict[str, Any]]) -> None:
    soft = [
        name
        for name, service in services.items()
        if not service.get("read_only")
        or service.get("cap_drop") != ["ALL"]
        or str(service.get("user", "0")).startswith("0")
    ]
    assert not soft, report("A service that is broken into must find nothing to break out with:", soft)


def test_every_service_has_limits(services: dict[str, dict[str, Any]]) -> None:
    unlimited = [
        name
        for name, service in services.items()
        if not {"cpus", "memory"} <= set(service.get("deploy", {}).get("resources", {}).get("limits", {}))
    ]
    assert not unlimited, report("One service without limits can starve all others:", unlimited)


def test_every_port_is_on_loopback(services: dict[str, dict[str, Any]]) -> None:
    open_ports = [
        f"{name}: {port}"
        for name, service in services.items()
        for port in map(str, service.get("ports", ()))
        if not port.startswith("127.0.0.1:")
    ]
    assert not open_ports, report("What is to be reached from outside is reached through the proxy:", open_ports)
