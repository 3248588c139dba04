"""Metrics of subscriptions, each with a series of its own: what there is to do, whoever is asked, and what
this core has done."""

import httpx
import pytest

from rest.checks import create
from support.metrics import scrape
from support.network import wait_until

GAUGES = ["backlog_events", "outstanding_events", "delayed_events", "dead_letters"]
ALL = "/api/v1/subscriptions"


@pytest.fixture
def start(start_core, start_bridge, new_store_url):
    """start(): an HTTP client of a new core of one store."""
    url = new_store_url()

    def begin():
        bridge = start_bridge(start_core(DATABASE_URL=url))
        return httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0)

    return begin


def figures(http, name):
    """Of a subscription, without its age; None while the core has not looked."""
    metrics = scrape(http)
    names = [f"triggers_core_subscription_{gauge}" for gauge in GAUGES]
    known = any(labels.get("subscription") == name and sample in names for sample, labels, _ in metrics.samples)
    return [metrics.value(sample, subscription=name) for sample in names] if known else None


def age(http, name):
    return scrape(http).value("triggers_core_subscription_oldest_age_seconds", subscription=name)


def post(http, name, call, **body):
    answer = http.post(f"{ALL}/{name}/{call}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def put(http, name, **fields):
    assert http.put(f"{ALL}/{name}", json={"start": "earliest", **fields}).status_code == 200


def test_each_subscription_has_a_series(start):
    with start() as http:
        for _ in range(7):
            create(http)
        create(http, source="other")
        create(http, source="later", delay_seconds=3600)
        put(http, "busy", max_delivery_attempts=1)
        put(http, "idle")
        put(http, "picky", filter={"sources": ["other"]})
        put(http, "none", filter={"sources": ["nothing"]})
        put(http, "patient", filter={"sources": ["later"]})
        ids = [delivery["ack_id"] for delivery in post(http, "busy", "pull", max_events=5)["deliveries"]]
        post(http, "busy", "ack", ack_ids=ids[:1])
        post(http, "busy", "nack", ack_ids=ids[1:2])  # its only attempt
        post(http, "busy", "release", ack_ids=ids[2:3])
        metrics = scrape(http)
        total = "triggers_core_subscription_outcomes_total"
        assert metrics.value("triggers_core_subscription_deliveries_total", subscription="busy") == 5
        assert metrics.value(total, subscription="busy", outcome="acknowledged") == 1
        assert metrics.value(total, subscription="busy", outcome="dead_letter") == 1
        assert metrics.value(total, subscription="busy") == 2
    with start() as http:  # which nobody asks for them
        assert wait_until(lambda: figures(http, "busy"), "figures") == [4, 2, 1, 1]
        assert figures(http, "idle") == [9, 0, 0, 0] and age(http, "idle") > 0
        assert figures(http, "picky") == [1, 0, 0, 0]
        assert figures(http, "none") == [0, 0, 0, 0] and age(http, "none") == 0
        assert age(http, "patient") == 0  # it is not due yet
        assert scrape(http).value("triggers_core_subscriptions_without_series") == 0


def test_a_removed_one_has_none_any_more_and_figures_follow(start):
    with start() as http, start() as other:
        put(http, "gone")
        put(http, "stays")
        wait_until(lambda: figures(other, "gone") == figures(other, "stays") == [0, 0, 0, 0], "a look")
        assert http.delete(f"{ALL}/gone").status_code == 200
        create(http)
        post(http, "stays", "pull", max_events=1)
        wait_until(lambda: figures(other, "stays") == [0, 1, 0, 0], "another look")
        assert figures(other, "gone") is None
