"""Create, get and acknowledge one event."""

import time

import pytest

from rest.checks import CREATE, EVENT_ID, MISSING_ID, TIME, check_problem, create


def test_create_answers_with_the_documented_members(http):
    answer = http.post("/api/v1/events", json=CREATE)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["event_id", "status", "created_at", "message"]
    assert EVENT_ID.fullmatch(body["event_id"])
    assert TIME.fullmatch(body["created_at"])
    assert body["status"] == "received"
    assert body["message"] == "Event successfully ingested"
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
    }
    assert list(answer.json()) == [
        "event_id",
        "source",
        "event_type",
        "payload",
        "status",
        "created_at",
        "acknowledged_at",
    ]


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
