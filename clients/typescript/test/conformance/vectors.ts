// The byte vectors of the envelope and of event ids.
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import assert from "node:assert/strict";
import { RequestSchema, ResponseSchema, type ErrorDetails } from "../../src/gen/triggers/rpc/v1/envelope_pb.js";
import { formatEventId, newEventId, parseEventId } from "../../src/node.js";

interface Vector {
  name: string;
  bytes: string; // base64
  foreign?: boolean; // another encoder wrote it in another way than ours would
}

type EnvelopeVector = Vector & Record<string, unknown>;

export function checkEnvelopeVectors(file: unknown): void {
  const { requests, responses, malformed } = file as Record<string, EnvelopeVector[]>;
  for (const vector of requests ?? []) {
    checkVector(vector, requestFields, (fields) => toBinary(RequestSchema, fields), (bytes) => fromBinary(RequestSchema, bytes));
  }
  for (const vector of responses ?? []) {
    checkVector(vector, responseFields, (fields) => toBinary(ResponseSchema, fields), (bytes) => fromBinary(ResponseSchema, bytes));
  }
  for (const { name, bytes } of malformed ?? []) {
    assert.throws(() => fromBinary(RequestSchema, decode(bytes)), `${name}: it was parsed as a request`);
    assert.throws(() => fromBinary(ResponseSchema, decode(bytes)), `${name}: it was parsed as a response`);
  }
}

function checkVector<M>(
  { name, bytes, foreign, ...fields }: EnvelopeVector,
  fieldsOf: (message: M) => object,
  encode: (message: M) => Uint8Array,
  parse: (bytes: Uint8Array) => M,
): void {
  const message = parse(decode(bytes));
  assert.deepEqual(fieldsOf(message), fields, name);
  if (!foreign) {
    const encoded = encode(message);
    assert.equal(encoded.length, decode(bytes).length, name);
    assert.deepEqual(fieldsOf(parse(encoded)), fields, name);
  }
}

function requestFields(request: ReturnType<typeof fromBinary<typeof RequestSchema>>): object {
  const { method, timeoutMs, metadata, body } = request;
  return { method, timeout_ms: timeoutMs, metadata, body: base64(body) };
}

function responseFields(response: ReturnType<typeof fromBinary<typeof ResponseSchema>>): object {
  const { code, message, details, metadata, body } = response;
  return { code, message, details: details ? detailFields(details) : null, metadata, body: base64(body) };
}

function detailFields({ reason, fieldViolations, retryDelayMs }: ErrorDetails): object {
  const violations = fieldViolations.map(({ field, description }) => ({ field, description }));
  return { reason, field_violations: violations, retry_delay_ms: retryDelayMs };
}

export function checkEventIdVectors(file: unknown): void {
  const { valid, invalid } = file as Record<"valid" | "invalid", { event_id: string; uuid: string }[]>;
  for (const { event_id, uuid } of valid) {
    assert.equal(parseEventId(event_id), uuid);
    assert.equal(formatEventId(uuid), event_id);
  }
  for (const { event_id } of invalid) {
    assert.throws(() => parseEventId(event_id), RangeError, event_id);
  }
  checkNewId();
}

/** Ids that the binding makes are UUIDv7s of now. */
function checkNewId(): void {
  const before = Date.now();
  const uuid = parseEventId(newEventId());
  const time = parseInt(uuid.slice(0, 13).replace("-", ""), 16);
  assert.match(uuid, /^.{8}-.{4}-7.{3}-[89ab].{3}-.{12}$/);
  assert.ok(before <= time && time <= Date.now() + 1, `the id ${uuid} is not of now`);
}

function decode(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64"));
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
