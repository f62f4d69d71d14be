"""The deployment's files, read once for all tests of this room."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from common.settings import FILE_SUFFIX, Settings, variable

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
ONE_SHOT = {"migrate", "demo"}
STAGES = {"signal", "llm", "risk", "execution", "position", "maintenance"}
PREFIX = "TRADEWINDS_"


def known_variables() -> set[str]:
    """Every variable the settings know: one for each setting, and one that names a file instead."""
    names = {variable(setting) for setting in Settings.model_fields}
    return names | {name + FILE_SUFFIX for name in names}


@cache
def compose() -> dict[str, Any]:
    """docker-compose.yml with anchors resolved and variables as they are written."""
    read: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))
    return read


def services() -> dict[str, dict[str, Any]]:
    """The services by name."""
    return dict(compose()["services"])


def of_our_image() -> dict[str, dict[str, Any]]:
    """The services that run the project's own image, by name."""
    return {name: service for name, service in services().items() if "TRADEWINDS_IMAGE" in service["image"]}


@cache
def manifests() -> tuple[dict[str, Any], ...]:
    """Every Kubernetes object below deploy/kubernetes."""
    files = sorted(KUBERNETES.rglob("*.yaml"))
    return tuple(document for file in files for document in yaml.safe_load_all(file.read_text(encoding="utf-8")))


def objects(kind: str) -> dict[str, dict[str, Any]]:
    """Objects of one kind by name."""
    return {item["metadata"]["name"]: item for item in manifests() if item["kind"] == kind}


def pods() -> dict[str, dict[str, Any]]:
    """The pod template of every deployment and job, by name."""
    owners = objects("Deployment") | objects("Job")
    return {name: owner["spec"]["template"] for name, owner in owners.items()}
