// What the conformance scenarios do not say: cancellation, closing, bad arguments, dead peers.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { inspect } from "node:util";
import { runInNewContext } from "node:vm";
import { create, fromBinary, setExtension } from "@bufbuild/protobuf";
import { MethodOptionsSchema } from "@bufbuild/protobuf/wkt";
import { call, CallSchema } from "../src/gen/triggers/api/v1/options_pb.js";
import { Health, HealthCheckResponseSchema } from "../src/gen/triggers/health/v1/health_pb.js";
import {
  EventService,
  ListEventsRequestSchema,
  ListEventsResponseSchema,
  ListInboxResponseSchema,
} from "../src/gen/triggers/v1/events_pb.js";
import {
  AckRequestSchema,
  AckResponseSchema,
  PullRequestSchema,
  PullResponseSchema,
  ReleaseRequestSchema,
} from "../src/gen/triggers/v1/subscriptions_pb.js";
import { type ApiKey, Code, type Follower, newEventId, ServingStatus, TriggersClient, TriggersError, VERSION } from "../src/node.js";
import { ok, ScriptedCore, type Answer } from "./scripted.js";

const serving: Answer = () => ok(HealthCheckResponseSchema, { status: ServingStatus.SERVING });
const silent: Answer = () => null;

async function withCore(
  answer: Answer,
  run: (client: TriggersClient, core: ScriptedCore) => Promise<void>,
): Promise<void> {
  const core = await ScriptedCore.start(answer);
  const client = new TriggersClient({ urls: core.url, name: "tests/1" });
  try {
    await run(client, core);
  } finally {
    await client.close();
    core.stop();
  }
}

function failsWith(code: Code, reason: string) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof TriggersError, String(error));
    assert.deepEqual([Code[error.code], error.reason], [Code[code], reason]);
    return true;
  };
}

void test("an aborted call is CANCELLED with the signal's reason, before and after it was sent", () =>
  withCore(silent, async (client, core) => {
    const controller = new AbortController();
    const why = new Error("not needed");
    const call = client.health({ signal: controller.signal });
    while (core.requests.length === 0) {
      await new Promise(setImmediate);
    }
    controller.abort(why);
    for (const each of [call, client.health({ signal: controller.signal })]) {
      await assert.rejects(each, failsWith(Code.CANCELLED, "CALL_CANCELLED"));
      await assert.rejects(each, { cause: why });
    }
    assert.equal(core.requests.length, 1);
  }));

void test("one signal serves many calls without a warning", async () => {
  const warnings: Error[] = [];
  const note = (warning: Error): unknown => warnings.push(warning);
  process.on("warning", note);
  await withCore(serving, async (client) => {
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 100 }, () => client.health({ signal })));
  });
  process.off("warning", note);
  assert.deepEqual(warnings, []);
});

void test("a closed client's calls are CANCELLED, and closing twice is allowed", () =>
  withCore(silent, async (client) => {
    const call = client.health();
    const closing = client.close();
    await assert.rejects(call, failsWith(Code.CANCELLED, "CLIENT_CLOSED"));
    await Promise.all([closing, client.close()]);
    await assert.rejects(client.health(), failsWith(Code.CANCELLED, "CLIENT_CLOSED"));
  }));

void test("a client that never connected closes", async () => {
  const client = new TriggersClient({ urls: ["ws://127.0.0.1:1/rpc", "tcp://127.0.0.1:1"] });
  await assert.rejects(client.health({ timeoutMs: 200 }), failsWith(Code.UNAVAILABLE, "CORE_UNREACHABLE"));
  await client.close();
});

void test("a peer that went silent is dialled again", { timeout: 20_000 }, () => {
  let first: unknown;
  const answer: Answer = (request, socket) => {
    first ??= socket;
    return socket === first ? null : serving(request, socket);
  };
  return withCore(answer, async (client, core) => {
    await assert.rejects(client.health({ timeoutMs: 5100 }), failsWith(Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"));
    assert.equal((await client.health()).status, ServingStatus.SERVING);
    assert.equal(core.dials, 2);
  });
});

void test("metadata: the client's name, the request id, the trace and what the caller adds", () =>
  withCore(serving, async (client, core) => {
    const more = { caller: "a", client: "another" };
    await client.health({ requestId: "r-1", traceparent: "00-1-2-00", metadata: more });
    const client_ = `tests/1 triggers-typescript/${VERSION}`;
    const traced = { "request-id": "r-1", traceparent: "00-1-2-00" };
    assert.deepEqual(core.requests[0]?.metadata, { client: client_, caller: "a", ...traced });
  }));

void test("any call refuses what is no method, no request of it and no metadata", () =>
  withCore(serving, async (client, core) => {
    const method = EventService.method.getEvent;
    const bad = [
      [() => client.call("triggers.v1.EventService/GetEvent" as unknown as typeof method, {}), "METHOD_INVALID"],
      [() => client.call(EventService as unknown as typeof method, {}), "METHOD_INVALID"],
      [() => client.call(EventService.method.listInbox, { pageSize: 1.5 }), "REQUEST_INVALID"],
      [() => client.call(method, {}, { metadata: { a: 5 } as never }), "METADATA_INVALID"],
      [() => client.call(method, {}, { metadata: new Map() as never }), "METADATA_INVALID"],
    ] as const;
    for (const [call, reason] of bad) {
      await assert.rejects(call(), failsWith(Code.INVALID_ARGUMENT, reason));
    }
    assert.equal(core.requests.length, 0);
  }));

/** A method as it is generated, of which the `.proto` file says something else. */
function checkWith(said: { repeatable?: boolean; waits?: boolean }): typeof Health.method.check {
  const options = create(MethodOptionsSchema);
  setExtension(options, call, create(CallSchema, said));
  const { name, kind, methodKind, parent, input, output } = Health.method.check;
  return { name, kind, methodKind, parent, input, output, proto: { options } } as unknown as typeof Health.method.check;
}

void test("a method that may not be repeated is sent once, whatever becomes of it", async () => {
  const once = checkWith({ repeatable: false });
  const unavailable = { code: Code.UNAVAILABLE, details: { reason: "STORE_UNAVAILABLE" } } as ReturnType<Answer>;
  await withCore(
    () => unavailable,
    async (client, core) => {
      await assert.rejects(client.call(once, {}), failsWith(Code.UNAVAILABLE, "STORE_UNAVAILABLE"));
      assert.equal(core.requests.length, 1);
    },
  );
  const drop: Answer = (_, socket) => {
    socket.terminate();
    return null;
  };
  await withCore(drop, async (client, core) => {
    await assert.rejects(client.call(once, {}), failsWith(Code.UNAVAILABLE, "CONNECTION_LOST"));
    assert.equal(core.requests.length, 1);
  });
});

void test("the silence of a call that waits is the sign of a dead peer at its deadline only", { timeout: 20_000 }, () => {
  let count = 0;
  const answer: Answer = (request, socket) => (count++ === 0 ? null : serving(request, socket));
  return withCore(answer, async (client, core) => {
    const waits = checkWith({ repeatable: true, waits: true });
    const signal = AbortSignal.timeout(5100);
    await assert.rejects(client.call(waits, {}, { signal }), failsWith(Code.CANCELLED, "CALL_CANCELLED"));
    assert.equal((await client.health()).status, ServingStatus.SERVING);
    assert.equal(core.dials, 1);
    count = 0;
    const waiting = client.call(waits, {}, { timeoutMs: 5100 });
    await assert.rejects(waiting, failsWith(Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"));
    assert.equal((await client.health()).status, ServingStatus.SERVING);
    assert.equal(core.dials, 2);
  });
});

void test("leaving a list early asks for no more pages", () =>
  withCore(
    () => ok(ListInboxResponseSchema, { events: [{ eventId: newEventId() }], nextPageToken: "more" }),
    async (client, core) => {
      let count = 0;
      for await (const event of client.list({ pageSize: 1 })) {
        assert.ok(event.eventId);
        if (++count === 3) {
          break;
        }
      }
      assert.equal(core.requests.length, 3);
    },
  ));

/** Answers as a log of five events, two in a page, does; who asks at its end is kept waiting. */
const log: Answer = (request) => {
  const { afterSequence } = fromBinary(ListEventsRequestSchema, request.body);
  if (afterSequence === 5n) {
    return null;
  }
  const events = [afterSequence + 1n, afterSequence + 2n]
    .filter((sequence) => sequence <= 5n)
    .map((sequence) => ({ eventId: newEventId(), sequence }));
  return ok(ListEventsResponseSchema, { events, nextAfter: events.at(-1)?.sequence ?? afterSequence });
};

async function sequences(follower: Follower): Promise<bigint[]> {
  const found = [];
  for await (const { sequence } of follower) {
    found.push(sequence);
  }
  return found;
}

async function isAsked(core: ScriptedCore, count: number): Promise<void> {
  while (core.requests.length < count) {
    await new Promise(setImmediate);
  }
}

void test("a follower that waits is stopped, and its calls have time for their wait", () =>
  withCore(log, async (client, core) => {
    const follower = client.follow();
    const found = sequences(follower);
    await isAsked(core, 4);
    follower.stop();
    assert.deepEqual(await found, [1n, 2n, 3n, 4n, 5n]);
    assert.equal(follower.nextAfter, 5n);
    assert.deepEqual(await sequences(follower), []);
    assert.ok(core.requests.every(({ timeoutMs }) => timeoutMs > 29_000 && timeoutMs <= 30_000));
  }));

void test("a follower that was left, or whose call failed, goes on where it was", () =>
  withCore(log, async (client, core) => {
    const controller = new AbortController();
    const follower = client.follow({ after: 2 }, { signal: controller.signal });
    for await (const { sequence } of follower) {
      assert.equal(sequence, 3n);
      break;
    }
    assert.equal(follower.nextAfter, 3n);
    assert.deepEqual([await follower.next(), await follower.next()].map(({ value }) => value?.sequence), [4n, 5n]);
    const waiting = follower.next();
    await isAsked(core, 3);
    controller.abort();
    await assert.rejects(waiting, failsWith(Code.CANCELLED, "CALL_CANCELLED"));
    await assert.rejects(follower.next(), failsWith(Code.CANCELLED, "CALL_CANCELLED"));
    assert.equal(follower.nextAfter, 5n);
  }));

void test("a worker that is stopped while it waits settles what ran and releases its pull", () => {
  const pulled = (ackId: string) =>
    ok(PullResponseSchema, { deliveries: [{ ackId, deliveryAttempt: 1, event: { eventId: newEventId() } }] });
  let giveLate = (): void => undefined;
  let pulls = 0;
  const answer: Answer = ({ method, body }) => {
    if (!method.endsWith("/Pull")) {
      const { ackIds } = fromBinary(AckRequestSchema, body); // the others have its fields too
      return ok(AckResponseSchema, { results: ackIds.map(() => ({})) });
    }
    pulls++;
    const late = new Promise<{ body: Uint8Array }>((resolve) => {
      giveLate = () => {
        resolve(pulled("late"));
      };
    });
    return pulls === 1 ? pulled("one") : late;
  };
  return withCore(answer, async (client, core) => {
    const worker = client.worker("w", () => undefined, { concurrency: 2, leaseSeconds: 30 });
    await isAsked(core, 3);
    await worker.stop();
    giveLate();
    await isAsked(core, 5);
    const bodies = (name: string) => core.requests.filter(({ method }) => method.endsWith(name)).map(({ body }) => body);
    assert.equal(bodies("/Ack").length, 1);
    const ids = bodies("/Pull").map((body) => fromBinary(PullRequestSchema, body).pullId);
    const releases = bodies("/Release").map((body) => fromBinary(ReleaseRequestSchema, body));
    assert.deepEqual(releases.map(({ pullId, ackIds }) => [pullId, ackIds]), [[ids[1], []], [ids[1], []]]);
    const start = (options: object) => () => client.worker("w", () => undefined, options);
    assert.throws(start({ concurrency: 0 }), failsWith(Code.INVALID_ARGUMENT, "CONCURRENCY_INVALID"));
    assert.throws(start({ leaseSeconds: 43_201 }), failsWith(Code.INVALID_ARGUMENT, "LEASE_SECONDS_INVALID"));
  });
});

void test("arguments that no request can express are refused before anything is sent", () =>
  withCore(serving, async (client, core) => {
    const event = { source: "s", eventType: "t", payload: {} };
    const bad = [
      [client.create({ ...event, payload: '{"a":"\ud800"}' }), "PAYLOAD_INVALID"],
      [client.create({ ...event, source: "\udc00" }), "SOURCE_INVALID"],
      [client.createBatch([event, { ...event, eventType: "\udc00" }]), "EVENT_TYPE_INVALID"],
      [client.create({ ...event, delaySeconds: 1.5 }), "DELAY_INVALID"],
      [client.createBatch([{ ...event, delaySeconds: -1 }]), "DELAY_INVALID"],
      [client.create({ ...event, deliverAt: new Date(NaN) }), "DELIVER_AT_INVALID"],
      [client.create({ ...event, delaySeconds: 0, deliverAt: new Date() }), "DELIVERY_INVALID"],
      [client.ackBatch(["evt_1", "\udc00"]), "EVENT_ID_INVALID"],
      [client.listPage({ pageSize: 1.5 }), "PAGE_SIZE_INVALID"],
      [client.listPage({ pageSize: 2 ** 31 }), "PAGE_SIZE_INVALID"],
      [client.listEvents({ after: 2n ** 63n }), "AFTER_INVALID"],
      [client.listEvents({ after: 0.5 }), "AFTER_INVALID"],
      [client.listEvents({ waitMs: -1 }), "WAIT_INVALID"],
      [client.listPage({ filter: { fromTime: new Date(NaN) } }), "FILTER_INVALID"],
      [client.health({ timeoutMs: 0 }), "TIMEOUT_INVALID"],
      [client.health({ timeoutMs: NaN }), "TIMEOUT_INVALID"],
    ] as const;
    for (const [call, reason] of bad) {
      await assert.rejects(call, failsWith(Code.INVALID_ARGUMENT, reason));
    }
    assert.equal(core.requests.length, 0);
  }));

void test("a wrong payload is told by its place and class, and plain ones of any origin are not wrong", () =>
  withCore(serving, async (client, core) => {
    class Point {
      x = 1;
    }
    const told: [object, string][] = [
      [[1], "payload is an object of the class Array"],
      [new ArrayBuffer(2), "payload is an object of the class ArrayBuffer"],
      [{ a: [{ b: new Map() }] }, 'payload at "b" is an object of the class Map'],
      [{ a: [new Point()] }, 'payload at "0" is an object of the class Point'],
      [{ a: undefined }, 'payload at "a" is undefined'],
      [{ a: { toJSON: () => 1 } }, 'payload at "a" is an object of the class Object'],
      [{ a: [1, , 2] }, 'payload at "1" is undefined'],
    ];
    for (const [payload, start] of told) {
      await assert.rejects(client.create({ source: "s", eventType: "t", payload }), (error: unknown) => {
        assert.ok(error instanceof TriggersError && error.message.startsWith(start), String(error));
        return error.reason === "PAYLOAD_INVALID";
      });
    }
    assert.equal(core.requests.length, 0);
    const foreign = runInNewContext('({ a: [{ b: "c" }] })') as object;
    for (const payload of [foreign, Object.create(null) as object, Buffer.from("{}"), { a: -1.5, b: null }]) {
      await client.create({ source: "s", eventType: "t", payload }).catch(() => undefined);
    }
    assert.equal(core.requests.length, 4);
  }));

void test("bad addresses and CA files are refused by the constructor", () => {
  for (const urls of ["", [], "nonsense", "http://127.0.0.1/", "tcp://127.0.0.1"]) {
    assert.throws(() => new TriggersClient({ urls }), failsWith(Code.INVALID_ARGUMENT, "URL_INVALID"));
  }
  const caFile = "/nowhere/ca.pem";
  assert.throws(() => new TriggersClient({ caFile }), failsWith(Code.INVALID_ARGUMENT, "CA_FILE_INVALID"));
});

void test("ids ascend", () => {
  const ids = Array.from({ length: 10_000 }, newEventId);
  assert.deepEqual(ids, [...new Set(ids)].sort());
});

void test("the README shows the examples as they are", () => {
  const readme = readFileSync("README.md", "utf8");
  for (const name of ["producer", "consumer"]) {
    assert.ok(readme.includes(readFileSync(`examples/${name}.mjs`, "utf8").trim()), `examples/${name}.mjs`);
  }
});

const KEY = `trg_0123456789ab_${"k".repeat(49)}`;

const keysSent = (core: ScriptedCore): (string | undefined)[] =>
  core.requests.map(({ metadata }) => metadata.authorization);

async function withKey(
  answer: Answer,
  apiKey: ApiKey | undefined,
  run: (client: TriggersClient, core: ScriptedCore) => Promise<void>,
): Promise<void> {
  await withCore(answer, async (_, core) => {
    const client = new TriggersClient({ urls: core.url, apiKey });
    try {
      await run(client, core);
    } finally {
      await client.close();
    }
  });
}

void test("a key goes with every call, and is not shown", () =>
  withKey(serving, KEY, async (client, core) => {
    await client.health();
    await client.health({ metadata: { authorization: "another" } });
    assert.deepEqual(keysSent(core), [`Bearer ${KEY}`, `Bearer ${KEY}`]);
    assert.ok(!inspect(client, { depth: 9, showHidden: true }).includes(KEY));
  }));

void test("a function is asked for the key of each call", async () => {
  let calls = 0;
  let answers = 0;
  const once: Answer = (...given) => (answers++ === 0 ? { code: Code.UNAVAILABLE } : serving(...given));
  for (const apiKey of [(): string => `key-${String(++calls)}`, (): Promise<string> => Promise.resolve(`key-${String(++calls)}`)]) {
    calls = answers = 0;
    await withKey(once, apiKey, async (client, core) => {
      await client.health();
      await client.health();
      assert.deepEqual(keysSent(core), ["Bearer key-1", "Bearer key-1", "Bearer key-2"]);
    });
  }
});

void test("no key is none", () =>
  withKey(serving, undefined, async (client, core) => {
    await client.health();
    assert.deepEqual(keysSent(core), [undefined]);
  }));

void test("what is no key is refused and not shown", async () => {
  const notShown = (error: unknown): boolean =>
    failsWith(Code.INVALID_ARGUMENT, "API_KEY_INVALID")(error) && !inspect(error).includes(KEY);
  for (const key of ["", `${KEY}\n`, "ключ", 5, null] as string[]) {
    assert.throws(() => new TriggersClient({ apiKey: key }), notShown);
    await withKey(serving, () => key, async (client, core) => {
      await assert.rejects(client.health(), notShown);
      assert.deepEqual(core.requests, []);
    });
  }
});

void test("a function that fails fails the call", async () => {
  const cause = new Error("gone");
  for (const apiKey of [(): string => assert.fail(cause), (): Promise<string> => Promise.reject(cause)]) {
    await withKey(serving, apiKey, async (client, core) => {
      await assert.rejects(client.health(), failsWith(Code.UNAUTHENTICATED, "KEY_UNAVAILABLE"));
      await assert.rejects(client.health(), { cause });
      assert.deepEqual(core.requests, []);
    });
  }
});
