"""proto/methods.py and proto/openapi.py take whatever methods the .proto files have, and say what is wrong in
them."""

import json
import subprocess
import sys

import pytest

from support.program import ROOT

PROTO = """
syntax = "proto3";
package triggers.sample.v1;
import "google/protobuf/duration.proto";
import "google/protobuf/timestamp.proto";
import "triggers/api/v1/options.proto";
service SampleService {
  // Takes things. Takes them at once. Errors: NOT_FOUND.
  rpc PullHTTPThings(PullRequest) returns (PullResponse) {
    option (triggers.api.v1.call) = {%s};
  }
}
// What to take.
message PullRequest {
  // Which, such as "orders".
  string name = 1;
  // More of them.
  repeated string names = 2;
  // What was taken before.
  PullResponse inner = 3;
  // At most so many.
  int32 amount = 4;
  // So long.
  uint32 wait_ms = 5;
}
// What was taken.
message PullResponse {
  enum Kind {
    KIND_UNSPECIFIED = 0;
    KIND_ODD_ONE = 1;
  }
  // Of which kind.
  Kind kind = 1;
  // When.
  google.protobuf.Timestamp taken_at = 2;
  // How many in all.
  uint64 total = 3;
  bytes payload = 4;
  // Of things by name.
  map<string, uint64> amounts = 5;
  // How long it took.
  google.protobuf.Duration took = 6;
  repeated bytes marks = 7;
}
"""
GOOD = {"http": '"POST /api/v1/things/{name}/pull-all"', "body": '"inner"', "scope": "SCOPE_SUBSCRIPTIONS_CONSUME"}


def write_protocol(folder, **options):
    (folder / "triggers/sample/v1").mkdir(parents=True)
    (folder / "triggers/api/v1").mkdir(parents=True)
    options_file = "triggers/api/v1/options.proto"
    (folder / options_file).write_text((ROOT / "proto" / options_file).read_text())
    text = " ".join(f"{name}: {value}" for name, value in {**GOOD, **options}.items())
    (folder / "triggers/sample/v1/sample.proto").write_text(PROTO % text)


def generate(folder, **options):
    write_protocol(folder, **options)
    made = folder / "methods.h"
    words = [sys.executable, ROOT / "proto/methods.py", made, folder]
    done = subprocess.run(words, capture_output=True, text=True)
    return made.read_text() if done.returncode == 0 else done.stderr


def test_a_transcoded_method_is_in_the_table_and_has_its_route(tmp_path):
    made = generate(tmp_path, waits="true")
    name = '"triggers.sample.v1.SampleService/PullHTTPThings"'
    types = "triggers__sample__v1__sample_service, 0, triggers__sample__v1__pull_request"
    row = f'X(PULL_HTTPTHINGS, {name}, "PullHTTPThings", {types}, triggers__sample__v1__pull_response'
    assert f"{row}, SUBSCRIPTIONS_CONSUME, false, true)" in made
    handlers = "transcoded_start, transcoded_finish, &api_methods[API_PULL_HTTPTHINGS]"
    path = '"/api/v1/things/{name}/pull-all", "/api/v1/things/{id}/pull-all"'
    assert f'X("POST", {path}, OBJECT, {handlers}, "inner")' in made


def test_a_method_made_by_hand_has_handlers_of_its_own(tmp_path):
    made = generate(tmp_path, hand_made="true", body='"names"')
    assert "LIST, pull_httpthings_start, pull_httpthings_finish, " in made
    assert "transcoded" not in made


def test_a_method_without_a_path_has_no_route(tmp_path):
    made = generate(tmp_path, http='""', body='""')
    assert "X(PULL_HTTPTHINGS, " in made
    assert "_start" not in made


def test_a_method_that_waits_is_told_for_how_long(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PROTO", PROTO.replace("wait_ms", "wait_s"))
    assert "a method that waits has a field wait_ms" in generate(tmp_path, waits="true")


@pytest.mark.parametrize(
    "options, problem",
    [
        ({"http": '"/api/v1/things"'}, "http must be a method and a path"),
        ({"http": '"FETCH /api/v1/things"'}, "http must be a method and a path"),
        ({"http": '"POST /api/v1/{names}"'}, "{names} in the path is no single field"),
        ({"http": '"POST /api/v1/{other}"'}, "{other} in the path is no single field"),
        ({"body": '"other"'}, 'body "other" is no field of triggers.sample.v1.PullRequest'),
        ({"http": '"GET /api/v1/things"'}, "GET has no body"),
        ({"scope": "SCOPE_UNSPECIFIED"}, "scope must be stated"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, options, problem):
    told = generate(tmp_path, **options)
    assert told.startswith("triggers.sample.v1.SampleService/PullHTTPThings: ")
    assert problem in told


def describe(folder, **options):
    """The operation of the sample's method, and the whole document."""
    write_protocol(folder, **options)
    made = folder / "openapi.json"
    frame = ROOT / "bridge/docs/frame.json"
    subprocess.run([sys.executable, ROOT / "proto/openapi.py", frame, made, folder], check=True)
    api = json.loads(made.read_text())
    return api["paths"]["/api/v1/things/{name}/pull-all"], api


def test_a_transcoded_method_is_described_by_its_messages_and_comments(tmp_path):
    item, api = describe(tmp_path)
    call = item["post"]
    assert call["tags"] == ["samples"] and {"name": "samples"} in api["tags"]
    assert call["operationId"] == "pullHTTPThings"
    assert call["summary"] == "Takes things"
    scope = "A key needs the scope `subscriptions:consume`."
    assert call["description"] == f"Takes things. Takes them at once.\n\n{scope}"
    assert item["parameters"][0] == {
        "name": "name",
        "in": "path",
        "required": True,
        "description": 'Which, such as "orders".',
        "schema": {"type": "string"},
        "example": "orders",
    }
    assert [parameter["name"] for parameter in call["parameters"]] == ["names", "amount", "wait_ms"]
    assert call["parameters"][1]["schema"] == {"type": "integer", "format": "int32"}
    assert {"200", "403", "404", "415", "422", "429", "504"} < set(call["responses"])
    assert "409" not in call["responses"]
    properties = api["components"]["schemas"]["PullResponse"]["properties"]
    assert properties["kind"] == {"type": "string", "enum": ["unspecified", "odd_one"], "description": "Of which kind."}
    assert properties["taken_at"]["type"] == ["string", "null"]
    assert properties["payload"]["type"] == ["object", "null"] and "payload_omitted" in properties
    assert properties["took"]["pattern"].endswith("s$")
    assert properties["marks"]["items"] == {"type": "string", "contentEncoding": "base64"}
    assert properties["amounts"]["additionalProperties"] == {"type": "integer", "format": "uint64"}
    taken = call["requestBody"]["content"]["application/json"]["schema"]
    assert taken["anyOf"] == [{"$ref": "#/components/schemas/PullResponse"}, {"type": "null"}]
    example = call["responses"]["200"]["content"]["application/json"]["example"]
    assert example["kind"] == "odd_one" and example["total"] == 1
    assert example["took"] == "1.5s" and example["marks"] == ["AAEC"]
    assert example["payload"] == {} and "payload_omitted" not in example


def test_a_body_of_all_fields_has_none_of_the_path(tmp_path):
    item, _ = describe(tmp_path, body='"*"')
    body = item["post"]["requestBody"]["content"]["application/json"]
    assert set(body["schema"]["properties"]) == {"names", "inner", "amount", "wait_ms"} == set(body["example"])
    assert "parameters" not in item["post"]
