// Checks of what callers give. Plain JavaScript lets anything in, and what would be stored or asked for as
// something else than was given is an error that names it, before anything is sent.
import { timestampFromMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import { invalidArgument, TriggersError } from "./errors.js";

export const MAX_TIMEOUT_MS = 0x7fffffff; // what a timer can hold
const MAX_DELAY_S = 2_678_400; // 31 days
export const MAX_WAIT_MS = 20_000; // a core waits no longer
const MAX_INT32 = 0x7fffffff;
const PAYLOAD = "one JSON object as a string, as a Uint8Array, or as a plain object";
const JSON_VALUE = "null, a boolean, a finite number, a string, an array or a plain object";
const KEY = "the text of a key, visible characters of ASCII, or a function that gives it";
const encoder = new TextEncoder();

/** "events[3].eventType" is of the argument eventType, "eventIds[3]" of eventId, "timeoutMs" of timeout, "delaySeconds" of delay, "filter.sources" of filter. */
function reasonOf(name: string): string {
  const singular = name.replace(/^events\[\d+\]\.|(?<=^eventId)s(?=\[)|(?<=^url)s|(?<=^(?:timeout|wait))Ms/, "").replace(/^delaySeconds/, "delay");
  const [argument = ""] = /[a-z]+/i.exec(singular) ?? [];
  return `${argument.replace(/[A-Z]/g, "_$&").toUpperCase()}_INVALID`;
}

function describe(value: unknown): string {
  if (typeof value === "number") {
    return String(value);
  }
  if (typeof value !== "object" || value === null) {
    return value === null || value === undefined ? String(value) : `a ${typeof value}`;
  }
  const prototype = Object.getPrototypeOf(value) as object | null;
  return `an object of the class ${prototype?.constructor.name ?? "null"}`;
}

function wrong(name: string, problem: string, accepted: string, options?: ErrorOptions): TriggersError {
  return invalidArgument(reasonOf(name), `${name} ${problem}; accepted is ${accepted}`, options);
}

function wrongType(name: string, value: unknown, accepted: string): TriggersError {
  return wrong(name, `is ${describe(value)}`, accepted);
}

export function checkText(name: string, value: unknown): string {
  if (typeof value !== "string") {
    throw wrongType(name, value, "a string");
  }
  if (!value.isWellFormed()) {
    throw wrong(name, "has half of a surrogate pair", "what UTF-8 can express");
  }
  return value;
}

/** The text of a key, which no error shows. */
export function checkKey(value: unknown): string {
  if (typeof value !== "string") {
    throw wrongType("apiKey", value, KEY);
  }
  if (!/^[!-~]+$/.test(value)) {
    throw wrong("apiKey", "is none", KEY);
  }
  return value;
}

/** A key, or a function that gives one. */
export function checkKeyOption(value: unknown): void {
  if (typeof value !== "function") {
    checkKey(value);
  }
}

/** "" when it is absent. */
export function checkOptionalText(name: string, value: unknown): string {
  return value === undefined || value === null ? "" : checkText(name, value);
}

export function checkList(name: string, value: unknown): unknown[] {
  if (!Array.isArray(value)) {
    throw wrongType(name, value, "an array");
  }
  return value;
}

/** A method of a generated service. */
export function checkMethod(value: unknown): void {
  if (typeof value !== "object" || value === null || !("kind" in value) || value.kind !== "rpc") {
    throw wrongType("method", value, "a method of a generated service, such as EventService.method.getEvent");
  }
}

export function checkMetadata(value: unknown): Record<string, string> {
  if (!isPlain(value)) {
    throw wrongType("metadata", value, "a plain object of strings");
  }
  const given = Object.entries(value as Record<string, unknown>);
  return Object.fromEntries(given.map(([name, text]) => [checkText("metadata", name), checkText("metadata", text)]));
}

export function checkTimeout(value: unknown): number {
  if (typeof value === "number" && value > 0 && value <= MAX_TIMEOUT_MS) {
    return value;
  }
  throw wrongType("timeoutMs", value, "a number of milliseconds, more than 0 to 2147483647");
}

export function checkPageSize(value: unknown): number {
  if (typeof value === "number" && Number.isInteger(value) && Math.abs(value) <= MAX_INT32) {
    return value;
  }
  throw wrongType("pageSize", value, "a whole number of 32 bits");
}

/** A place in the log. */
export function checkPosition(name: string, value: unknown): bigint {
  if (typeof value === "bigint" && BigInt.asIntN(64, value) === value) {
    return value;
  }
  if (typeof value === "number" && Number.isSafeInteger(value)) {
    return BigInt(value);
  }
  throw wrongType(name, value, "a bigint of 64 bits or a whole number");
}

/** How long a call may be parked; longer is as the longest. */
export function checkWait(value: unknown): number {
  if (typeof value === "number" && value >= 0 && value < Infinity) {
    return Math.min(Math.round(value), MAX_WAIT_MS);
  }
  throw wrongType("waitMs", value, "a number of milliseconds, 0 or more");
}

/** Seconds until an event is given out. */
export function checkDelay(name: string, value: unknown): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_DELAY_S) {
    return value;
  }
  throw wrongType(name, value, "a whole number from 0 to 2678400");
}

/** A whole number from 1 on. */
export function checkCount(name: string, value: number, most: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= most) {
    return value;
  }
  throw wrongType(name, value, `a whole number from 1 to ${String(most)}`);
}

export function checkTime(name: string, value: unknown): Timestamp {
  if (tagOf(value) === "Date" && !Number.isNaN((value as Date).getTime())) {
    return timestampFromMs((value as Date).getTime());
  }
  if (isPlain(value) && "$typeName" in value && value.$typeName === "google.protobuf.Timestamp") {
    return value as Timestamp;
  }
  throw wrongType(name, value, "a valid Date, or a Timestamp");
}

/** An object with members, such as a request. */
export function checkObject(name: string, value: unknown): object {
  if (isPlain(value)) {
    return value;
  }
  throw wrongType(name, value, "a plain object");
}

/** A member of an enum, which is given as its object. */
export function checkMember<T extends number>(name: string, value: T, members: object): T {
  if (typeof value === "number" && value in members) {
    return value;
  }
  const names = Object.keys(members).filter((key) => !/^\d/.test(key));
  throw wrongType(name, value, names.join(", "));
}

/** The bytes of a payload. */
export function checkPayload(name: string, value: unknown): Uint8Array {
  if (typeof value === "string") {
    return encoder.encode(checkText(name, value));
  }
  if (tagOf(value) === "Uint8Array") {
    return value as Uint8Array;
  }
  if (!isPlain(value)) {
    throw wrongType(name, value, PAYLOAD);
  }
  return encoder.encode(toJson(name, value));
}

/** The text of a plain object. JSON.stringify leaves out or changes what JSON has no word for. */
function toJson(name: string, value: object): string {
  try {
    return JSON.stringify(value, function (this: Record<string, unknown>, key, converted: unknown) {
      const given = this[key]; // before its toJSON, if it has one
      if (!isJson(given) || given !== converted) {
        throw wrongType(key === "" ? name : `${name} at ${JSON.stringify(key)}`, given, JSON_VALUE);
      }
      return converted;
    });
  } catch (cause) {
    if (cause instanceof TriggersError) {
      throw cause;
    }
    throw wrong(name, "contains itself or is nested too deeply", PAYLOAD, { cause });
  }
}

function isJson(value: unknown): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return Number.isFinite(value);
    default:
      return value === null || Array.isArray(value) || isPlain(value);
  }
}

/** Made by a literal or Object.create(null), also in another realm. */
function isPlain(value: unknown): value is object {
  if (tagOf(value) !== "Object") {
    return false;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice("[object ".length, -1);
}
