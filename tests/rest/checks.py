"""What holds for every answer of its kind."""

import contextlib
import re
import sqlite3
from urllib.parse import urlsplit

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
EVENT_ID = re.compile(r"evt_[0-7][0-9a-hjkmnp-tv-z]{25}")
MISSING_ID = "evt_01h455vb4pex5vsknk084sn02q"

CREATE = {"source": "crm", "event_type": "lead.created", "payload": {"a": 1}}


def check_problem(answer, status, code=None, detail=None, pointers=None):
    """An httpx response that is the problem document it should be; returns it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json()
    check_problem_body(problem, status)
    assert problem["request_id"] == answer.headers["x-request-id"]
    if status in (429, 503):
        assert re.fullmatch(r"[1-9]\d*", answer.headers["retry-after"])
    if code:
        assert problem["code"] == code
    if detail:
        assert problem["detail"] == detail
    if pointers is not None:
        assert [error["pointer"] for error in problem.get("errors", [])] == pointers
    return problem


def check_problem_body(problem, status):
    assert problem["type"] == "about:blank"
    assert problem["title"] and isinstance(problem["title"], str)
    assert problem["status"] == status
    assert problem["detail"] and isinstance(problem["detail"], str)
    assert re.fullmatch(r"[A-Z0-9_]+", problem["code"])
    for error in problem.get("errors", []):
        assert set(error) == {"detail", "pointer"} and error["pointer"].startswith("#")


def create(http, **fields):
    """Creates an event and returns its id."""
    answer = http.post("/api/v1/events", json={**CREATE, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["event_id"]


def create_raw(http, payload):
    """Creates an event whose payload is these bytes; returns its id."""
    body = b'{"source":"crm","event_type":"raw","payload":' + payload + b"}"
    answer = http.post(
        "/api/v1/events", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["event_id"]


def remove_first_block(store_url, request):
    """What retention does to the oldest events: the log of a store, which has at least 512, begins at 256
    now. `request` is pytest's."""
    sql = "delete from blocks where block = 0; delete from pending where block = 0"
    if store_url.startswith("sqlite"):
        path = store_url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as store:
            store.executescript(sql)
    else:
        postgres = request.getfixturevalue("postgres")
        postgres.psql(f"set search_path = triggers; {sql}", urlsplit(store_url).path.removeprefix("/"))


def payload_bytes(event):
    """The payload as it stands in the text of a rendered event."""
    start = event.index(b'"payload":') + len(b'"payload":')
    return event[start : event.rindex(b',"status":"')]
