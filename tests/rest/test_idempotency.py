"""Idempotency-Key: a create that is sent again is stored once."""

import json
import sqlite3
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed

import httpx
import pytest

from rest.checks import CREATE, check_problem, check_problem_body
from support.rpc import fails


def key():
    return str(uuid.uuid4())


def post(http, name, **fields):
    return http.post(
        "/api/v1/events", json={**CREATE, **fields}, headers={"Idempotency-Key": name}
    )


def test_same_key_and_body_answers_with_the_first_result(http):
    name = key()
    first = post(http, name)
    assert first.status_code == 201
    again = post(http, f'"{name}"')  # quoted and bare are one key
    assert again.status_code == 201
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert post(http, key()).content != first.content


def test_rest_and_the_binary_protocol_share_keys(http, rpc):
    name = key()
    first = post(http, name).json()
    fields = {"source": CREATE["source"], "event_type": CREATE["event_type"]}
    payload = json.dumps(CREATE["payload"], separators=(",", ":")).encode()
    again = rpc.event("CreateEvent", **fields, payload=payload, idempotency_key=name)
    assert again.event_id == first["event_id"]
    error = fails("INVALID_ARGUMENT", rpc.event, "CreateEvent", **fields, payload=b"{}", idempotency_key=name)
    assert error.reason == "IDEMPOTENCY_KEY_REUSED"


def test_same_key_and_other_body_is_422(http):
    name = key()
    first = post(http, name).json()
    check_problem(post(http, name, payload={"a": 2}), 422, "IDEMPOTENCY_KEY_REUSED")
    assert http.get(f"/api/v1/events/{first['event_id']}").json()["payload"] == CREATE["payload"]


def test_a_key_belongs_to_its_source_and_route(http):
    name = key()
    first = post(http, name, payload={"n": 1}).json()
    other = post(http, name, source="erp", payload={"n": 2}).json()
    headers = {"Idempotency-Key": name}
    batch = http.post("/api/v1/events/batch", json=[{**CREATE, "payload": {"n": 3}}], headers=headers)
    alike = post(http, f"{name}#0", payload={"n": 4}).json()
    ids = [first["event_id"], other["event_id"], batch.json()["results"][0]["event_id"], alike["event_id"]]
    assert len(set(ids)) == 4


@pytest.mark.parametrize("name", ["", '""', '"open', "x" * 256, "tab\there", b"\xc3\xa9"])
def test_a_key_that_is_none_is_400(http, name):
    check_problem(post(http, name), 400, "IDEMPOTENCY_KEY_INVALID")


def test_two_keys_are_400(http):
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = http.post("/api/v1/events", json=CREATE, headers=headers)
    check_problem(answer, 400, "IDEMPOTENCY_KEY_INVALID")


def test_batches_are_stored_once(http):
    headers = {"Idempotency-Key": key()}
    items = [{**CREATE, "payload": {"n": n}} for n in range(5)]
    items[2] = {"source": ""}
    first = http.post("/api/v1/events/batch", json=items, headers=headers).json()["results"]
    items[4]["payload"] = {"n": "other"}
    again = http.post("/api/v1/events/batch", json=items, headers=headers).json()["results"]
    assert first[:2] == again[:2] and first[3] == again[3]
    check_problem_body(again[4]["error"], 422)
    assert again[4]["error"]["code"] == "IDEMPOTENCY_KEY_REUSED"
    long = {"Idempotency-Key": "x" * 251}
    answer = http.post("/api/v1/events/batch", json=items, headers=long)
    check_problem(answer, 400, "IDEMPOTENCY_KEY_INVALID")


def test_while_the_first_is_in_flight_the_second_is_409(start_core, start_bridge, tmp_path):
    path = tmp_path / "slow.db"
    bridge = start_bridge(start_core(DATABASE_URL=f"sqlite:///{path}"))
    name = key()
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as http:
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("begin immediate")  # the core's commit waits for us
        with ThreadPoolExecutor(2) as pool:
            answers = as_completed([pool.submit(post, http, name) for _ in range(2)])
            check_problem(next(answers).result(), 409, "IDEMPOTENCY_KEY_IN_USE")
            lock.execute("rollback")
            lock.close()
            first = next(answers).result()
        assert first.status_code == 201
        assert post(http, name).content == first.content


def test_the_old_name_of_the_header_is_the_same(http):
    name = key()
    first = http.post("/api/v1/events", json=CREATE, headers={"X-Idempotency-Key": name})
    assert first.status_code == 201
    assert post(http, name).content == first.content
    both = {"X-Idempotency-Key": f'"{name}"', "idempotency-key": name}
    assert http.post("/api/v1/events", json=CREATE, headers=both).content == first.content
    other = http.post("/api/v1/events", json=[], headers={"x-idempotency-key": name})
    check_problem(other, 422, "FIELDS_INVALID")
    headers = {"X-Idempotency-Key": key()}
    one, two = (
        http.post("/api/v1/events/batch", json=[CREATE], headers=headers).json() for _ in range(2)
    )
    assert one == two


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Idempotency-Key", "a"), ("Idempotency-Key", "b")],
        [("X-Idempotency-Key", ""), ("Idempotency-Key", "b")],
        [("X-Idempotency-Key", "a"), ("Idempotency-Key", "")],
        [("X-Idempotency-Key", "a"), ("X-Idempotency-Key", "a")],
        [("X-Idempotency-Key", "x" * 256)],
        [("X-Idempotency-Key", "")],
    ],
)
def test_keys_that_differ_or_are_none_are_400(http, headers):
    answer = http.post("/api/v1/events", json=CREATE, headers=headers)
    check_problem(answer, 400, "IDEMPOTENCY_KEY_INVALID")


def test_an_id_beside_a_key_is_refused(http):
    body = {**CREATE, "event_id": "evt_01h455vb4pex5vsknk084sn02q"}
    headers = {"Idempotency-Key": key()}
    answer = http.post("/api/v1/events", json=body, headers=headers)
    check_problem(answer, 422, "FIELDS_INVALID", pointers=["#/event_id"])
    answer = http.post("/api/v1/events/batch", json=[CREATE, body], headers=headers)
    created, refused = answer.json()["results"]
    assert created["status"] == "received"
    assert refused["error"]["errors"][0]["pointer"] == "#/1/event_id"
