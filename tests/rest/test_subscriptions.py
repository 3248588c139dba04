"""Subscriptions over HTTP: the JSON, the errors, and clients that go away while they wait. What the calls do
is tested in tests/rpc."""

import concurrent.futures
import itertools
import json
import socket
import time

import httpx
import pytest

from rest.checks import TIME, check_problem, check_problem_body, create
from rest.wire import Wire
from support.metrics import scrape
from support.network import wait_until

ALL = "/api/v1/subscriptions"
NUMBERS = itertools.count()
SUBSCRIPTION = {
    "description": "",
    "filter": None,
    "lease_seconds": 30,
    "max_delivery_attempts": 10,
    "backoff": {"minimum_seconds": 1, "maximum_seconds": 600},
    "max_outstanding": 10000,
    "acknowledge_in_inbox": False,
    "paused": False,
    "ordering": "none",
    "after_dead_letter": "skip",
}
SETTLED = {"late": False, "lease_expires_at": None, "error": None}


def fine(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


class Work:
    """A subscription of this test, with a source of its own."""

    def __init__(self, http):
        self.http = http
        self.name = f"work.{next(NUMBERS)}"
        self.url = f"{ALL}/{self.name}"
        self.made = fine(http.put(self.url, json={"filter": {"sources": [self.name]}}))

    def create(self, count=1, **fields):
        return [create(self.http, source=self.name, **fields) for _ in range(count)]

    def post(self, call, **body):
        return self.http.post(f"{self.url}/{call}", json=body)

    def pull(self, **body):
        return fine(self.post("pull", **body))

    def settle(self, call, deliveries, **body):
        ids = [delivery["ack_id"] for delivery in deliveries]
        return fine(self.post(call, ack_ids=ids, **body))["results"]


@pytest.fixture
def work(http):
    return Work(http)


@pytest.fixture
def own_bridge(start_core, start_bridge, new_store_url):
    return start_bridge(start_core(DATABASE_URL=new_store_url()))


@pytest.fixture
def own(own_bridge):
    with httpx.Client(base_url=own_bridge.url, trust_env=False, timeout=30.0) as http:
        yield http


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        yield pool


def test_put_creates_and_changes(http):
    url = f"{ALL}/orders"
    made = fine(http.put(url, json={}))
    assert made["created"] is True
    subscription = made["subscription"]
    created_at = subscription.pop("created_at")
    assert TIME.fullmatch(created_at)
    assert subscription == {"name": "orders", **SUBSCRIPTION}
    changed = fine(
        http.put(
            url,
            json={
                "name": "another",  # that of the path counts
                "filter": {"sources": ["CRM"]},
                "backoff": {"minimum_seconds": 0},
                "paused": True,
                "lease_seconds": None,
            },
        )
    )
    assert changed["created"] is False
    subscription = changed["subscription"]
    assert subscription.pop("created_at") == created_at
    expected = {
        **SUBSCRIPTION,
        "name": "orders",
        "filter": {"sources": ["crm"], "event_types": []},
        "backoff": {"minimum_seconds": 0, "maximum_seconds": 600},
        "paused": True,
    }
    assert subscription == expected
    read = fine(http.get(url))
    read["subscription"].pop("created_at")
    assert read == {
        "subscription": expected,
        "position": read["position"],
        "backlog": 0,
        "backlog_is_estimate": False,
        "outstanding": 0,
        "delayed": 0,
        "dead_letters": 0,
        "oldest_unsettled_at": None,
    }
    assert http.head(url).status_code == 200


def test_list_and_delete(own):
    for name in ("b", "a"):
        fine(own.put(f"{ALL}/{name}", json={}))
    page = fine(own.get(ALL))
    assert [one["name"] for one in page["subscriptions"]] == ["b", "a", "inbox"]
    assert page["next_page_token"] == ""
    first = fine(own.get(ALL, params={"page_size": 1}))
    rest = fine(own.get(ALL, params={"page_token": first["next_page_token"]}))
    assert first["subscriptions"] + rest["subscriptions"] == page["subscriptions"]
    check_problem(own.get(ALL, params={"page_size": -1}), 422, "PAGE_SIZE_INVALID", pointers=["#/page_size"])
    assert fine(own.delete(f"{ALL}/a")) == {}
    check_problem(own.delete(f"{ALL}/a"), 404, "SUBSCRIPTION_NOT_FOUND")
    check_problem(own.get(f"{ALL}/a"), 404, "SUBSCRIPTION_NOT_FOUND")
    check_problem(own.delete(f"{ALL}/inbox"), 422, "INBOX_FIXED")


def test_a_delivery_has_the_event_as_it_is_elsewhere(work):
    ids = [create_raw_of(work, b'{ "a" : 1.50, "a":"\\u00e9" }'), *work.create()]
    fine(work.http.post(f"/api/v1/events/{ids[1]}/erase"))
    answer = work.post("pull")
    pulled = fine(answer)
    assert list(pulled) == ["deliveries", "empty_because"] and pulled["empty_because"] is None
    for event_id, delivery in zip(ids, pulled["deliveries"]):
        assert list(delivery) == ["event", "ack_id", "delivery_attempt", "lease_expires_at"]
        assert delivery["event"] == fine(work.http.get(f"/api/v1/events/{event_id}"))
        assert delivery["delivery_attempt"] == 1
        assert TIME.fullmatch(delivery["lease_expires_at"])
    assert b'"payload":{ "a" : 1.50, "a":"\\u00e9" },' in answer.content
    fine(work.post("nack", ack_ids=[d["ack_id"] for d in pulled["deliveries"]], dead_letter=True))
    for letter in fine(work.http.get(f"{work.url}/dead-letters"))["dead_letters"]:
        assert letter["event"] == fine(work.http.get(f"/api/v1/events/{letter['event']['event_id']}"))


def create_raw_of(work, payload):
    body = b'{"source":"%s","event_type":"raw","payload":%s}' % (work.name.encode(), payload)
    answer = work.http.post("/api/v1/events", content=body, headers={"Content-Type": "application/json"})
    return answer.json()["event_id"]


def test_an_empty_pull_says_why(work):
    assert work.post("pull").content == b'{"deliveries":[],"empty_because":"nothing_new"}'
    work.create(2)
    work.pull(max_events=1)
    fine(work.http.put(work.url, json={"max_outstanding": 1}))
    assert work.post("pull").content == b'{"deliveries":[],"empty_because":"max_outstanding"}'
    fine(work.http.put(work.url, json={"paused": True}))
    assert work.post("pull").content == b'{"deliveries":[],"empty_because":"paused"}'


def test_settling_has_one_result_for_each_id(work):
    work.create(3)
    taken = work.pull()["deliveries"]
    assert work.settle("ack", taken[:1]) == [SETTLED]
    [extended] = work.settle("extend", taken[1:2], lease_seconds=60)
    assert TIME.fullmatch(extended.pop("lease_expires_at"))
    assert extended == {"late": False, "error": None}
    results = work.settle("nack", [taken[0], {"ack_id": "x"}, taken[1]], delay_seconds=600, reason="é")
    assert results[2] == SETTLED
    for result, status, code in ((results[0], 400, "ALREADY_SETTLED"), (results[1], 422, "ACK_ID_INVALID")):
        assert list(result) == ["late", "lease_expires_at", "error"]
        check_problem_body(result["error"], status)
        assert result["error"]["code"] == code
    assert work.settle("release", taken[2:]) == [SETTLED]
    fine(work.post("seek", to="earliest"))
    [lost] = work.settle("ack", taken[1:2])
    check_problem_body(lost["error"], 409)
    assert lost["error"]["code"] == "LEASE_LOST"


def test_dead_letters(work):
    ids = work.create(3)
    assert work.settle("nack", work.pull()["deliveries"], dead_letter=True, reason="broken") == [SETTLED] * 3
    url = f"{work.url}/dead-letters"
    page = fine(work.http.get(url))
    assert list(page) == ["dead_letters", "next_page_token"] and page["next_page_token"] == ""
    for letter in page["dead_letters"]:
        assert list(letter) == ["event", "delivery_attempts", "first_delivered_at", "dead_at", "reason"]
        assert (letter["delivery_attempts"], letter["reason"]) == (1, "broken")
        assert TIME.fullmatch(letter["first_delivered_at"]) and TIME.fullmatch(letter["dead_at"])
    first = fine(work.http.get(url, params={"page_size": 2}))
    rest = fine(work.http.get(url, params={"page_token": first["next_page_token"]}))
    assert first["dead_letters"] + rest["dead_letters"] == page["dead_letters"]
    assert fine(work.http.get(url, params={"filter.event_types": "other"}))["dead_letters"] == []
    assert len(fine(work.http.get(url, params={"filter.sources": work.name}))["dead_letters"]) == 3
    assert fine(work.post("dead-letters/redrive", all=True, dry_run=True)) == {"redriven": 3, "left": 0}
    assert fine(work.post("dead-letters/redrive", event_ids=ids[:1])) == {"redriven": 1, "left": 0}
    assert fine(work.post("dead-letters/delete", all=True)) == {"deleted": 2, "left": 0}
    assert work.pull(wait_ms=10000)["deliveries"][0]["event"]["event_id"] == ids[0]


def test_seek(work):
    work.create(2)
    before = fine(work.http.get(work.url))["position"]
    work.pull()
    sought = fine(work.post("seek", to="earliest", dry_run=True))
    assert sought["position"] == 0 and sought["events"] >= 2
    position = fine(work.post("seek", to=str(before + 1)))["position"]
    assert position == before and len(work.pull()["deliveries"]) == 2
    check_problem(work.post("seek", to="tomorrow"), 422, "POSITION_INVALID", pointers=["#/to"])
    check_problem(work.post("seek"), 422, "POSITION_INVALID", pointers=["#/to"])


@pytest.mark.parametrize(
    "method, path, body, code, pointers",
    [
        ("PUT", "", {"lease_seconds": 0}, "LEASE_INVALID", ["#/lease_seconds"]),
        ("PUT", "", {"lease_seconds": -1}, "FIELDS_INVALID", ["#/lease_seconds"]),
        ("PUT", "", {"lease_seconds": "30"}, "FIELDS_INVALID", ["#/lease_seconds"]),
        ("PUT", "", {"backoff": {"maximum_seconds": 43201}}, "BACKOFF_INVALID", ["#/backoff/maximum_seconds"]),
        ("PUT", "", {"filter": {"sources": ["*a"]}}, "FILTER_INVALID", ["#/filter/sources/0"]),
        ("PUT", "", {"filter": ["a"]}, "FIELDS_INVALID", ["#/filter"]),
        ("PUT", "", [], "FIELDS_INVALID", ["#"]),
        ("POST", "/pull", {"max_events": 1001}, "MAX_EVENTS_INVALID", ["#/max_events"]),
        ("POST", "/pull", {"wait_ms": 4294967296}, "FIELDS_INVALID", ["#/wait_ms"]),
        ("POST", "/ack", {}, "BATCH_SIZE_INVALID", ["#/ack_ids"]),
        ("POST", "/ack", {"ack_ids": [1]}, "FIELDS_INVALID", ["#/ack_ids/0"]),
        ("POST", "/ack", {"ack_ids": ["a"] * 1001}, "FIELDS_INVALID", ["#/ack_ids"]),
        ("POST", "/nack", {"ack_ids": ["a"], "delay_seconds": 43201}, "DELAY_INVALID", ["#/delay_seconds"]),
        ("POST", "/dead-letters/delete", {"event_ids": ["x"]}, "EVENT_ID_INVALID", ["#/event_ids/0"]),
    ],
)
def test_what_is_wrong_is_told(work, method, path, body, code, pointers):
    check_problem(work.http.request(method, work.url + path, json=body), 422, code, pointers=pointers)


@pytest.mark.parametrize("name", ["A", "a%20b", "%C3%A9", "-a", "a" * 64])
def test_wrong_names(http, name):
    check_problem(http.put(f"{ALL}/{name}", json={}), 422, "NAME_INVALID", pointers=["#/name"])
    check_problem(http.get(f"{ALL}/{name}"), 404, "SUBSCRIPTION_NOT_FOUND")
    check_problem(http.post(f"{ALL}/{name}/pull", json={}), 404, "SUBSCRIPTION_NOT_FOUND")


def test_methods_and_types(work):
    answer = work.http.post(work.url, json={})
    check_problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "PUT, GET, HEAD, DELETE, OPTIONS"
    assert work.http.options(f"{work.url}/pull").headers["allow"] == "POST, OPTIONS"
    text = {"content": "{}", "headers": {"Content-Type": "text/plain"}}
    check_problem(work.http.put(work.url, **text), 415)
    check_problem(work.http.post(f"{work.url}/pull", **text), 415)
    broken = {"content": "{", "headers": {"Content-Type": "application/json"}}
    check_problem(work.http.put(work.url, **broken), 400, "MALFORMED_JSON")


def test_pages_of_others_change_nothing(core, start_bridge):
    bridge = start_bridge(core, CORS_ORIGINS="https://app.example.com")
    url = f"{bridge.url}{ALL}/of-a-page"
    for origin, status in (("https://evil.example", 403), ("https://app.example.com", 200)):
        answer = httpx.put(url, json={}, headers={"Origin": origin}, trust_env=False, timeout=20.0)
        assert answer.status_code == status, answer.text


# ---- waiting ----


def waiting(http):
    return scrape(http).value("triggers_bridge_waiting_requests")


def test_a_wait_ends_with_the_event(own, pool):
    work = Work(own)
    answer = pool.submit(work.pull, wait_ms=20000)
    wait_until(lambda: waiting(own) == 1, "a request that waits")
    [event_id] = work.create()
    assert [one["event"]["event_id"] for one in answer.result(10)["deliveries"]] == [event_id]
    wait_until(lambda: waiting(own) == 0, "nobody waits")


def test_a_wait_ends_without_an_event(own):
    start = time.monotonic()
    assert Work(own).pull(wait_ms=1000) == {"deliveries": [], "empty_because": "nothing_new"}
    assert 0.9 < time.monotonic() - start < 15


def test_waits_are_no_calls_in_the_limit(start_core, start_bridge, pool):
    bridge = start_bridge(start_core(), TRIGGERS_BRIDGE_CALLS=2)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0) as own:
        work = Work(own)
        answers = [pool.submit(work.pull, max_events=1, wait_ms=20000) for _ in range(10)]
        wait_until(lambda: waiting(own) == 10, "all wait")
        ids = work.create(10)
        found = [answer.result(10)["deliveries"][0]["event"]["event_id"] for answer in answers]
        assert sorted(found) == sorted(ids)


def test_a_call_may_wait_for_longer_than_others_may_take(start_core, start_bridge):
    bridge = start_bridge(start_core(), TRIGGERS_CALL_TIMEOUT=500)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0) as own:
        work = Work(own)
        start = time.monotonic()
        assert work.pull(wait_ms=1500)["empty_because"] == "nothing_new"
        assert time.monotonic() - start > 1.4


def ask(work, **body):
    text = json.dumps(body)
    head = f"POST {work.url}/pull HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(text)}\r\n\r\n{text}"


@pytest.mark.parametrize("how", ["close", "reset", "shutdown"])
def test_a_client_that_goes_away_while_it_waits_is_noticed(own_bridge, own, how):
    work = Work(own)
    wires = [Wire(own_bridge) for _ in range(5)]
    for wire in wires:
        wire.send(ask(work, wait_ms=20000))
    wait_until(lambda: waiting(own) == 5, "all wait")
    for wire in wires:
        if how == "reset":
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if how == "shutdown":
            wire.socket.shutdown(socket.SHUT_WR)
        else:
            wire.close()
    wait_until(lambda: waiting(own) == 0, "nobody waits", 10)
    if how == "shutdown":
        for wire in wires:
            assert wire.closed()
            wire.close()


@pytest.mark.parametrize("pull_id", ["", "mine"])
def test_a_client_that_has_gone_takes_nothing(own_bridge, own, pull_id):
    work = Work(own)
    wires = [Wire(own_bridge) for _ in range(5)]
    for wire in wires:
        wire.send(ask(work, wait_ms=20000, pull_id=pull_id))
    wait_until(lambda: waiting(own) == 5, "all wait")
    for wire in wires:
        wire.close()
    wait_until(lambda: waiting(own) == 0, "nobody waits", 10)
    ids = work.create()
    [delivery] = work.pull(wait_ms=5000)["deliveries"]
    assert delivery["event"]["event_id"] == ids[0]
    assert delivery["delivery_attempt"] == 1


def test_clients_that_hang_up_when_events_come_lose_none(own_bridge, own):
    """What was sent cannot be told from what was read, so some of them may wait for their lease."""
    work = Work(own)
    fine(own.put(work.url, json={"lease_seconds": 2}))
    found = set()
    for _ in range(20):
        wire = Wire(own_bridge)
        wire.send(ask(work, wait_ms=20000))
        [wanted] = work.create()
        wire.close()
        found.add(wanted)
    deadline = time.monotonic() + 20
    while found and time.monotonic() < deadline:
        taken = work.pull(wait_ms=1000)["deliveries"]
        found -= {delivery["event"]["event_id"] for delivery in taken}
        if taken:
            work.settle("ack", taken)
    assert not found


def test_waits_end_when_the_bridge_stops(own_bridge, own):
    work = Work(own)
    wires = [Wire(own_bridge) for _ in range(10)]
    for wire in wires:
        wire.send(ask(work, wait_ms=20000))
    wait_until(lambda: waiting(own) == 10, "all wait")
    start = time.monotonic()
    own_bridge.stop()
    assert time.monotonic() - start < 15
    for wire in wires:
        answer = wire.read()
        assert answer.status == 200 and answer.headers["connection"] == "close", answer
        assert answer.body == b'{"deliveries":[],"empty_because":"nothing_new"}'
        wire.close()
