"""API_COMPATIBILITY=fastapi: what clients of the service before parse."""

import datetime
import json
import re

import httpx
import pytest

from rest.checks import CREATE, MISSING_ID, check_problem, create

BRIDGE_SETTINGS = {"API_COMPATIBILITY": "fastapi"}

JSON = {"Content-Type": "application/json"}
NAIVE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")


def check_validation_error(answer, *expected):
    """HTTPValidationError of FastAPI's description, which generated clients insist on."""
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["detail"]
    errors = answer.json()["detail"]
    for error in errors:
        assert {"loc", "msg", "type"} <= set(error) <= {"loc", "msg", "type", "ctx"}
        assert all(isinstance(part, (str, int)) for part in error["loc"])
    assert [(error["loc"], error["type"], error["msg"]) for error in errors] == list(expected)


def post(http, body, path="/api/v1/events"):
    return http.post(path, content=body if isinstance(body, bytes) else json.dumps(body), headers=JSON)


MISSING = ("missing", "Field required")
STRING = ("string_type", "Input should be a valid string")
SHORT = ("string_too_short", "String should have at least 1 character")
LONG = ("string_too_long", "String should have at most 255 characters")
DICT = ("dict_type", "Input should be a valid dictionary")
OBJECT = ("model_attributes_type", "Input should be a valid dictionary or object to extract fields from")


@pytest.mark.parametrize("field", ["source", "event_type", "payload"])
def test_a_missing_field(http, field):
    body = {name: value for name, value in CREATE.items() if name != field}
    check_validation_error(post(http, body), (["body", field], *MISSING))


def test_all_fields_missing(http):
    fields = ("source", "event_type", "payload")
    check_validation_error(post(http, {}), *((["body", field], *MISSING) for field in fields))


@pytest.mark.parametrize(
    "field,value,expected",
    [
        ("source", 5, STRING),
        ("source", None, STRING),
        ("source", "", SHORT),
        ("event_type", " \t ", SHORT),
        ("source", "x" * 256, LONG),
        ("payload", [], DICT),
        ("payload", "text", DICT),
        ("payload", None, DICT),
        ("source", "a\0b", ("value_error", "Value error, must not have the character U+0000")),
    ],
)
def test_a_wrong_field(http, field, value, expected):
    check_validation_error(post(http, {**CREATE, field: value}), (["body", field], *expected))


def test_a_body_that_is_no_object(http):
    for body in ([], "text", 5, None):
        check_validation_error(post(http, body), (["body"], *OBJECT))
    check_validation_error(post(http, b""), (["body"], *MISSING))


def test_a_body_that_is_not_json(http):
    answer = post(http, b'{"source": }')
    check_validation_error(answer, (["body", 11], "json_invalid", "JSON decode error"))
    assert "not valid JSON" in answer.json()["detail"][0]["ctx"]["error"]


def test_a_key_that_was_used(http):
    headers = {**JSON, "Idempotency-Key": "compat"}
    assert http.post("/api/v1/events", json=CREATE, headers=headers).status_code == 201
    answer = http.post("/api/v1/events", json={**CREATE, "payload": {}}, headers=headers)
    assert answer.status_code == 422 and answer.json()["detail"][0]["msg"]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "order=up", "cursor=nonsense"])
def test_a_wrong_parameter(http, query):
    answer = http.get(f"/api/v1/inbox?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"][0]["loc"] == ["query", query.split("=")[0]]


def test_batches_and_acknowledgements(http):
    for path in ("/api/v1/events/batch", "/api/v1/events/ack"):
        for body in ({"a": 1} if path.endswith("batch") else [], 5):
            assert post(http, body, path).json()["detail"][0]["loc"][0] == "body"


def test_other_errors_are_as_ever(http):
    check_problem(http.get(f"/api/v1/events/{MISSING_ID}"), 404, "EVENT_NOT_FOUND")
    check_problem(http.get("/nowhere"), 404, "ROUTE_NOT_FOUND")
    answer = http.post("/api/v1/events", content="x", headers={"Content-Type": "text/plain"})
    check_problem(answer, 415)


def test_times_can_be_read_by_old_pythons(http):
    event_id = create(http)
    created = http.get(f"/api/v1/events/{event_id}").json()["created_at"]
    batch = post(http, [CREATE], "/api/v1/events/batch").json()["results"][0]
    acked = http.delete(f"/api/v1/events/{event_id}").json()["acknowledged_at"]
    again = post(http, {"event_ids": [event_id]}, "/api/v1/events/ack").json()["results"][0]
    page = http.get("/api/v1/inbox?status=acknowledged").json()["events"][0]
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    times = [created, batch["created_at"], acked, again["acknowledged_at"], page["created_at"],
             page["acknowledged_at"], post(http, CREATE).json()["created_at"]]
    for time in times:
        assert NAIVE.fullmatch(time), time
        assert abs(datetime.datetime.fromisoformat(time) - now) < datetime.timedelta(hours=1)


@pytest.mark.parametrize("status", ["unknown", "", "PENDING", "pending%20", "all"])
def test_an_unknown_status_is_one_that_no_event_has(http, status):
    create(http)
    answer = http.get(f"/api/v1/inbox?status={status}")
    assert answer.status_code == 200
    assert answer.json() == {"events": [], "total": 0, "next_cursor": None}
    assert http.get(f"/api/v1/inbox?status={status}&status=pending").json()["total"] > 0
    assert http.get(f"/api/v1/inbox?status={status}&limit=0").status_code == 422


def test_off_by_default(core, start_bridge):
    with httpx.Client(base_url=start_bridge(core).url, trust_env=False) as http:
        check_problem(post(http, {}), 422, "FIELDS_INVALID")
        check_problem(http.get("/api/v1/inbox?status=unknown"), 422, "PARAMETERS_INVALID")
        assert post(http, CREATE).json()["created_at"].endswith("Z")
