"""What is wrong with a create is told in full: status, code, detail and each field."""

import json
from datetime import datetime, timedelta, timezone

import pytest

from rest.checks import CREATE, check_problem

JSON = {"Content-Type": "application/json"}


def post(http, body, headers=JSON):
    return http.post("/api/v1/events", content=body, headers=headers)


@pytest.mark.parametrize(
    "body, offset",
    [
        (b"", 0),
        (b"  ", 2),
        (b"{", 1),
        (b'{"source":"a",}', 14),
        (b"{'source':1}", 1),
        (b'{"a":01}', 6),
        (b'{"a":NaN}', 5),
        (b'{"a":1} x', 8),
        (b"\xef\xbb\xbf" * 2 + b"{}", 3),
        (b'{"a":"\xff"}', 6),
        (b'{"a":"\xed\xa0\x80"}', 6),
        (b'{"a":"\xc0\xaf"}', 6),
        (b'{"a":"tab\there"}', 9),
        (b'{"a":"\\x41"}', 6),
        (b'{"a":"b', 7),
        (b"source=a&event_type=b", 0),
        (b'{"a":' + b"[" * 512 + b"]" * 512 + b"}", 516),
        (b'{"a":1}\0', 7),
    ],
)
def test_malformed_json(http, body, offset):
    problem = check_problem(post(http, body), 400, "MALFORMED_JSON", pointers=[])
    assert problem["detail"].endswith(f"at byte {offset}")


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"1", b"true"])
def test_other_values_than_an_object(http, body):
    check_problem(
        post(http, body), 422, "FIELDS_INVALID", "the event must be a JSON object", ["#"]
    )


@pytest.mark.parametrize("body", [b"{}", b'{"Source":"a","payloads":{}}'])
def test_every_missing_field_is_named(http, body):
    check_problem(
        post(http, body),
        422,
        "FIELDS_INVALID",
        "source must be given; event_type must be given; payload must be given",
        ["#/source", "#/event_type", "#/payload"],
    )


@pytest.mark.parametrize("wrong", [None, 1, 1.5, True, ["a"], {"a": 1}])
def test_names_must_be_strings(http, wrong):
    body = json.dumps({**CREATE, "source": wrong, "event_type": wrong})
    check_problem(post(http, body), 422, "FIELDS_INVALID", None, ["#/source", "#/event_type"])


@pytest.mark.parametrize("wrong", ["null", "1", '"{}"', "true", "[]", "[{}]"])
def test_payload_must_be_an_object(http, wrong):
    body = '{"source":"a","event_type":"b","payload":%s}' % wrong
    check_problem(
        post(http, body), 422, "FIELDS_INVALID", "payload must be a JSON object", ["#/payload"]
    )


@pytest.mark.parametrize("wrong", ['"\\ud800"', '"a\\udc00b"', '"a\\u0000b"', '"\\u0000"'])
def test_names_that_are_no_text(http, wrong):
    body = '{"source":%s,"event_type":%s,"payload":{}}' % (wrong, wrong)
    check_problem(post(http, body), 422, "FIELDS_INVALID", None, ["#/source", "#/event_type"])


@pytest.mark.parametrize("blank", ["", " ", "\t\r\n", "\u3000\u00a0"])
def test_blank_names(http, blank):
    answer = post(http, json.dumps({**CREATE, "source": blank, "event_type": blank}))
    check_problem(answer, 422, "SOURCE_INVALID", None, ["#/source", "#/event_type"])


@pytest.mark.parametrize("field", ["source", "event_type"])
@pytest.mark.parametrize("name", ["x" * 256, "é" * 256, "\U0001f600" * 256, "x" * 60000])
def test_long_names(http, field, name):
    problem = check_problem(
        post(http, json.dumps({**CREATE, field: name})), 422, pointers=[f"#/{field}"]
    )
    assert problem["detail"] == f"{field} {problem['errors'][0]['detail']}"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/problem+json",
        "application/vnd.api+json ; a=b",
        None,
    ],
)
def test_content_types_accepted(http, content_type):
    headers = {"Content-Type": content_type} if content_type else {}
    assert post(http, json.dumps(CREATE), headers).status_code == 201


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/x-ndjson",
        "application/jsonp",
        "application/cloudevents+json",
        "application/cloudevents+json; charset=UTF-8",
        "Application/CloudEvents-Batch+json",
        "application/cloudevents+avro",
        "text/json",
        "application/",
        "garbage",
        "",
    ],
)
def test_content_types_refused(http, content_type):
    answer = post(http, json.dumps(CREATE), {"Content-Type": content_type})
    problem = check_problem(answer, 415, "CONTENT_TYPE_UNSUPPORTED")
    assert "application/json" in problem["detail"]


def test_a_batch_of_cloud_events_is_told_what_is_accepted(http):
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    answer = http.post("/api/v1/events/batch", content="[]", headers=headers)
    problem = check_problem(answer, 415, "CONTENT_TYPE_UNSUPPORTED")
    assert "application/json" in problem["detail"] and "application/x-ndjson" in problem["detail"]


@pytest.mark.parametrize(
    "encoding, status",
    [
        *((encoding, 201) for encoding in ("identity", "IDENTITY", "", "utf-8", "UTF8", "ascii")),
        *((encoding, 201) for encoding in ("utf-8, identity", ",", "identity,")),
        *((encoding, 415) for encoding in ("br", "utf-8, br", "gzip, br", "utf-88", "*")),
    ],
)
def test_content_encodings(http, encoding, status):
    headers = {**JSON, "Content-Encoding": encoding}
    answer = post(http, json.dumps(CREATE), headers)
    assert answer.status_code == status
    if status == 415:
        check_problem(answer, 415, "CONTENT_ENCODING_UNSUPPORTED")


def at(**offset):
    """A time so far from now, to the second."""
    return (datetime.now(timezone.utc) + timedelta(**offset)).strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.parametrize("key", ["a", "Order 7 ", "é" * 127, "\\ \"", "日本"])
def test_an_ordering_key_is_shown_as_it_was_sent(http, key):
    created = post(http, json.dumps({**CREATE, "ordering_key": key}))
    event = http.get(created.headers["location"]).json()
    assert (event["ordering_key"], event["deliver_at"]) == (key, None)
    assert event in http.get("/api/v1/inbox?limit=1").json()["events"]
    after = f"/api/v1/events?after={event['sequence'] - 1}"
    assert http.get(after).json()["events"] == [event]


def test_a_delay_and_a_time_of_delivery_are_shown(http):
    created = post(http, json.dumps({**CREATE, "delay_seconds": 90.0}))
    event = http.get(created.headers["location"]).json()
    waits = datetime.fromisoformat(event["deliver_at"]) - datetime.fromisoformat(event["created_at"])
    assert (waits, event["ordering_key"]) == (timedelta(seconds=90), None)
    soon = at(hours=1)
    created = post(http, json.dumps({**CREATE, "deliver_at": f"{soon}.0000011+00:00"}))
    event = http.get(created.headers["location"]).json()
    assert event["deliver_at"] == f"{soon}.000002Z"


@pytest.mark.parametrize(
    "fields",
    [
        {"ordering_key": None, "deliver_at": None, "delay_seconds": None},
        {"ordering_key": "", "delay_seconds": 0},
        {"deliver_at": "1970-01-01T00:00:00Z"},
        {"deliver_at": "2026-01-31t23:59:59.5+01:00"},
    ],
)
def test_nothing_is_ordered_or_delayed_without_a_key_or_a_time_to_come(http, fields):
    event = http.get(post(http, json.dumps({**CREATE, **fields})).headers["location"]).json()
    assert (event["ordering_key"], event["deliver_at"]) == (None, None)


@pytest.mark.parametrize(
    "fields, details",
    [
        ({"ordering_key": 1}, {"ordering_key": "must be a string"}),
        ({"ordering_key": "a\0b"}, {"ordering_key": "must not have the character U+0000"}),
        ({"ordering_key": "x" * 256}, {"ordering_key": "must have at most 255 bytes in UTF-8"}),
        ({"deliver_at": 5}, {"deliver_at": "must be a string"}),
        (
            {"deliver_at": "tomorrow"},
            {"deliver_at": "must be a time as in RFC 3339, such as 2026-01-31T23:59:59Z"},
        ),
        ({"deliver_at": "2100-01-01T00:00:00Z"}, {"deliver_at": "must be at most 31 days ahead"}),
        *[
            (
                {"delay_seconds": wrong},
                {"delay_seconds": "must be a whole number from 0 to 2678400, which is 31 days"},
            )
            for wrong in (-1, 1.5, 1e20, "5", True, [], 2678401, 2**80)
        ],
        (
            {"delay_seconds": 5, "deliver_at": "2026-01-31T23:59:59Z"},
            {"delay_seconds": "must not be given together with deliver_at"},
        ),
        (
            {"ordering_key": 1, "deliver_at": "x", "delay_seconds": 1},
            {
                "ordering_key": "must be a string",
                "deliver_at": "must be a time as in RFC 3339, such as 2026-01-31T23:59:59Z",
                "delay_seconds": "must not be given together with deliver_at",
            },
        ),
    ],
)
def test_wrong_keys_and_delays_are_named(http, fields, details):
    answer = post(http, json.dumps({**CREATE, **fields}))
    problem = check_problem(answer, 422, pointers=[f"#/{name}" for name in details])
    assert [error["detail"] for error in problem["errors"]] == list(details.values())


@pytest.mark.parametrize("fields", [{"delay_seconds": 1}, {"deliver_at": "2026-01-31T23:59:59Z"}])
def test_a_key_and_a_delay_exclude_each_other(http, fields):
    answer = post(http, json.dumps({**CREATE, "ordering_key": "a", **fields}))
    check_problem(answer, 422, "ORDERING_KEY_WITH_DELAY", pointers=["#/ordering_key"])


def test_an_ordering_key_is_content(http):
    headers = {**JSON, "Idempotency-Key": "an-ordering-key-is-content"}
    body = {**CREATE, "ordering_key": "a"}
    first = post(http, json.dumps(body), headers)
    assert post(http, json.dumps(body), headers).content == first.content
    other = post(http, json.dumps({**body, "ordering_key": "b"}), headers)
    check_problem(other, 422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize("lines", [False, True])
def test_a_batch_has_keys_and_delays(http, lines):
    sent = [
        {**CREATE, "ordering_key": "a"},
        {**CREATE, "delay_seconds": 60},
        {**CREATE, "delay_seconds": -1},
        {**CREATE, "ordering_key": "a", "delay_seconds": 60},
        CREATE,
    ]
    body = "\n".join(json.dumps(each) for each in sent) if lines else json.dumps(sent)
    headers = {"Content-Type": "application/x-ndjson"} if lines else JSON
    answer = http.post("/api/v1/events/batch", content=body, headers=headers)
    results = answer.json()["results"]
    ids = [result["event_id"] for result in results if "event_id" in result]
    read = [http.get(f"/api/v1/events/{event_id}").json() for event_id in ids]
    assert [event["ordering_key"] for event in read] == ["a", None, None]
    assert [bool(event["deliver_at"]) for event in read] == [False, True, False]
    wrong = [result["error"]["errors"][0]["pointer"] for result in results[2:4]]
    assert wrong == ["#/2/delay_seconds", "#/3/ordering_key"]
