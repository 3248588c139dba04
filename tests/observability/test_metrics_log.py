"""TRIGGERS_METRICS_LOG: the figures as log lines in CloudWatch's embedded metric format. Its rules
are those of the specification in the CloudWatch user guide."""

import json
import time

import httpx
import pytest

from rest.checks import create
from support.network import wait_until

UNITS = {"Count", "Seconds", "Bytes"}


def lines_of(program):
    return [entry for entry in program.log if "_aws" in entry]


def total(program, name):
    return sum(line.get(name, 0) for line in lines_of(program))


def check_line(line, program):
    """What CloudWatch would take: everything declared is there, a number, and within its limits."""
    metadata = line["_aws"]
    assert set(metadata) == {"Timestamp", "CloudWatchMetrics"}
    assert abs(metadata["Timestamp"] - time.time() * 1000) < 600_000
    (directive,) = metadata["CloudWatchMetrics"]
    assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
    assert directive["Namespace"] == "triggers"
    assert directive["Dimensions"] == [["program"]] and line["program"] == program
    names = [metric["Name"] for metric in directive["Metrics"]]
    assert 0 < len(names) <= 100 and len(set(names)) == len(names)
    assert all(metric["Unit"] in UNITS and len(metric["Name"]) <= 255 for metric in directive["Metrics"])
    assert set(line) == {"_aws", "program", *names}
    assert all(isinstance(line[name], (int, float)) for name in names)
    assert len(json.dumps(line)) < 256 * 1024


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_lines_come_and_add_up(start_core, start_bridge, log_format):
    settings = {"TRIGGERS_METRICS_LOG": 1, "LOG_FORMAT": log_format, "LOG_LEVEL": "error"}
    core = start_core(**settings)
    bridge = start_bridge(core, **settings)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as http:
        for _ in range(3):
            create(http)
        http.get("/nope")
    wait_until(lambda: total(core, "triggers_core_events_created_total") >= 3, "3 events logged")
    wait_until(lambda: total(bridge, "triggers_bridge_requests_total.404") >= 1, "a 404 logged")
    count = len(lines_of(core))
    wait_until(lambda: len(lines_of(core)) > count + 1, "two lines more")
    assert total(core, "triggers_core_events_created_total") == 3
    assert total(core, "triggers_core_commits_total") == 3
    assert total(bridge, "triggers_bridge_requests_total.201") == 3
    assert any("triggers_core_request_duration_seconds_p99" in line for line in lines_of(core))
    assert lines_of(core)[-1]["triggers_core_store_sessions.writes"] == 1
    for line in lines_of(core):
        check_line(line, "triggersd")
    for line in lines_of(bridge):
        check_line(line, "triggers-bridge")


def test_without_the_setting_there_are_none(start_core, start_bridge):
    core = start_core()
    bridge = start_bridge(core)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as http:
        create(http)
        wait_until(lambda: "pending_events 1" in plain(http), "one pending event")
    assert not lines_of(core) and not lines_of(bridge)


def plain(http):
    """The metrics without their labels."""
    return "\n".join(
        f"{line.split('{')[0]} {line.rsplit(' ', 1)[1]}" for line in http.get("/metrics").text.splitlines()
    )
