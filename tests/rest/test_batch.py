"""Batches: arrays and NDJSON, a result per item, each by itself."""

import json

import pytest

from rest.checks import CREATE, EVENT_ID, TIME, check_problem, check_problem_body

NDJSON = ["application/x-ndjson", "application/ndjson", "application/jsonl; charset=utf-8"]


def post(http, body, content_type="application/json"):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return http.post(
        "/api/v1/events/batch", content=body, headers={"Content-Type": content_type}
    )


def results(answer):
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["results"]
    return answer.json()["results"]


def check_created(result):
    assert list(result) == ["event_id", "status", "created_at", "sequence"]
    assert EVENT_ID.fullmatch(result["event_id"])
    assert result["status"] == "received"
    assert TIME.fullmatch(result["created_at"])


def check_refused(result, status, pointers, detail=None):
    assert list(result) == ["error"]
    check_problem_body(result["error"], status)
    assert "request_id" not in result["error"]
    assert [error["pointer"] for error in result["error"].get("errors", [])] == pointers
    if detail:
        assert result["error"]["detail"] == detail


MARK = "\ufeff".encode()
LINE = json.dumps(CREATE).encode()


def test_a_byte_order_mark_before_a_batch_is_dropped(http):
    (result,) = results(post(http, MARK + b"[" + LINE + b"]"))
    check_created(result)
    check_problem(post(http, MARK * 2 + b"[" + LINE + b"]"), 400, "MALFORMED_JSON")
    check_problem(post(http, b"[" + MARK + LINE + b"]"), 400, "MALFORMED_JSON")
    check_problem(post(http, MARK), 400, "MALFORMED_JSON")
    answer = check_problem(post(http, MARK + b"[x"), 400, "MALFORMED_JSON")
    assert answer["detail"].endswith("at byte 4")


def test_byte_order_marks_before_lines_are_dropped(http):
    """Of files that were put together each may begin with one."""
    body = MARK + LINE + b"\r\n" + LINE + b"\n" + MARK + b"\r\n" + MARK + LINE
    answered = results(post(http, body, NDJSON[0]))
    assert len(answered) == 3
    for result in answered:
        check_created(result)
    check_problem(post(http, MARK + b"\n", NDJSON[0]), 422, "BATCH_SIZE_INVALID")


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_results_are_in_the_order_sent(http, count):
    sent = [{**CREATE, "payload": {"i": i}} for i in range(count)]
    answered = results(post(http, sent))
    assert len(answered) == count
    for result in answered:
        check_created(result)
    for i in {0, count // 2, count - 1}:
        event = http.get(f"/api/v1/events/{answered[i]['event_id']}").json()
        assert event["payload"] == {"i": i}
    assert len({result["event_id"] for result in answered}) == count


def test_good_and_bad_items_fare_by_themselves(http):
    sent = [
        {**CREATE, "payload": {"i": 0}},
        {"source": "a"},
        {**CREATE, "source": " "},
        "text",
        {**CREATE, "payload": {"i": 4}},
        {**CREATE, "event_type": "x" * 256},
        {**CREATE, "payload": {"a": "x" * 262144}},
        {**CREATE, "source": "a\u0000"},
        {**CREATE, "payload": {"i": 8}},
    ]
    answered = results(post(http, sent))
    assert len(answered) == len(sent)
    for i in (0, 4, 8):
        check_created(answered[i])
        event = http.get(f"/api/v1/events/{answered[i]['event_id']}").json()
        assert event["payload"] == {"i": i}
    check_refused(
        answered[1],
        422,
        ["#/1/event_type", "#/1/payload"],
        "event_type must be given; payload must be given",
    )
    check_refused(answered[2], 422, ["#/2/source"])
    assert answered[2]["error"]["detail"].startswith("source must ")
    check_refused(answered[3], 422, ["#/3"], "the event must be a JSON object")
    check_refused(answered[5], 422, ["#/5/event_type"])
    check_refused(answered[6], 413, ["#/6/payload"])
    check_refused(answered[7], 422, ["#/7/source"])


def test_only_bad_items(http):
    answered = results(post(http, [{}, 1, None, []]))
    check_refused(answered[0], 422, ["#/0/source", "#/0/event_type", "#/0/payload"])
    for i in (1, 2, 3):
        check_refused(answered[i], 422, [f"#/{i}"])


@pytest.mark.parametrize("content_type", NDJSON)
def test_ndjson(http, content_type):
    lines = [json.dumps({**CREATE, "payload": {"i": i}}) for i in range(3)]
    body = ("\n\r\n  \n" + "\r\n".join(lines) + "\n\n").encode()
    answered = results(post(http, body, content_type))
    assert len(answered) == 3
    for i, result in enumerate(answered):
        check_created(result)
        assert http.get(f"/api/v1/events/{result['event_id']}").json()["payload"] == {"i": i}


def test_ndjson_with_bad_lines(http):
    good = json.dumps(CREATE)
    answered = results(post(http, f"{good}\n{{\n{good} x\n[]\n{good}".encode(), NDJSON[0]))
    check_created(answered[0])
    check_refused(answered[1], 400, [])
    assert answered[1]["error"]["code"] == "MALFORMED_JSON"
    assert answered[1]["error"]["detail"].endswith("at byte 1")
    check_refused(answered[2], 400, [])
    check_refused(answered[3], 422, ["#/3"])
    check_created(answered[4])


@pytest.mark.parametrize("body", [[], [CREATE] * 1001, [{}] * 1001])
def test_wrong_sizes(http, body):
    check_problem(post(http, body), 422, "BATCH_SIZE_INVALID", None, ["#"])


@pytest.mark.parametrize("body", [b"", b"\n \n", b"{}\n" * 1001, b"x\n" * 1001])
def test_wrong_sizes_of_ndjson(http, body):
    check_problem(post(http, body, NDJSON[0]), 422, "BATCH_SIZE_INVALID", None, ["#"])


@pytest.mark.parametrize("body", [{}, CREATE, "text", 1, None])
def test_other_values_than_an_array(http, body):
    check_problem(post(http, body), 422, "FIELDS_INVALID", "A batch must be a JSON array", ["#"])


@pytest.mark.parametrize("body", [b"", b"[", b"[{}]]", b"{}\n{}"])
def test_malformed_json(http, body):
    check_problem(post(http, body), 400, "MALFORMED_JSON")


@pytest.mark.parametrize("content_type", ["text/plain", "text/csv", "application/xml"])
def test_wrong_content_type(http, content_type):
    check_problem(post(http, [CREATE], content_type), 415, "CONTENT_TYPE_UNSUPPORTED")


def test_a_batch_of_eight_mebibytes(http):
    payload = {"a": "x" * 261000}
    sent = [{**CREATE, "payload": payload} for _ in range(32)]
    body = json.dumps(sent).encode()
    body += b" " * ((8 << 20) - len(body))
    assert len(results(post(http, body))) == 32
    check_problem(post(http, body + b" "), 413, "BODY_TOO_LARGE")
