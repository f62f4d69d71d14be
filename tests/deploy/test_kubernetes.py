"""The manifests keep the same promises as the compose project, and scale each stage by what it lacks."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from common.telemetry import metrics
from tests.deploy.files import KUBERNETES, PREFIX, STAGES, known_variables, objects, of_our_image, pods, services
from workers.queues import QUEUES, STAGE_QUEUES, VISIBILITY_TIMEOUT_S

VENUES = {"stream", "account-stream", "signal", "risk", "execution", "position", "maintenance"}
QUEUE_SCALED = {"llm", "risk", "execution", "position"}


def container(name: str) -> dict[str, Any]:
    (only,) = pods()[name]["spec"]["containers"]
    return dict(only)


def secret_files(name: str) -> set[str]:
    volumes = {volume["name"]: volume for volume in pods()[name]["spec"]["volumes"]}
    return {item["path"] for item in volumes["secrets"]["secret"]["items"]}


def chosen(policy: str) -> set[str]:
    """Components that a network policy selects."""
    selector = objects("NetworkPolicy")[policy]["spec"]["podSelector"]
    label = selector.get("matchLabels", {}).get("app.kubernetes.io/component")
    values = [entry["values"] for entry in selector.get("matchExpressions", ())]
    return {label} - {None} | {value for entry in values for value in entry}


def test_every_file_is_listed_and_every_listed_file_exists() -> None:
    base = KUBERNETES / "base"
    listed = yaml.safe_load((base / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert sorted(listed) == sorted(file.name for file in base.glob("*.yaml") if file.name != "kustomization.yaml")


def test_the_cluster_runs_what_the_compose_project_runs() -> None:
    assert set(pods()) == set(of_our_image()) - {"simulator", "demo"}
    assert {name: container(name)["command"] for name in pods()} == {
        name: services()[name]["command"] for name in pods()
    }
    assert {name: secret_files(name) for name in pods()} == {name: set(services()[name]["secrets"]) for name in pods()}


@pytest.mark.parametrize("name", sorted(pods()))
def test_a_pod_is_nobody_may_write_nothing_and_has_no_cluster_token(name: str) -> None:
    pod, rights = pods()[name]["spec"], container(name)["securityContext"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert rights == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("name", sorted(pods()))
def test_a_pod_gets_no_service_variables_that_the_settings_would_refuse(name: str) -> None:
    assert pods()[name]["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("name", sorted(pods()))
def test_a_pod_says_what_it_needs_and_where_it_ends(name: str) -> None:
    resources = container(name)["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert "memory" in resources["limits"]


@pytest.mark.parametrize("name", sorted(objects("Deployment")))
def test_a_pod_that_hangs_is_found(name: str) -> None:
    assert {"startupProbe", "livenessProbe"} <= set(container(name))


def test_there_is_never_a_second_beat() -> None:
    beat = objects("Deployment")["beat"]["spec"]
    assert (beat["replicas"], beat["strategy"]) == (1, {"type": "Recreate"})


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_is_given_time_to_finish_and_loses_one_pod_at_a_time(stage: str) -> None:
    assert pods()[stage]["spec"]["terminationGracePeriodSeconds"] >= max(QUEUES[stage].limit_s, VISIBILITY_TIMEOUT_S)
    assert objects("PodDisruptionBudget")[stage]["spec"]["maxUnavailable"] == 1


def test_what_an_autoscaler_counts_has_no_count_of_its_own() -> None:
    scaled = {item["spec"]["scaleTargetRef"]["name"] for item in objects("ScaledObject").values()}
    scaled |= {item["spec"]["scaleTargetRef"]["name"] for item in objects("HorizontalPodAutoscaler").values()}
    free = {name for name, item in objects("Deployment").items() if "replicas" not in item["spec"]}
    assert scaled == free == QUEUE_SCALED | {"signal"}


@pytest.mark.parametrize("stage", sorted(QUEUE_SCALED))
def test_a_queue_stage_scales_by_the_age_of_its_oldest_job_and_never_to_zero(stage: str) -> None:
    spec = objects("ScaledObject")[stage]["spec"]
    queries = [trigger["metadata"]["query"] for trigger in spec["triggers"]]
    published = {family.name for family in metrics().registry.collect()}
    named = {name for query in queries for name in re.findall(r"tradewinds_\w+", query)}
    pattern = re.search(r'stage=~"([^"]+)"', queries[0])
    own = {str(job) for job, queue in STAGE_QUEUES.items() if queue.name == stage}
    assert named == {"tradewinds_queue_oldest_age_seconds", "tradewinds_queue_depth"} <= published
    assert pattern is not None
    assert {str(job) for job in STAGE_QUEUES if re.fullmatch(pattern[1], str(job))} == own
    assert spec["minReplicaCount"] >= 1


def test_nothing_goes_in_or_out_unless_it_is_named() -> None:
    closed = objects("NetworkPolicy")["nothing-by-default"]["spec"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_only_the_stages_that_speak_to_venues_and_to_the_model_reach_the_outside() -> None:
    assert chosen("venues") == VENUES
    assert chosen("model") == {"llm"}


@pytest.mark.parametrize("policy", ["venues", "model"])
def test_the_way_out_does_not_lead_into_private_networks_or_to_the_metadata_service(policy: str) -> None:
    (rule,) = objects("NetworkPolicy")[policy]["spec"]["egress"]
    (block,) = [peer["ipBlock"] for peer in rule["to"]]
    private = {"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}
    assert set(block["except"]) == private


def test_no_manifest_holds_a_secret_or_a_variable_that_is_no_setting() -> None:
    assert objects("Secret") == {}
    given = {entry["name"] for name in pods() for entry in container(name).get("env", ())}
    given |= {key for item in objects("ConfigMap").values() for key in item["data"]}
    assert {name for name in given if name.startswith(PREFIX)} <= known_variables()
    assert not [
        value
        for item in objects("ConfigMap").values()
        for value in item["data"].values()
        if re.search(r":[^/@]+@", value)
    ]
