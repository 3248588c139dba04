"""A call that is added to the protocol can be made from a binding after generation, without code there. Rust's
would build all that it depends on anew, and is left out.

A scratch copy of proto/ and of the binding gets two methods of a new package: one that may be repeated
and one that may not. A program in the binding's language calls both; here answers a core."""

import os
import shutil
import subprocess
import threading
from dataclasses import dataclass

import pynng
import pytest

from bindings.harness import RUN_SECONDS
from support.network import DEADLINE, free_port
from support.program import ROOT
from support.protocol import envelope

PROTO = """
syntax = "proto3";
package triggers.sample.v1;
import "triggers/api/v1/options.proto";
option go_package = "triggers.internal/triggers/samplepb";
option java_multiple_files = true;
option java_package = "triggers.sample.v1";
service SampleService {
  // Counts events.
  rpc CountEvents(CountEventsRequest) returns (CountEventsResponse) {
    option (triggers.api.v1.call) = {scope: SCOPE_EVENTS_READ repeatable: true};
  }
  // Takes an event; once more would take another.
  rpc TakeEvent(TakeEventRequest) returns (TakeEventResponse) {
    option (triggers.api.v1.call) = {scope: SCOPE_EVENTS_READ};
  }
}
// Which to count.
message CountEventsRequest {
  // Of which source.
  string source = 1;
}
// What was counted.
message CountEventsResponse {
  // How many there are.
  int32 amount = 1;
}
// Nothing to say.
message TakeEventRequest {}
// What was taken.
message TakeEventResponse {
  // Its id.
  string event_id = 1;
}
"""
COUNT, TAKE = (f"triggers.sample.v1.SampleService/{name}" for name in ("CountEvents", "TakeEvent"))
ASKED, COUNTED = b"\x0a\x03crm", b"\x08\x07"  # source "crm"; amount 7

PYTHON = f"""
import sys
from triggers_client import Client, TriggersError
from triggers_client.proto.triggers.sample.v1 import sample_pb2 as sample

with Client(sys.argv[1]) as client:
    request = sample.CountEventsRequest(source="crm")
    print(client.call("{COUNT}", request, sample.CountEventsResponse).amount)
    try:
        client.call("{TAKE}", sample.TakeEventRequest(), sample.TakeEventResponse)
    except TriggersError as error:
        print(error.reason)
"""

GO = f"""
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"triggers.internal/triggers"
	"triggers.internal/triggers/samplepb"
)

func main() {{
	client, err := triggers.Open(triggers.Options{{URL: os.Args[1]}})
	if err != nil {{
		panic(err)
	}}
	defer client.Close()
	ctx := context.Background()
	request := &samplepb.CountEventsRequest{{Source: "crm"}}
	counted, err := triggers.Call[*samplepb.CountEventsResponse](ctx, client, "{COUNT}", request)
	if err != nil {{
		panic(err)
	}}
	fmt.Println(counted.GetAmount())
	_, err = triggers.Call[*samplepb.TakeEventResponse](ctx, client, "{TAKE}", &samplepb.TakeEventRequest{{}})
	var failed *triggers.Error
	if errors.As(err, &failed) {{
		fmt.Println(failed.Reason)
	}}
}}
"""

TYPESCRIPT = """
import { SampleService } from "../src/gen/triggers/sample/v1/sample_pb.js";
import { TriggersClient, TriggersError } from "../src/node.js";

const client = new TriggersClient({ urls: process.argv[2] ?? "" });
const { amount } = await client.call(SampleService.method.countEvents, { source: "crm" });
console.log(amount);
try {
  await client.call(SampleService.method.takeEvent, {});
} catch (error) {
  console.log(error instanceof TriggersError ? error.reason : error);
}
await client.close();
"""


JAVA = f"""
import triggers.client.TriggersClient;
import triggers.client.TriggersException;
import triggers.sample.v1.*;

public class Sample {{
    public static void main(String[] arguments) {{
        try (TriggersClient client = TriggersClient.open(arguments[0])) {{
            CountEventsRequest request = CountEventsRequest.newBuilder().setSource("crm").build();
            System.out.println(client.call("{COUNT}", request, CountEventsResponse.parser()).getAmount());
            client.call("{TAKE}", TakeEventRequest.getDefaultInstance(), TakeEventResponse.parser());
        }} catch (TriggersException error) {{
            System.out.println(error.reason());
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Program:
    """What is run in the scratch copy of a binding, with the core's address at the end."""

    text: str
    path: str  # in the binding's folder
    make: str  # generates, and builds what has to be
    run: str


# What npm installs is that of the binding's own build.
BUILD_TYPESCRIPT = """
"$ORIGIN/build"
mkdir -p ../../build/bindings/typescript
ln -s "$ORIGIN/../../build/bindings/typescript/node_modules" ../../build/bindings/typescript
./build
"""
PROGRAMS = {
    "python": Program(
        PYTHON,
        "sample.py",
        "./generate",
        'PYTHONPATH=src "$("$ORIGIN/environment")/bin/python" sample.py',
    ),
    "java": Program(JAVA, "Sample.java", "./build", 'java -cp "../../build/bindings/java/lib/*" Sample.java'),
    "go": Program(GO, "internal/sample/main.go", "./generate", "go run ./internal/sample"),
    "typescript": Program(
        TYPESCRIPT,
        "test/sample.ts",
        BUILD_TYPESCRIPT,
        "node ../../build/bindings/typescript/dist/test/sample.js",
    ),
}


class Core:
    """Counts, though not at the first time; hangs up on who wants to take."""

    def __init__(self):
        self.url = f"tcp://127.0.0.1:{free_port()}"
        self.asked = []
        self._socket = pynng.Rep0(listen=self.url)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        try:
            while True:
                message = self._socket.recv_msg()
                request = envelope.Request.FromString(message.bytes)
                self.asked.append((request.method, request.body))
                if request.method == TAKE:
                    message.pipe.close()
                else:
                    self._socket.send(self._count().SerializeToString())
        except pynng.Closed:
            pass

    def _count(self):
        if len(self.asked) == 1:
            return envelope.Response(code=envelope.UNAVAILABLE, message="not yet")
        return envelope.Response(body=COUNTED)

    def close(self):
        self._socket.close()
        self._thread.join(DEADLINE)


@pytest.fixture
def core():
    core = Core()
    yield core
    core.close()


def copy_tracked(folder, target):
    """What git has or would have of a folder."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder]
    for name in subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)


def sh(command, folder, origin):
    done = subprocess.run(
        ["sh", "-euc", command],
        cwd=folder,
        env={**os.environ, "ORIGIN": str(origin)},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_new_call_needs_no_code_of_a_binding(binding, core, tmp_path):
    program = PROGRAMS.get(binding.name)
    if not program:
        pytest.skip("no program of this binding")
    copy_tracked("proto", tmp_path)
    copy_tracked(f"clients/{binding.language}", tmp_path)
    sample = tmp_path / "proto/triggers/sample/v1/sample.proto"
    sample.parent.mkdir(parents=True)
    sample.write_text(PROTO)
    folder = tmp_path / "clients" / binding.language
    (folder / program.path).parent.mkdir(parents=True, exist_ok=True)
    (folder / program.path).write_text(program.text)
    sh(program.make, folder, binding.folder)
    said = sh(f"{program.run} {core.url}", folder, binding.folder)
    assert said.split() == ["7", "CONNECTION_LOST"]
    assert core.asked == [(COUNT, ASKED), (COUNT, ASKED), (TAKE, b"")]
