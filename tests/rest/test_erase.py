"""A payload is erased over HTTP: answers that have the event show null, and say so."""

import pytest

from rest.checks import MISSING_ID, check_problem


def create(http, payload):
    body = {"source": "crm", "event_type": "lead.created", "payload": payload}
    return http.post("/api/v1/events", json=body).json()


def erase(http, event_id):
    return http.post(f"/api/v1/events/{event_id}/erase")


def test_the_payload_is_null_and_the_rest_stays(http):
    created = create(http, {"name": "Ada"})
    event_id = created["event_id"]
    before = http.get(f"/api/v1/events/{event_id}").json()
    assert "payload_erased" not in before
    answer = erase(http, event_id)
    assert answer.status_code == 200
    assert answer.json() == {"event_id": event_id, "sequence": created["sequence"]}
    after = http.get(f"/api/v1/events/{event_id}")
    assert after.json() == {**before, "payload": None, "payload_erased": True}
    assert erase(http, event_id).json() == answer.json()
    assert after.json() in http.get("/api/v1/inbox").json()["events"]
    log = http.get("/api/v1/events", params={"after": created["sequence"] - 1, "limit": 1}).json()
    assert log["events"] == [after.json()]
    assert http.delete(f"/api/v1/events/{event_id}").status_code == 200
    assert http.get(f"/api/v1/events/{event_id}").json()["status"] == "acknowledged"


def test_a_create_is_repeated_whatever_its_payload(http):
    headers = {"Idempotency-Key": "erased-1"}
    body = {"source": "crm", "event_type": "lead.created", "payload": {"a": 1}}
    first = http.post("/api/v1/events", json=body, headers=headers).json()
    assert erase(http, first["event_id"]).status_code == 200
    again = http.post("/api/v1/events", json={**body, "payload": {}}, headers=headers)
    assert again.json()["event_id"] == first["event_id"]
    assert http.get(f"/api/v1/events/{first['event_id']}").json()["payload"] is None


@pytest.mark.parametrize(
    "event_id",
    ["evt_", "evt_0000000000", "nonsense", MISSING_ID.upper(), MISSING_ID + "0", "%27%3B--", "%20" + MISSING_ID],
)
def test_wrong_ids(http, event_id):
    check_problem(erase(http, event_id), 422, "EVENT_ID_INVALID", pointers=["#/event_id"])


@pytest.mark.parametrize("event_id", ["%ff", "evt_%C0%80", "a%ED%A0%80"])
def test_ids_that_are_no_text(http, event_id):
    check_problem(erase(http, event_id), 422, "PARAMETERS_INVALID", pointers=["#/event_id"])


def test_wrong_requests(http):
    check_problem(erase(http, MISSING_ID), 404, "EVENT_NOT_FOUND")
    check_problem(http.get(f"/api/v1/events/{MISSING_ID}/erase"), 405, "METHOD_NOT_ALLOWED")
