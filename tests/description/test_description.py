"""What the bridge says of itself at /openapi.json is right, is what it does, and is of use to the tools of
others: their clients of TypeScript and Python are generated, compiled and run."""

import json
import os
import re
import shutil
import subprocess

import pytest

from description.conftest import HERE
from rest.checks import MISSING_ID
from rest.wire import exchange
from support.keys import make_key
from support.program import ROOT

QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
# Of every call, of those that ask the core, and of those that a key must allow; what a call has besides.
ALWAYS = {400, 408, 413, 421, 431, 500}
CORE = {429, 501, 503, 504}
KEY = {401, 403}
BESIDES = {
    "createEvent": {201, 409, 415, 422, *CORE, *KEY},
    "createEvents": {200, 409, 415, 422, *CORE, *KEY},
    "acknowledgeEvents": {200, 415, 422, *CORE, *KEY},
    "getEvent": {200, 404, *CORE, *KEY},
    "acknowledgeEvent": {200, 404, *CORE, *KEY},
    "eraseEvent": {200, 404, 414, 422, *CORE, *KEY},
    "listInbox": {200, 414, 422, *CORE, *KEY},
    "listEvents": {200, 410, 414, 422, *CORE, *KEY},
    "streamEvents": {200, 410, 414, 422, *CORE, *KEY},
    "listKinds": {200, 414, 422, *CORE, *KEY},
    "putSubscription": {200, 409, 415, 422, *CORE, *KEY},
    "getSubscription": {200, 404, 414, 422, *CORE, *KEY},
    "listSubscriptions": {200, 414, 422, *CORE, *KEY},
    "deleteSubscription": {200, 404, 414, 422, *CORE, *KEY},
    "pull": {200, 404, 415, 422, *CORE, *KEY},
    "ack": {200, 404, 415, 422, *CORE, *KEY},
    "nack": {200, 404, 415, 422, *CORE, *KEY},
    "extend": {200, 404, 415, 422, *CORE, *KEY},
    "release": {200, 404, 415, 422, *CORE, *KEY},
    "seek": {200, 404, 409, 415, 422, *CORE, *KEY},
    "redriveDeadLetters": {200, 404, 415, 422, *CORE, *KEY},
    "deleteDeadLetters": {200, 404, 415, 422, *CORE, *KEY},
    "listDeadLetters": {200, 404, 414, 422, *CORE, *KEY},
    "putTenant": {200, 409, 415, 422, *CORE, *KEY},
    "getTenant": {200, 404, 414, 422, *CORE, *KEY},
    "listTenants": {200, 414, 422, *CORE, *KEY},
    "suspendTenant": {200, 404, 409, 414, 422, *CORE, *KEY},
    "resumeTenant": {200, 404, 409, 414, 422, *CORE, *KEY},
    "deleteTenant": {200, 404, 409, 414, 422, *CORE, *KEY},
    "createKey": {200, 404, 409, 415, 422, *CORE, *KEY},
    "getKey": {200, 404, 414, 422, *CORE, *KEY},
    "listKeys": {200, 404, 414, 422, *CORE, *KEY},
    "rotateKey": {200, 404, 409, 415, 422, *CORE, *KEY},
    "revokeKey": {200, 404, 409, 414, 422, *CORE, *KEY},
    "listAuditRecords": {200, 404, 414, 422, *CORE, *KEY},
    "health": {200},
    "ready": {200, 401, 503},
    "metrics": {200, 503, *KEY},
    "root": {200},
    "checkHealth": {200, 404, 414, 422, *CORE},
    "getStats": {200, *CORE, *KEY},
}


def run(*words, folder, **environment):
    """Runs a tool, which must succeed; returns what it printed."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def api(document):
    return json.loads(document.read_text())


def operations(api):
    return [call for item in api["paths"].values() for name, call in item.items() if name != "parameters"]


def resolve(api, value):
    for name in value.get("$ref", "#")[2:].split("/"):
        value = api[name] if name in api else value[name] if name else value
    return value


def test_every_status_of_every_call_is_told(api):
    told = {call["operationId"]: set(map(int, call["responses"])) for call in operations(api)}
    assert told == {name: ALWAYS | besides for name, besides in BESIDES.items()}


def test_every_status_that_the_bridge_can_give_is_told(api):
    source = "".join(path.read_text() for path in (ROOT / "bridge").glob("*.c"))
    given = set(map(int, re.findall(r"(?:request_fail\(request,|\.status =|\{) ?([345]\d\d)[,}]", source)))
    assert {400, 404, 413, 421, 503} <= given
    told = {int(status) for call in operations(api) for status in call["responses"]}
    # 405 belongs to no call that is described; the core never asks who calls.
    assert given - told <= {401, 405}


def test_every_answer_has_an_example_and_every_error_its_own(api):
    for call in operations(api):
        for status, answer in call["responses"].items():
            for media_type, content in resolve(api, answer)["content"].items():
                assert "example" in content, (call["operationId"], status)
                if media_type == "application/problem+json":
                    assert content["example"]["status"] == int(status)


def test_the_examples_of_errors_are_what_is_answered(api, bridge):
    wrong = {"event_type": "t", "payload": []}
    large = {"source": "s", "event_type": "t", "payload": {"a": "x" * (300000 - len('{"a":""}'))}}
    requests = {
        400: ("POST", "/api/v1/events", {}, '{"source":"s","event_type":"t","payload":'),
        404: ("GET", f"/api/v1/events/{MISSING_ID}", {}, ""),
        413: ("POST", "/api/v1/events", {}, json.dumps(large, separators=(",", ":"))),
        414: ("GET", "/api/v1/inbox?a=" + "x" * 8000, {}, ""),
        415: ("POST", "/api/v1/events", {"Content-Type": "text/plain"}, "{}"),
        421: ("GET", "/health", {"Host": "evil.example"}, ""),
        422: ("POST", "/api/v1/events", {}, json.dumps(wrong)),
        431: ("GET", "/health", {"Cookie": "x" * 40000}, ""),
    }
    calls = reversed(operations(api))  # of a status with several texts the first call's counts
    told = {int(s): resolve(api, a) for call in calls for s, a in call["responses"].items()}
    for status, (method, path, headers, body) in requests.items():
        fields = {"Host": "localhost", "Content-Length": len(body), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        answer = exchange(bridge, f"{method} {path} HTTP/1.1\r\n{head}\r\n{body}")
        problem = json.loads(answer.body)
        example = told[status]["content"]["application/problem+json"]["example"]
        assert ("request_id" in example) == ("request_id" in problem), status
        assert {**problem, "request_id": 0} == {**example, "request_id": 0}


def test_keys_are_described_as_they_are_taken(api, http):
    patterns = {
        path: re.compile(resolve(api, api["paths"][path]["post"]["parameters"][0])["schema"]["pattern"])
        for path in ("/api/v1/events", "/api/v1/events/batch")
    }
    keys = ["a", '"a"', "a b", 'a"', '"a\\"b"', '"a\\\\b"', "~!", "a" * 250, '"' + "a" * 250 + '"', "a" * 255]
    keys += ['"' + '\\"' * 255 + '"', "a" * 256, '"' + "a" * 256 + '"', '"', '""', '"a', '"a"b', '"a\\b"', "é"]
    for number, key in enumerate(keys):
        event = {"source": f"s{number}", "event_type": "t", "payload": {}}
        for path, body in (("/api/v1/events", event), ("/api/v1/events/batch", [event])):
            answer = http.post(path, json=body, headers={"Idempotency-Key": key.encode()})
            assert (answer.status_code < 300) == bool(patterns[path].search(key)), (path, key)


def test_the_validator_of_the_specification(python_tools, document, tmp_path):
    assert "OK" in run(python_tools / "openapi-spec-validator", document, folder=tmp_path)


def test_redoclys_linter(node_tools, document, tmp_path):
    redocly = node_tools / "node_modules" / ".bin" / "redocly"
    told = run(redocly, "lint", "--format=json", document, folder=tmp_path, **QUIET)
    totals = json.loads(told[told.index("{") : told.rindex("}") + 1])["totals"]
    assert totals == {"errors": 0, "warnings": 0, "ignored": 0}, told


def test_a_client_of_typescript(node_tools, document, bridge, tmp_path):
    (tmp_path / "node_modules").symlink_to(node_tools / "node_modules")
    for name in ("calls.ts", "tsconfig.json", "package.json"):
        shutil.copy(HERE / name, tmp_path)
    tools = tmp_path / "node_modules" / ".bin"
    run(tools / "openapi-typescript", document, "-o", "api.d.ts", folder=tmp_path)
    run(tools / "tsc", "-p", ".", folder=tmp_path)
    run("node", "out/calls.js", bridge.url, folder=tmp_path, NO_PROXY="*")


def test_a_client_of_python(python_tools, document, bridge, tmp_path):
    words = [python_tools / "openapi-python-client", "generate", "--path", document, "--meta", "none"]
    path = f"{python_tools}:{os.environ['PATH']}"
    told = run(*words, "--output-path", tmp_path / "made", folder=tmp_path, PATH=path)
    # It knows no NDJSON, and makes the call with JSON.
    assert re.findall("WARNING|ERROR|Unsupported .*", told) in (
        [],
        ["WARNING", "Unsupported content type application/x-ndjson"],
    ), told
    shutil.copy(HERE / "calls.py", tmp_path)
    run(python_tools / "python", "calls.py", bridge.url, folder=tmp_path, NO_PROXY="*")


def test_schemathesis_finds_nothing(python_tools, start_core, start_bridge, tmp_path):
    """With keys, which the description says are needed."""
    key = make_key()
    settings = {"TRIGGERS_AUTH": "required", "TRIGGERS_OPERATOR_KEY": key}
    shown = {"TRIGGERS_BRIDGE_DOCS": "open", "TRIGGERS_BRIDGE_METRICS": "key"}
    bridge = start_bridge(start_core(**settings), **shown)
    for name in ("schemathesis.toml", "schemathesis_hooks.py"):
        shutil.copy(HERE / name, tmp_path)
    words = [python_tools / "st", "run", f"{bridge.url}/openapi.json", "--no-color"]
    words += ["--max-examples", 10, "--seed", 14]
    told = run(*words, folder=tmp_path, NO_PROXY="*", TRIGGERS_API_KEY=key)
    assert "Selected: 38/41" in told and "Tested: 38" in told, told
