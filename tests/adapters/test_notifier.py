"""Notifiers: an alert reaches its channels or says that it did not, without showing their addresses."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from common import bootstrap
from common.adapters.notifier import AppriseNotifier, Fanout, LogNotifier, fixed_channels
from common.domain.errors import InvalidInput, Transient
from common.ports.notifier import OPERATOR
from common.settings import read_settings
from tests.adapters.scripted_server import Answer, ScriptedServer

ALERT = ("harbour", "drawdown", "Drawdown 5 %", "5.1 > 5.0")


def hook(server: ScriptedServer) -> str:
    return server.url.replace("http://", "json://") + "/hook"


def test_an_alert_reaches_the_tenants_channel_and_nobody_elses(server: ScriptedServer) -> None:
    server.on("POST", "/hook", Answer(200, {}))
    notifier = AppriseNotifier(fixed_channels({"harbour": [hook(server)]}))
    notifier.notify(*ALERT)
    notifier.notify("meridian", *ALERT[1:])
    (request,) = server.asked("POST", "/hook")
    assert (request.json["title"], request.json["message"]) == ("Drawdown 5 %", "[drawdown] 5.1 > 5.0")


@pytest.mark.parametrize("answer", [Answer(500, {}), Answer(reset=True)])
def test_a_channel_out_of_reach_is_transient(server: ScriptedServer, answer: Answer) -> None:
    server.on("POST", "/hook", answer)
    with pytest.raises(Transient, match="drawdown"):
        AppriseNotifier(fixed_channels({"harbour": [hook(server)]})).notify(*ALERT)


def test_a_bad_address_is_named_by_its_number_only() -> None:
    with pytest.raises(InvalidInput, match="number 1") as caught:
        AppriseNotifier(fixed_channels({"harbour": ["nonsense://user:password@host"]})).notify(*ALERT)
    assert "password" not in str(caught.value)


class Bursting:
    """Stands for a plugin that breaks with its address in the text."""

    def add(self, address: str) -> bool:
        return bool(address)

    def notify(self, **_: Any) -> bool:
        raise RuntimeError("could not reach tgram://secret-token/1")


def test_a_plugin_that_breaks_tells_no_address() -> None:
    with pytest.raises(Transient) as caught:
        AppriseNotifier(fixed_channels({"harbour": ["tgram://secret-token/1"]}), make=Bursting).notify(*ALERT)
    assert "secret-token" not in str(caught.value)


@dataclass(slots=True)
class Recording:
    """Remembers what it was told."""

    told: list[str] = field(default_factory=list)

    def notify(self, tenant: str, kind: str, title: str, body: str) -> None:
        self.told.append(kind)


class Failing:
    """Cannot be reached."""

    def notify(self, tenant: str, kind: str, title: str, body: str) -> None:
        raise Transient("gone")


def test_one_notifier_out_of_reach_does_not_silence_the_others() -> None:
    recording = Recording()
    with pytest.raises(Transient, match="1 of 2"):
        Fanout([Failing(), recording]).notify(*ALERT)
    assert recording.told == ["drawdown"]


def test_the_log_takes_every_alert(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="tradewinds.alerts"):
        LogNotifier().notify(*ALERT)
    (record,) = caplog.records
    assert record.__dict__["alert_kind"] == "drawdown"


def test_a_fleet_tells_its_operator_and_its_tenants_where_the_settings_say(
    server: ScriptedServer, tmp_path: Path
) -> None:
    server.on("POST", "/hook", Answer(200, {}))
    for whom, key in ((OPERATOR, "operator"), ("harbour", "harbour")):
        channels = json.dumps({key: [hook(server)]})
        variables = {"TRADEWINDS_HOME": str(tmp_path), "TRADEWINDS_ALERT_CHANNELS": channels}
        notifier = bootstrap._notifier(read_settings(variables, None))
        for reader in (OPERATOR, "harbour", "meridian"):
            notifier.notify(reader, *ALERT[1:])
        assert len(server.asked("POST", "/hook")) == 1 + (whom == "harbour")
