"""The log: parts of it from a position on, filters, which the inbox has too, and waiting for more."""

import concurrent.futures
import datetime
import itertools
import socket
import time

import httpx
import pytest

from rest.checks import CREATE, check_problem, create, remove_first_block
from rest.wire import Wire, get
from support.metrics import scrape
from support.network import wait_until
from support.rpc import OLD_TOKEN
from support.services import Bridge, Core

LAST = (1 << 63) - 1


@pytest.fixture
def own_bridge(start_core, start_bridge, new_store_url):
    """A bridge whose store is this test's own, empty."""
    return start_bridge(start_core(DATABASE_URL=new_store_url()))


@pytest.fixture
def own(own_bridge):
    with httpx.Client(base_url=own_bridge.url, trust_env=False, timeout=30.0) as http:
        yield http


def log(http, **parameters):
    answer = http.get("/api/v1/events", params=parameters)
    assert answer.status_code == 200, answer.text
    part = answer.json()
    assert list(part) == ["events", "next_after", "first_sequence"]
    sequences = [event["sequence"] for event in part["events"]]
    assert sequences == sorted(set(sequences))
    assert part["next_after"] >= max([*sequences, int(parameters.get("after", 0))])
    return part


def ids(page):
    return [event["event_id"] for event in page["events"]]


def walk(http, **parameters):
    """The ids of all events of the log, read part by part."""
    found, after = [], 0
    while True:
        part = log(http, after=after, **parameters)
        if not part["events"] and part["next_after"] == after:
            return found
        found += ids(part)
        after = part["next_after"]


def walk_events(http, **parameters):
    """The events of the log, one by one."""
    found, after = [], 0
    while (part := log(http, after=after, limit=1, **parameters))["events"]:
        found += part["events"]
        after = part["next_after"]
    return found


def waiting(http):
    return scrape(http).value("triggers_bridge_waiting_requests")


# ---- positions ----


def test_an_empty_log_is_these_bytes(own):
    assert own.get("/api/v1/events").content == b'{"events":[],"next_after":0,"first_sequence":1}'


def test_the_log_has_everything_in_the_order_in_which_it_was_stored(own):
    created = [create(own, payload={"i": i}) for i in range(60)]
    for event_id in created[::2]:
        assert own.delete(f"/api/v1/events/{event_id}").status_code == 200
    part = log(own)
    assert ids(part) == created[:50] and part["next_after"] == 50 and part["first_sequence"] == 1
    assert [event["sequence"] for event in part["events"]] == list(range(1, 51))
    assert ids(log(own, after=50)) == created[50:]
    assert ids(log(own, after=7, limit=3)) == created[7:10]
    assert ids(log(own, limit=1000)) == created
    for limit in (1, 7, 60):
        assert walk(own, limit=limit) == created
    event = log(own, after=1, limit=1)["events"][0]
    assert event == own.get(f"/api/v1/events/{created[1]}").json()
    assert event["status"] == "pending" and log(own, limit=1)["events"][0]["status"] == "acknowledged"


def test_sequences_are_told_everywhere(own):
    first = own.post("/api/v1/events", json=CREATE).json()
    batch = own.post("/api/v1/events/batch", json=[CREATE, CREATE]).json()["results"]
    assert [first["sequence"], *(event["sequence"] for event in batch)] == [1, 2, 3]
    again = own.post("/api/v1/events", json={**CREATE, "event_id": first["event_id"]}).json()
    assert again["sequence"] == 1
    assert own.get(f"/api/v1/events/{batch[1]['event_id']}").json()["sequence"] == 3
    page = own.get("/api/v1/inbox?order=asc").json()
    assert [event["sequence"] for event in page["events"]] == [1, 2, 3]


@pytest.mark.parametrize("after", [3, 4, 1000, LAST])
def test_past_the_end_there_is_nothing(own, after):
    for _ in range(3):
        create(own)
    assert log(own, after=after) == {"events": [], "next_after": after, "first_sequence": 1}
    answer = own.head(f"/api/v1/events?after={after}")
    assert answer.status_code == 200 and not answer.content


def test_parts_end_early_by_size(own):
    payload = {"a": "x" * 250_000}
    created = [create(own, payload=payload) for _ in range(40)]
    first = log(own, limit=1000)
    assert len(first["events"]) * 250_000 <= 8 << 20 < (len(first["events"]) + 1) * 250_020
    assert ids(first) + ids(log(own, limit=1000, after=first["next_after"])) == created


def test_a_removed_position_is_told_with_the_first_that_is_there(
    start_core, start_bridge, new_store_url, request
):
    url = new_store_url()
    with httpx.Client(base_url=start_bridge(start_core(DATABASE_URL=url)).url, trust_env=False) as own:
        assert own.post("/api/v1/events/batch", json=[CREATE] * 600).status_code == 200
        remove_first_block(url, request)
        for query in ("after=1", "after=254", "after=7&wait=20", "after=1&source=none"):
            problem = check_problem(own.get(f"/api/v1/events?{query}"), 410, "POSITION_REMOVED", pointers=[])
            assert problem["first_sequence"] == 256 and problem["title"] == "Gone"
            stream = own.get(f"/api/v1/events/stream?{query}")
            assert check_problem(stream, 410, "POSITION_REMOVED")["first_sequence"] == 256
        stream = own.get("/api/v1/events/stream", headers={"Last-Event-ID": "254"})
        check_problem(stream, 410, "POSITION_REMOVED")
        part = log(own, after=255, limit=1)
        assert part["events"][0]["sequence"] == 256 and part["first_sequence"] == 256
        assert log(own, limit=1)["events"][0]["sequence"] == 256  # 0 is the beginning, wherever it is
        count = scrape(own).value("triggers_bridge_requests_total", route="/api/v1/events", status="410")
        assert count == 4


# ---- filters ----

NAMES = [
    ("crm", "lead.created"),
    ("crm", "lead.lost"),
    ("crm-eu", "lead.created"),
    ("shop", "order.paid"),
    ("shöp", "order.paid"),
]
FILTERS = [
    ({}, [0, 1, 2, 3, 4]),
    ({"source": "crm"}, [0, 1]),
    ({"source": " CRM "}, [0, 1]),
    ({"source": "crm*"}, [0, 1, 2]),
    ({"source": "*"}, [0, 1, 2, 3, 4]),
    ({"source": ["crm-eu", "shop"]}, [2, 3]),
    ({"source": "shöp"}, [4]),
    ({"event_type": "lead.*"}, [0, 1, 2]),
    ({"event_type": ["lead.lost", "order.*"]}, [1, 3, 4]),
    ({"source": "crm*", "event_type": "lead.created"}, [0, 2]),
    ({"source": "shop", "event_type": "lead.created"}, []),
    ({"source": "none"}, []),
    ({"source": ["crm", "none"] * 20}, [0, 1]),
    ({"from": "1970-01-01T00:00:00Z"}, [0, 1, 2, 3, 4]),
    ({"from": "2999-01-01T00:00:00+02:00"}, []),
    ({"until": "2999-12-31T23:59:59.999999999Z"}, [0, 1, 2, 3, 4]),
    ({"until": "1970-01-01T00:00:00Z"}, []),
    ({"from": "0001-01-01T00:00:00Z", "until": "9999-12-31T23:59:59Z", "source": "shop"}, [3]),
]


@pytest.fixture(scope="module")
def module_bridge(new_store_url, tmp_path_factory):
    core = Core(tmp_path_factory.mktemp("core"), DATABASE_URL=new_store_url())
    bridge = Bridge(tmp_path_factory.mktemp("bridge"), core.wait_serving())
    try:
        yield bridge.wait_answering("/ready")
    finally:
        bridge.stop()
        core.stop()


@pytest.fixture(scope="module")
def filled(module_bridge):
    """A client of a bridge with an event of each of NAMES, and again."""
    with httpx.Client(base_url=module_bridge.url, trust_env=False, timeout=30.0) as http:
        for source, event_type in NAMES * 2:
            create(http, source=source, event_type=event_type)
        yield http


@pytest.mark.parametrize(("parameters", "expected"), FILTERS)
def test_filters_of_log_and_inbox(filled, parameters, expected):
    expected = [NAMES[i] for i in expected] * 2
    names = lambda page: [(event["source"], event["event_type"]) for event in page["events"]]  # noqa: E731
    part = log(filled, **parameters)
    assert names(part) == expected and part["next_after"] == 10
    inbox = filled.get("/api/v1/inbox", params={"order": "asc", **parameters})
    assert inbox.status_code == 200 and names(inbox.json()) == expected
    newest = filled.get("/api/v1/inbox", params=parameters).json()
    assert names(newest) == expected[::-1]
    assert [e["sequence"] for e in newest["events"]] == [e["sequence"] for e in part["events"]][::-1]
    assert [e["sequence"] for e in walk_events(filled, **parameters)] == [
        e["sequence"] for e in part["events"]
    ]


def test_pages_of_a_filtered_inbox(filled):
    page = filled.get("/api/v1/inbox?source=crm*&limit=2").json()
    rest = filled.get("/api/v1/inbox", params={"source": "crm*", "cursor": page["next_cursor"]}).json()
    assert [e["sequence"] for e in page["events"] + rest["events"]] == [8, 7, 6, 3, 2, 1]
    other = filled.get("/api/v1/inbox", params={"source": "shop", "cursor": page["next_cursor"]})
    check_problem(other, 422, "PAGE_TOKEN_INVALID", pointers=["#/cursor"])


def test_times_decide_to_the_microsecond(filled):
    events = log(filled)["events"]
    times = [event["created_at"] for event in events]
    for i in (0, 4, 9):
        later = [e["sequence"] for e in events if e["created_at"] >= times[i]]
        assert [e["sequence"] for e in log(filled, **{"from": times[i]})["events"]] == later
        earlier = [e["sequence"] for e in events if e["created_at"] < times[i]]
        assert [e["sequence"] for e in log(filled, until=times[i])["events"]] == earlier
        # A nanosecond after it, in another zone.
        west = datetime.timezone(datetime.timedelta(hours=-3))
        moment = datetime.datetime.fromisoformat(times[i]).astimezone(west)
        after = moment.strftime("%Y-%m-%dT%H:%M:%S.%f001-03:00")
        assert [e["sequence"] for e in log(filled, **{"from": after})["events"]] == [
            e["sequence"] for e in events if e["created_at"] > times[i]
        ]


def test_kinds_are_listed(filled):
    kinds = filled.get("/api/v1/kinds").json()
    assert kinds == {
        "kinds": [{"source": source, "event_type": event_type} for source, event_type in NAMES],
        "next_page_token": "",
    }
    found, token = [], ""
    for _ in range(3):
        page = filled.get("/api/v1/kinds", params={"page_size": 2, "page_token": token}).json()
        found += [(kind["source"], kind["event_type"]) for kind in page["kinds"]]
        token = page["next_page_token"]
    assert found == NAMES and token == ""
    cursor = filled.get("/api/v1/inbox?limit=1").json()["next_cursor"]
    for query, code in (
        ("page_size=-1", "PAGE_SIZE_INVALID"),
        ("page_size=x", "PARAMETERS_INVALID"),
        ("page_size=2147483648", "PARAMETERS_INVALID"),
        ("page_token=x", "PAGE_TOKEN_INVALID"),
        ("page_token=" + "0" * 5000, "PAGE_TOKEN_INVALID"),
        (f"page_token={OLD_TOKEN}", "PAGE_TOKEN_INVALID"),
        (f"page_token={cursor}", "PAGE_TOKEN_INVALID"),
        ("page_token=%ff", "PARAMETERS_INVALID"),
    ):
        answer = filled.get(f"/api/v1/kinds?{query}")
        check_problem(answer, 422, code, pointers=[f"#/{query.partition('=')[0]}"])
    first = filled.get("/api/v1/kinds?page_size=1").json()["next_page_token"]
    check_problem(filled.get(f"/api/v1/inbox?cursor={first}"), 422, "PAGE_TOKEN_INVALID", pointers=["#/cursor"])


# ---- bad input ----


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("after=-1", ["#/after"]),
        ("after=", ["#/after"]),
        ("after", ["#/after"]),
        ("after=x", ["#/after"]),
        ("after=1x", ["#/after"]),
        ("after=1.0", ["#/after"]),
        ("after=+1", ["#/after"]),
        ("after=%2B1", ["#/after"]),
        ("after=0x10", ["#/after"]),
        ("after=1%00", ["#/after"]),
        ("after=9223372036854775808", ["#/after"]),
        ("after=" + "9" * 100, ["#/after"]),
        ("after=latest", ["#/after"]),
        ("after=1&after=x", ["#/after"]),
        ("limit=0", ["#/limit"]),
        ("limit=1001", ["#/limit"]),
        ("limit=-1", ["#/limit"]),
        ("limit=" + "1" * 30, ["#/limit"]),
        ("wait=21", ["#/wait"]),
        ("wait=-1", ["#/wait"]),
        ("wait=1.5", ["#/wait"]),
        ("wait=1s", ["#/wait"]),
        ("wait=", ["#/wait"]),
        ("wait=" + "0" * 20 + "x", ["#/wait"]),
        ("from=now", ["#/from"]),
        ("from=", ["#/from"]),
        ("from=2026-01-31", ["#/from"]),
        ("from=2026-02-30T00:00:00Z", ["#/from"]),
        ("from=2026-01-31T23:59:59", ["#/from"]),
        ("from=2026-01-31T23:59:59+02:00", ["#/from"]),
        ("until=0000-01-01T00:00:00Z", ["#/until"]),
        ("until=12026-01-31T23:59:59Z", ["#/until"]),
        ("source=%zz", ["#/source"]),
        ("source=a%00b&source=crm", ["#/source"]),
        ("after=x&wait=x&limit=x&from=x&until=x", ["#/after", "#/wait", "#/limit", "#/from", "#/until"]),
    ],
)
def test_wrong_parameters(http, query, pointers):
    check_problem(http.get(f"/api/v1/events?{query}"), 422, "PARAMETERS_INVALID", pointers=pointers)


@pytest.mark.parametrize("path", ["events", "inbox", "events/stream"])
@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("source=", ["#/source"]),
        ("source", ["#/source"]),
        ("source=%20", ["#/source"]),
        ("event_type=", ["#/event_type"]),
        ("source=a*b", ["#/source"]),
        ("source=**", ["#/source"]),
        ("event_type=*a", ["#/event_type"]),
        ("source=" + "x" * 256, ["#/source"]),
        ("source=" + "x" * 256 + "*", ["#/source"]),
        ("&".join(["source=crm"] * 101), ["#/source"]),
        ("source=crm&source=", ["#/source"]),
        ("from=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z", ["#/until"]),
        ("from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", ["#/until"]),
    ],
)
def test_wrong_filters(http, path, query, pointers):
    check_problem(http.get(f"/api/v1/{path}?{query}"), 422, "FILTER_INVALID", pointers=pointers)


@pytest.mark.parametrize("path", ["events", "inbox", "events/stream"])
@pytest.mark.parametrize("name", ["%ff", "%C0%80", "a%ED%A0%80*"])
def test_names_that_are_no_text(http, path, name):
    answer = http.get(f"/api/v1/{path}?event_type=a&event_type={name}")
    check_problem(answer, 422, "PARAMETERS_INVALID", pointers=["#/event_type"])


@pytest.mark.parametrize(
    "query",
    [
        "",
        "unknown=x&x&cursor=none&status=none&order=none",
        "after=x&after=0",
        "limit=0&limit=5",
        "wait=x&wait=0",
        "after=0001&limit=01&wait=00",
        "%61fter=x",
        "source=" + "x" * 255,
        "source=" + "x" * 255 + "*",
        "source=*&event_type=*",
        "&".join(["source=crm"] * 100),
        f"after={LAST}",
    ],
)
def test_right_parameters(http, query):
    assert http.get(f"/api/v1/events?{query}").status_code == 200


def test_a_query_that_was_cut_is_not_read(http):
    for query in ("source=" + "x" * 8100, "source=crm&x=" + "y" * 8100):
        check_problem(http.get(f"/api/v1/events?{query}"), 414, "TARGET_TOO_LONG")


def test_the_old_services_errors_and_times(core, start_bridge):
    bridge = start_bridge(core, API_COMPATIBILITY="fastapi")
    answer = httpx.get(f"{bridge.url}/api/v1/events?wait=x", trust_env=False, timeout=20.0)
    assert answer.status_code == 422 and answer.json()["detail"][0]["loc"] == ["query", "wait"]


# ---- waiting ----


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        yield pool


def test_a_wait_ends_with_the_event(own, pool):
    before = create(own)
    answer = pool.submit(log, own, after=1, wait=20)
    wait_until(lambda: waiting(own) == 1, "a request that waits")
    created = create(own)
    part = answer.result(10)
    assert ids(part) == [created] != [before] and part["next_after"] == 2
    wait_until(lambda: waiting(own) == 0, "nobody waits")


def test_a_wait_ends_without_an_event(own):
    start = time.monotonic()
    assert log(own, wait=1) == {"events": [], "next_after": 0, "first_sequence": 1}
    assert 0.9 < time.monotonic() - start < 15


def test_who_has_something_to_read_does_not_wait(own):
    create(own)
    start = time.monotonic()
    assert len(log(own, wait=20)["events"]) == 1
    assert time.monotonic() - start < 10


def test_a_filtered_wait_is_not_ended_by_another_event(own, pool):
    create(own, source="other")
    answer = pool.submit(log, own, after=1, wait=20, source="crm*")
    wait_until(lambda: waiting(own) == 1, "a request that waits")
    create(own, source="other")
    created = create(own, source="crm-eu")
    part = answer.result(10)
    assert ids(part) == [created] and part["next_after"] == 3


def test_many_wait_at_once_and_others_are_served(own, pool):
    answers = [pool.submit(log, own, wait=20) for _ in range(90)]
    wait_until(lambda: waiting(own) == 90, "all wait")
    assert own.get("/ready").status_code == 200
    created = create(own)
    assert all(ids(answer.result(10)) == [created] for answer in answers)


def test_waits_are_no_calls_in_the_limit(start_core, start_bridge, pool):
    bridge = start_bridge(start_core(), TRIGGERS_BRIDGE_CALLS=2)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0) as own:
        answers = [pool.submit(log, own, wait=20) for _ in range(20)]
        wait_until(lambda: waiting(own) == 20, "all wait")
        created = create(own)
        assert all(ids(answer.result(10)) == [created] for answer in answers)


def test_a_quarter_of_the_connections_is_not_for_those_that_wait(start_core, start_bridge, pool):
    bridge = start_bridge(start_core(), TRIGGERS_BRIDGE_CONNECTIONS=20)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0) as own:
        answers = [pool.submit(log, own, wait=20) for _ in range(15)]
        wait_until(lambda: waiting(own) == 15, "all wait")
        check_problem(own.get("/api/v1/events?wait=1"), 503, "TOO_MANY_WAITERS")
        check_problem(own.get("/api/v1/events/stream"), 503, "TOO_MANY_WAITERS")
        created = create(own)
        assert all(ids(answer.result(10)) == [created] for answer in answers)


@pytest.mark.parametrize("how", ["close", "reset", "shutdown"])
def test_a_client_that_goes_away_while_it_waits_is_noticed(own_bridge, own, how):
    wires = [Wire(own_bridge) for _ in range(5)]
    for wire in wires:
        wire.send(get("/api/v1/events?wait=20"))
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
        assert all(wire.closed() for wire in wires)
        for wire in wires:
            wire.close()
    metrics = scrape(own)
    broken = metrics.value("triggers_bridge_requests_total", route="/api/v1/events", status="none")
    assert broken == 5 and metrics.value("triggers_bridge_core_calls_in_flight") <= 1


def test_waits_end_when_the_bridge_stops(own_bridge, own):
    create(own)
    wires = [Wire(own_bridge) for _ in range(20)]
    for wire in wires:
        wire.send(get("/api/v1/events?after=1&wait=20"))
    wait_until(lambda: waiting(own) == 20, "all wait")
    start = time.monotonic()
    own_bridge.stop()
    assert time.monotonic() - start < 15
    for wire in wires:
        answer = wire.read()
        assert answer.status == 200 and answer.headers["connection"] == "close"
        assert answer.body == b'{"events":[],"next_after":1,"first_sequence":1}'
        wire.close()


def test_a_wait_survives_a_restart_of_the_core(start_core, start_bridge, new_store_url, pool):
    url = new_store_url()
    core = start_core(DATABASE_URL=url)
    bridge = start_bridge(core)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=30.0) as own:
        answer = pool.submit(own.get, "/api/v1/events?wait=20")
        wait_until(lambda: waiting(own) == 1, "a request that waits")
        core.stop()
        # Nothing is there to be waited for: the caller is told so, or that it may come back.
        assert answer.result(25).status_code in (200, 503)


def test_nobody_who_reads_along_misses_one(own, pool):
    """Writers of four connections, and readers that wait."""
    total = 200

    def write(number):
        return [create(own, payload={"writer": number, "i": i}) for i in range(total // 4)]

    def follow():
        found, after = [], 0
        while len(found) < total:
            part = log(own, after=after, wait=20)
            found += part["events"]
            after = part["next_after"]
        return found

    readers = [pool.submit(follow) for _ in range(4)]
    created = set(itertools.chain(*pool.map(write, range(4))))
    for reader in readers:
        found = reader.result(60)
        assert [event["sequence"] for event in found] == list(range(1, total + 1))
        assert {event["event_id"] for event in found} == created
