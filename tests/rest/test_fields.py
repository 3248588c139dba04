"""What is wrong with a create is told in full: status, code, detail and each field."""

import json

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
