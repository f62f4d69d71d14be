"""The compose project keeps what the design promises of a deployment: least rights, one service per stage, no secret in sight."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from common.settings import COMPOSE_ONLY, PASSWORD_FILES
from tests.deploy.files import (
    DEPLOY,
    ONE_SHOT,
    PREFIX,
    PROJECT,
    STAGES,
    compose,
    known_variables,
    of_our_image,
    services,
)
from workers.queues import QUEUES, VISIBILITY_TIMEOUT_S, worker_options

FLEET = sorted(set(of_our_image()) - {"simulator"})
VENUE_KEYS = {"execution", "position", "account-stream", "maintenance", "demo"}
VENUES = ("stream", "account-stream", "signal", "risk", "execution", "position", "maintenance")
UNITS = {"s": 1, "m": 60, "h": 3600}


def secrets_of(name: str) -> set[str]:
    return set(services()[name].get("secrets", ()))


def environment_of(name: str) -> dict[str, Any]:
    return dict(services()[name].get("environment") or {})


def networks_of(name: str) -> set[str]:
    return set(services()[name]["networks"])


def seconds(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


def test_each_queue_has_a_service_and_each_stage_service_a_queue() -> None:
    commands = {name: service["command"] for name, service in services().items()}
    workers = {command[2]: name for name, command in commands.items() if command[:2] == ["tradewinds", "worker"]}
    assert workers == {queue: queue for queue in QUEUES}
    assert set(QUEUES) == STAGES


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_each_stage_has_its_own_replica_setting(stage: str) -> None:
    wanted = f"{PREFIX}{stage.upper()}_REPLICAS"
    assert services()[stage]["deploy"]["replicas"] == f"${{{wanted}:-1}}"
    assert wanted in COMPOSE_ONLY


def test_there_is_one_beat_one_stream_and_one_migration() -> None:
    fixed = {name: services()[name].get("deploy", {}).get("replicas", 1) for name in ("beat", "stream", "migrate")}
    assert set(fixed.values()) == {1}


@pytest.mark.parametrize("name", sorted(services()))
def test_a_service_can_gain_no_rights_and_write_no_image(name: str) -> None:
    service = services()[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["init"] is True
    assert {"privileged", "cap_add", "pid", "ipc", "network_mode", "devices"}.isdisjoint(service)
    assert re.fullmatch(r"\$\{TRADEWINDS_UID:-[1-9]\d*\}:\$\{TRADEWINDS_GID:-[1-9]\d*\}", service["user"])


@pytest.mark.parametrize("name", sorted(services()))
def test_a_service_is_bounded_in_processor_memory_processes_and_log(name: str) -> None:
    service = services()[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("name", sorted(set(services()) - ONE_SHOT))
def test_a_service_that_stays_is_watched_and_comes_back(name: str) -> None:
    service = services()[name]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(ONE_SHOT))
def test_a_one_shot_service_runs_once_and_somebody_waits_for_it(name: str) -> None:
    assert services()[name]["restart"] == "no"
    waiting = [other for other, service in services().items() if name in service.get("depends_on", {})]
    conditions = {services()[other]["depends_on"][name]["condition"] for other in waiting}
    assert conditions == {"service_completed_successfully"}


@pytest.mark.parametrize("name", sorted(set(FLEET) - ONE_SHOT))
def test_the_fleet_starts_on_a_migrated_schema_and_a_healthy_broker(name: str) -> None:
    needs = services()[name]["depends_on"]
    assert needs["migrate"]["condition"] == "service_completed_successfully"
    assert needs["redis"]["condition"] == "service_healthy"
    assert needs["simulator"]["required"] is False


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_that_is_stopped_has_time_to_finish_its_longest_task(stage: str) -> None:
    assert seconds(services()[stage]["stop_grace_period"]) >= max(QUEUES[stage].limit_s, VISIBILITY_TIMEOUT_S)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_may_start_as_many_processes_as_its_pool_has_slots(stage: str) -> None:
    slots = worker_options(stage)["concurrency"]
    assert services()[stage]["deploy"]["resources"]["limits"]["pids"] > 4 * slots


def test_only_api_and_flower_publish_a_port_and_only_on_loopback() -> None:
    ports = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert set(ports) == {"api", "flower"}
    assert all(port.startswith("127.0.0.1:") for entries in ports.values() for port in entries)


def test_postgres_and_redis_can_neither_reach_nor_be_reached_from_outside() -> None:
    assert networks_of("postgres") == networks_of("redis") == {"data"}
    assert compose()["networks"]["data"] == {"internal": True}


def test_only_the_stages_that_need_a_way_out_have_one() -> None:
    out = {name: networks_of(name) & {"venue", "model"} for name in services() if networks_of(name) - {"data", "front"}}
    venue = {name: {"venue"} for name in VENUES}
    assert out == venue | {"llm": {"model"}}


def test_the_vaults_key_is_where_venue_keys_are_opened_and_nowhere_else() -> None:
    assert {name for name in services() if "tradewinds_master_key" in secrets_of(name)} == VENUE_KEYS


@pytest.mark.parametrize(
    ("secret", "holders"),
    [
        ("postgres_owner_password", {"postgres", "migrate"}),
        ("model_api_key", {"llm"}),
        ("tradewinds_halt_key", {"api"}),
        ("tradewinds_api_token", {"api"}),
        ("flower_basic_auth", {"flower"}),
    ],
)
def test_a_secret_is_given_only_to_whom_it_serves(secret: str, holders: set[str]) -> None:
    assert {name for name in services() if secret in secrets_of(name)} == holders


def test_every_secret_is_a_file_of_one_folder_named_like_itself() -> None:
    files = {name: secret["file"] for name, secret in compose()["secrets"].items()}
    assert files == {name: f"${{TRADEWINDS_SECRETS:-./secrets}}/{name}" for name in files}
    assert set(PASSWORD_FILES.values()) <= set(files)


def test_no_address_and_no_variable_holds_a_password() -> None:
    values = [(name, key, str(value)) for name in services() for key, value in environment_of(name).items() if value]
    assert not [entry for entry in values if re.search(r"://[^/@]*:[^/@]+@", entry[2])]
    secret = [entry for entry in values if re.search(r"PASSWORD|KEY|TOKEN|SECRET", entry[1])]
    assert {entry[2] for entry in secret if not entry[2].startswith("/run/secrets")} == set()


@pytest.mark.parametrize("name", FLEET)
def test_a_process_is_given_only_settings_that_it_knows_and_secrets_that_it_has(name: str) -> None:
    given = environment_of(name)
    assert {key for key in given if key.startswith(PREFIX)} <= known_variables()
    files = {value.removeprefix("/run/secrets/") for key, value in given.items() if key.endswith("KEY_FILE")}
    assert files <= secrets_of(name)


def test_a_variable_of_the_compose_file_does_not_stop_the_fleet_that_reads_the_same_env_file() -> None:
    text = (PROJECT / "docker-compose.yml").read_text(encoding="utf-8")
    used = set(re.findall(r"\$\{(TRADEWINDS_\w+)", text))
    assert used <= COMPOSE_ONLY | known_variables()


def test_configs_and_env_files_that_are_named_exist() -> None:
    files = [config["file"] for config in compose()["configs"].values()]
    assert [file for file in files if not (PROJECT / file).is_file()] == []
    assert (DEPLOY / "practice.env").is_file()


def compose_client() -> list[str]:
    found = shutil.which("docker")
    works = found and subprocess.run([found, "compose", "version"], capture_output=True, check=False).returncode == 0
    return ["docker", "compose"] if works else pytest.skip("no docker client with the compose plugin on this machine")


@pytest.mark.parametrize("env", [[], ["--env-file", "deploy/practice.env"]], ids=["venues", "practice"])
def test_docker_accepts_the_project(env: list[str], tmp_path: Path) -> None:
    command = [*compose_client(), *env, "config", "--quiet"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    done = subprocess.run(command, cwd=PROJECT, env=clean, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
