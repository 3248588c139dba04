"""Create, get and acknowledge one event."""

import json
import time

import pytest

from rest.checks import CREATE, EVENT_ID, MISSING_ID, TIME, check_problem, create
from support.typeid import new_event_id


def test_create_answers_with_the_documented_members(http):
    answer = http.post("/api/v1/events", json=CREATE)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["event_id", "status", "created_at", "message", "sequence"]
    assert EVENT_ID.fullmatch(body["event_id"])
    assert TIME.fullmatch(body["created_at"])
    assert body["status"] == "received"
    assert body["message"] == "Event successfully ingested"
    assert type(body["sequence"]) is int and body["sequence"] >= 1
    assert answer.headers["location"] == f"/api/v1/events/{body['event_id']}"


def test_created_event_is_read_at_its_location(http):
    created = http.post("/api/v1/events", json=CREATE)
    answer = http.get(created.headers["location"])
    assert answer.status_code == 200
    assert answer.json() == {
        "event_id": created.json()["event_id"],
        **CREATE,
        "status": "pending",
        "created_at": created.json()["created_at"],
        "acknowledged_at": None,
        "sequence": created.json()["sequence"],
        "ordering_key": None,
        "deliver_at": None,
    }
    assert list(answer.json()) == [
        "event_id",
        "source",
        "event_type",
        "payload",
        "status",
        "created_at",
        "acknowledged_at",
        "sequence",
        "ordering_key",
        "deliver_at",
    ]


def test_a_create_with_an_id_of_its_own_is_stored_once(http):
    event_id = new_event_id()
    body = {**CREATE, "event_id": event_id}
    first = http.post("/api/v1/events", json=body)
    assert first.status_code == 201 and first.json()["event_id"] == event_id
    assert first.headers["location"] == f"/api/v1/events/{event_id}"
    again = http.post("/api/v1/events", json=body)
    assert again.status_code == 201 and again.content == first.content
    check_problem(
        http.post("/api/v1/events", json={**body, "payload": {"a": 2}}), 409, "EVENT_ID_TAKEN"
    )
    assert http.get(f"/api/v1/events/{event_id}").json()["payload"] == CREATE["payload"]


def test_ids_in_a_batch(http):
    ids = [new_event_id() for _ in range(3)]
    items = [{**CREATE, "event_id": event_id} for event_id in ids]
    items[1] = {**CREATE, "event_id": "nonsense"}
    items.append({**items[0], "payload": {"a": 2}})
    items.append(CREATE)
    for content_type, body in [
        ("application/json", json.dumps(items)),
        ("application/x-ndjson", "\n".join(map(json.dumps, items))),
    ]:
        answer = http.post(
            "/api/v1/events/batch", content=body, headers={"Content-Type": content_type}
        )
        results = answer.json()["results"]
        assert [results[0]["event_id"], results[2]["event_id"]] == [ids[0], ids[2]]
        assert results[1]["error"]["code"] == "EVENT_ID_INVALID"
        assert results[1]["error"]["errors"][0]["pointer"] == "#/1/event_id"
        assert results[3]["error"]["code"] == "EVENT_ID_TAKEN"
        assert EVENT_ID.fullmatch(results[4]["event_id"])


OLD_ID = "evt_0123456789ab"


@pytest.mark.parametrize(
    "event_id", ["", "x", "evt_", MISSING_ID.upper(), MISSING_ID + "0", OLD_ID, 1, [], "\0", "\ud800"]
)
def test_ids_that_are_none_are_refused(http, event_id):
    answer = http.post("/api/v1/events", content=json.dumps({**CREATE, "event_id": event_id}))
    check_problem(answer, 422, pointers=["#/event_id"])


def test_null_is_no_id_and_of_repeated_ones_the_last_counts(http):
    assert EVENT_ID.fullmatch(create(http, event_id=None))
    event_id = new_event_id()
    body = '{"event_id":"x",%s,"event_id":"%s"}' % (json.dumps(CREATE)[1:-1], event_id)
    assert http.post("/api/v1/events", content=body).json()["event_id"] == event_id


def test_created_at_is_now(http):
    before = time.time()
    created_at = http.post("/api/v1/events", json=CREATE).json()["created_at"]
    whole = time.strptime(created_at[:19], "%Y-%m-%dT%H:%M:%S")
    assert abs(time.mktime(whole) - time.mktime(time.gmtime(before))) < 30


@pytest.mark.parametrize(
    "sent, stored",
    [
        ("CRM", "crm"),
        ("  \t\n Padded \r\n", "padded"),
        ("\u2003wide\u00a0", "wide"),
        ("ÄÖÜ ẞ", "äöü ß"),
        ("a\tb", "a\tb"),
        ('quote" back\\slash', 'quote" back\\slash'),
        ("\U0001f600", "\U0001f600"),
        ("x" * 255, "x" * 255),
        (" " + "é" * 255 + " ", "é" * 255),
        ("a\u007f\u0001", "a\u007f\u0001"),
    ],
)
def test_names_are_normalised(http, sent, stored):
    event = http.get(f"/api/v1/events/{create(http, source=sent, event_type=sent)}").json()
    assert event["source"] == stored and event["event_type"] == stored


def test_unknown_members_are_ignored_and_the_last_of_repeated_ones_counts(http):
    body = (
        b'{"source":"first","x":[{"source":1}],"source":"second","event_type":1,'
        b'"event_type":"t","payload":[],"payload":{"p":1},"\\u0070ayload":{"p":2}}'
    )
    answer = http.post("/api/v1/events", content=body)
    assert answer.status_code == 201, answer.text
    event = http.get(answer.headers["location"]).json()
    assert (event["source"], event["event_type"], event["payload"]) == ("second", "t", {"p": 2})


def test_acknowledge(http):
    event_id = create(http)
    answer = http.delete(f"/api/v1/events/{event_id}")
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["event_id", "status", "acknowledged_at"]
    assert body["event_id"] == event_id and body["status"] == "acknowledged"
    assert TIME.fullmatch(body["acknowledged_at"])
    event = http.get(f"/api/v1/events/{event_id}").json()
    assert event["status"] == "acknowledged"
    assert event["acknowledged_at"] == body["acknowledged_at"] >= event["created_at"]
    assert event["payload"] == CREATE["payload"]


def test_acknowledging_again_answers_with_the_first_time(http):
    path = f"/api/v1/events/{create(http)}"
    first = http.delete(path)
    again = http.delete(path)
    assert again.status_code == 200 and again.content == first.content


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    "event_id",
    [
        MISSING_ID,
        "nonsense",
        "evt_",
        MISSING_ID.upper(),
        "evt_0123456789ab",
        "evt_0123456789abc",
        "evt_81h455vb4pex5vsknk084sn02q",
        MISSING_ID + "0",
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "%20" + MISSING_ID,
        MISSING_ID[:-1] + "%C3%A9",
    ],
)
def test_events_that_do_not_exist(http, method, event_id):
    answer = http.request(method, f"/api/v1/events/{event_id}")
    check_problem(answer, 404, "EVENT_NOT_FOUND", "Event not found", pointers=[])
