"""Stats: what the core counts, as Prometheus text."""

import pytest

from support.metrics import Metrics
from support.protocol import events, stats
from support.rpc import EVENT_SERVICE, GET_STATS, decode, encode, fails


def metrics_of(rpc):
    answer = decode(rpc.call(GET_STATS, stats.GetStatsRequest()), stats.GetStatsResponse)
    return Metrics(answer.text)


def test_every_metric_is_the_cores_and_names_it(rpc, core):
    metrics = metrics_of(rpc)
    assert metrics.samples
    assert all(name.startswith("triggers_core_") for name in metrics.types)
    labels = {with_labels["core"] for _, with_labels, _ in metrics.samples}
    assert len(labels) == 1 and labels.pop().endswith(f"/{core.pid}")


def test_calls_move_the_figures(rpc):
    before = metrics_of(rpc)
    rpc.create()
    fails("NOT_FOUND", rpc.event, "GetEvent", event_id="evt_01h455vb4pex5vsknk084sn02q")
    after = metrics_of(rpc)
    name = "triggers_core_requests_total"
    for labels in (
        {"method": "CreateEvent", "code": "OK"},
        {"method": "GetEvent", "code": "NOT_FOUND"},
        {"method": "GetStats", "code": "OK"},
    ):
        assert after.value(name, **labels) - before.value(name, **labels) == 1
    assert after.value("triggers_core_requests_in_flight") == 1


def test_unknown_methods_share_one_series(rpc):
    before = metrics_of(rpc)
    for number in range(50):
        response = rpc.call(f"{EVENT_SERVICE}/Nope{number}", b"")
        fails("UNIMPLEMENTED", decode, response, events.GetEventResponse)
    after = metrics_of(rpc)
    labels = {"method": "unknown", "code": "UNIMPLEMENTED"}
    name = "triggers_core_requests_total"
    assert after.value(name, **labels) - before.value(name, **labels) == 50
    methods = {with_labels.get("method") for _, with_labels, _ in after.samples}
    assert not any(method and method.startswith("Nope") for method in methods)


def test_malformed_messages_are_counted(rpc):
    before = metrics_of(rpc)
    rpc.raw(b"\xff" * 16)
    after = metrics_of(rpc)
    labels = {"method": "unknown", "code": "INVALID_ARGUMENT"}
    name = "triggers_core_requests_total"
    assert after.value(name, **labels) - before.value(name, **labels) == 1


@pytest.mark.concurrent
def test_figures_add_up_under_load(core):
    create = events.CreateEventRequest(source="crm", event_type="lead", payload=b"{}")
    with core.client() as rpc:
        before = metrics_of(rpc)
        answers = list(rpc.start([encode(f"{EVENT_SERVICE}/CreateEvent", create)] * 500))
        after = metrics_of(rpc)
    gained = lambda name, **labels: after.value(name, **labels) - before.value(name, **labels)  # noqa: E731
    stored = sum(answer.code == 0 for answer in answers)
    assert stored > 0
    assert gained("triggers_core_requests_total", method="CreateEvent") == 500
    assert gained("triggers_core_requests_total", method="CreateEvent", code="OK") == stored
    assert gained("triggers_core_request_duration_seconds_count", method="CreateEvent") == 500
    assert gained("triggers_core_events_created_total") == stored
    # The first steps of the retention, which looks at the store after the start, come this way too.
    assert 0 <= gained("triggers_core_batch_items_sum", lane="writes") - stored <= 2
    assert after.value("triggers_core_requests_in_flight") == 1
