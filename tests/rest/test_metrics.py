"""GET /metrics: the figures of bridge and core move as traffic does, and the bridge's stay when the
core goes away."""

import socket

import httpx
import pytest

from rest.checks import CREATE, MISSING_ID, create
from support.metrics import scrape
from support.network import wait_until


def gained(http, traffic):
    """A function of a metric's name and labels: what it gained by `traffic`."""
    before = scrape(http)
    traffic()
    after = scrape(http)
    return lambda name, **labels: after.value(name, **labels) - before.value(name, **labels)


def test_requests_are_counted_by_route_method_and_status(http):
    def traffic():
        ids = [create(http) for _ in range(3)]
        http.delete(f"/api/v1/events/{ids[0]}")
        http.get(f"/api/v1/events/{MISSING_ID}")
        http.post("/api/v1/events", json={})
        http.put("/api/v1/events", json={})
        http.get("/nope")
        http.get("/health", headers={"Host": "evil.example"})

    requests = gained(http, traffic)
    name, event = "triggers_bridge_requests_total", "/api/v1/events/{id}"
    assert requests(name, route="/api/v1/events", method="POST", status="201") == 3
    assert requests(name, route="/api/v1/events", method="POST", status="422") == 1
    assert requests(name, route=event, method="DELETE", status="200") == 1
    assert requests(name, route=event, method="GET", status="404") == 1
    assert requests(name, route="other", method="other", status="405") == 1
    assert requests(name, route="other", method="other", status="404") == 1
    assert requests(name, route="other", method="other", status="421") == 1
    assert requests(name, route="/metrics", status="200") == 1
    duration = "triggers_bridge_request_duration_seconds"
    assert requests(f"{duration}_count", route="/api/v1/events") == 4
    assert requests(f"{duration}_bucket", route="/api/v1/events", le="+Inf") == 4
    assert 0 < requests(f"{duration}_sum", route="/api/v1/events") < 60


def test_calls_of_the_core_are_counted_by_method_and_code(http):
    def traffic():
        create(http)
        http.get(f"/api/v1/events/{MISSING_ID}")
        http.get("/api/v1/inbox")

    calls = gained(http, traffic)
    name = "triggers_core_requests_total"
    assert calls(name, method="CreateEvent", code="OK") == 1
    assert calls(name, method="GetEvent", code="NOT_FOUND") == 1
    assert calls(name, method="ListInbox", code="OK") == 1
    assert calls("triggers_core_request_duration_seconds_count", method="CreateEvent") == 1


def test_events_commits_and_batches_are_counted(http):
    def traffic():
        batch = http.post("/api/v1/events/batch", json=[CREATE] * 10)
        first = batch.json()["results"][0]["event_id"]
        for _ in range(2):  # the second acknowledges nothing new
            http.delete(f"/api/v1/events/{first}")

    events = gained(http, traffic)
    assert events("triggers_core_events_created_total") == 10
    assert events("triggers_core_events_acknowledged_total") == 1
    assert events("triggers_core_commits_total") == 3
    steps = events("triggers_core_batch_items_sum", lane="writes") - 12  # of the retention, after the start
    assert 0 <= steps <= 2
    assert 3 <= events("triggers_core_batch_items_count", lane="writes") <= 3 + steps
    assert 2 <= events("triggers_core_batch_items_bucket", lane="writes", le="8") <= 2 + steps
    taken = events("triggers_core_store_operation_duration_seconds_count", lane="writes")
    assert 3 <= taken <= 3 + steps
    assert events("triggers_core_store_errors_total") == 0


def scrape_alone(http):
    """The metrics when nothing else is in flight. A container's health checks may be, and with
    libmicrohttpd 1.0 a request that a test before left half sent, until the bridge's time-out."""
    metrics = scrape(http)
    flights = [metrics.value(f"triggers_{program}_requests_in_flight") for program in ("bridge", "core")]
    return metrics if flights == [1, 1] else None


def test_every_status_is_counted_as_it_was_sent(http):
    """One that the list of statuses lacks would count as a request that its client broke off."""
    count = lambda status: scrape(http).value(  # noqa: E731
        "triggers_bridge_requests_total", route="/api/v1/inbox", method="GET", status=status
    )
    before = count("414")
    assert http.get("/api/v1/inbox?limit=1&junk=" + "a" * 8000).status_code == 414
    wait_until(lambda: count("414") == before + 1, "414 counted")


def test_what_stands_and_waits_is_shown(http):
    metrics = wait_until(lambda: scrape_alone(http), "one request in flight, this one", 75)
    assert metrics.value("triggers_core_up") == 1
    assert metrics.value("triggers_bridge_connections") >= 1
    assert metrics.value("triggers_core_connections") >= 1
    assert metrics.value("triggers_core_queue_depth") == 0
    for lane in ("writes", "gets", "lists"):
        assert metrics.value("triggers_core_store_sessions", lane=lane) >= 1


def test_process_and_build_are_described(http, store_name, core, bridge):
    metrics = scrape(http)
    version = http.get("/").json()["version"]
    for program, running in (("triggers_core", core), ("triggers_bridge", bridge)):
        assert metrics.value(f"{program}_build_info", version=version) == 1
        assert metrics.value(f"{program}_process_cpu_seconds_total") > 0
        assert metrics.value(f"{program}_process_start_time_seconds") > 1.7e9
        assert metrics.value(f"{program}_process_resident_memory_bytes") > 1e6
        assert abs(metrics.value(f"{program}_process_open_fds") - running.descriptors()) <= 3
    assert metrics.value("triggers_core_build_info", store=store_name) == 1
    assert metrics.value("triggers_core_build_info", core=f"{socket.gethostname()}/{core.pid}") == 1


def test_pending_events_and_their_age_follow(http, start_core, start_bridge, new_store_url):
    core = start_core(DATABASE_URL=new_store_url())
    with httpx.Client(base_url=start_bridge(core).url, trust_env=False, timeout=20.0) as own:
        pending = lambda: scrape(own).value("triggers_core_pending_events")  # noqa: E731
        age = lambda: scrape(own).value("triggers_core_oldest_pending_age_seconds")  # noqa: E731
        wait_until(lambda: scrape(own).has("triggers_core_pending_events"), "a first answer")
        assert (pending(), age()) == (0, 0)
        ids = [create(own) for _ in range(3)]
        wait_until(lambda: pending() == 3, "3 pending events")
        assert 0 < age() < 60
        for event_id in ids:
            own.delete(f"/api/v1/events/{event_id}")
        wait_until(lambda: pending() == 0, "no pending event")
        assert age() == 0


def test_the_bridge_answers_without_its_core(start_core, start_bridge):
    core = start_core()
    with httpx.Client(base_url=start_bridge(core).url, trust_env=False, timeout=20.0) as own:
        assert scrape(own).value("triggers_core_requests_total") > 0
        core.stop()
        metrics = scrape(own)
        assert metrics.has("triggers_core_up") and metrics.value("triggers_core_up") == 0
        assert not metrics.has("triggers_core_requests_in_flight")
        assert metrics.value("triggers_bridge_requests_total", route="/metrics") == 1


def test_store_errors_are_counted_and_the_backlog_is_not_made_up(
    own_postgres, start_core, start_bridge
):
    core = start_core(DATABASE_URL=own_postgres.create_database())
    with httpx.Client(base_url=start_bridge(core).url, trust_env=False, timeout=30.0) as own:
        create(own)
        wait_until(lambda: scrape(own).value("triggers_core_pending_events") == 1, "one pending")
        own_postgres.stop()
        assert own.post("/api/v1/events", json=CREATE).status_code == 503
        wait_until(lambda: not scrape(own).has("triggers_core_pending_events"), "no backlog")
        metrics = scrape(own)
        assert metrics.value("triggers_core_up") == 1
        assert metrics.value("triggers_core_store_sessions", lane="writes") == 0
        errors = metrics.value("triggers_core_store_errors_total", lane="writes", result="lost")
        unavailable = metrics.value("triggers_core_requests_total", code="UNAVAILABLE")
        assert errors >= 1 or unavailable >= 1


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_other_methods(http, method):
    answer = http.request(method, "/metrics")
    assert answer.status_code == (200 if method == "HEAD" else 204)
    assert not answer.content
