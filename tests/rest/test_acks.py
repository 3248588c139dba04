"""POST /api/v1/events/ack: many events acknowledged at once, a result for each."""

import json

import httpx
import pytest

from rest.checks import CREATE, MISSING_ID, TIME, check_problem, check_problem_body, create

PATH = "/api/v1/events/ack"


def ack(http, ids):
    answer = http.post(PATH, json={"event_ids": ids})
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["results"]
    return answer.json()["results"]


def check_acknowledged(result, event_id):
    assert list(result) == ["event_id", "status", "acknowledged_at"]
    assert (result["event_id"], result["status"]) == (event_id, "acknowledged")
    assert TIME.fullmatch(result["acknowledged_at"])


def check_refused(result, status, code, pointers):
    assert list(result) == ["error"]
    check_problem_body(result["error"], status)
    assert result["error"]["code"] == code
    assert [error["pointer"] for error in result["error"].get("errors", [])] == pointers


def create_many(http, count):
    answer = http.post("/api/v1/events/batch", json=[CREATE] * count)
    return [result["event_id"] for result in answer.json()["results"]]


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_results_are_in_the_order_sent(http, count):
    ids = create_many(http, count)[::-1]
    results = ack(http, ids)
    for result, event_id in zip(results, ids, strict=True):
        check_acknowledged(result, event_id)
    event = http.get(f"/api/v1/events/{ids[0]}").json()
    assert event["status"] == "acknowledged"
    assert event["acknowledged_at"] == results[0]["acknowledged_at"]
    pending = http.get("/api/v1/inbox?limit=1000").json()["events"]
    assert not set(ids) & {event["event_id"] for event in pending}


def test_again_and_twice_in_one_answer_with_the_first_time(http):
    event_id = create(http)
    first = http.delete(f"/api/v1/events/{event_id}").json()
    assert ack(http, [event_id, event_id]) == [first, first]
    fresh = create(http)
    one, two = ack(http, [fresh, fresh])
    check_acknowledged(one, fresh)
    assert one == two
    assert ack(http, [fresh]) == [one]


def test_each_fares_by_itself(http):
    ids = [create(http), create(http)]
    sent = [ids[0], MISSING_ID, "nonsense", 7, None, "", "evt_\0", "\ud800", [ids[1]], ids[1]]
    results = http.post(PATH, content=json.dumps({"event_ids": sent})).json()["results"]
    assert len(results) == len(sent)
    check_acknowledged(results[0], ids[0])
    check_acknowledged(results[-1], ids[1])
    check_refused(results[1], 404, "EVENT_NOT_FOUND", [])
    assert results[1]["error"]["detail"] == "Event not found"
    for i in range(2, len(sent) - 1):
        check_refused(results[i], 422, "EVENT_ID_INVALID", [f"#/event_ids/{i}"])


@pytest.mark.parametrize(
    "body, code, pointers",
    [
        ([], "FIELDS_INVALID", ["#"]),
        ("x", "FIELDS_INVALID", ["#"]),
        ({}, "FIELDS_INVALID", ["#/event_ids"]),
        ({"ids": [MISSING_ID]}, "FIELDS_INVALID", ["#/event_ids"]),
        ({"event_ids": MISSING_ID}, "FIELDS_INVALID", ["#/event_ids"]),
        ({"event_ids": None}, "FIELDS_INVALID", ["#/event_ids"]),
        ({"event_ids": []}, "BATCH_SIZE_INVALID", ["#/event_ids"]),
        ({"event_ids": [MISSING_ID] * 1001}, "BATCH_SIZE_INVALID", ["#/event_ids"]),
    ],
)
def test_wrong_bodies(http, body, code, pointers):
    check_problem(http.post(PATH, json=body), 422, code, pointers=pointers)


def test_what_is_around_a_body(http):
    event_id = create(http)
    for content_type, status in [("text/plain", 415), ("application/x-ndjson", 415)]:
        answer = http.post(PATH, json={}, headers={"Content-Type": content_type})
        check_problem(answer, status)
    check_problem(http.post(PATH, content=b"{"), 400, "MALFORMED_JSON")
    check_problem(http.post(PATH, content=b""), 400, "MALFORMED_JSON")
    answer = http.get(PATH)
    check_problem(answer, 405)
    assert answer.headers["allow"] == "POST, OPTIONS"
    body = b'\xef\xbb\xbf{"event_ids":[],"x":[1],"event_ids":["%s"]}' % event_id.encode()
    (result,) = http.post(PATH + "/", content=body).json()["results"]
    check_acknowledged(result, event_id)


def test_without_a_core(start_bridge):
    bridge = start_bridge(None, TRIGGERS_CORE="ws://127.0.0.1:1/rpc")
    answer = httpx.post(bridge.url + PATH, json={"event_ids": [MISSING_ID]}, trust_env=False)
    check_problem(answer, 503, "CORE_UNREACHABLE")
