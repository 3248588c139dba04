// The small language of the scenarios: paths, variables, and what fits an expected value.
import { isDeepStrictEqual } from "node:util";

export type Variables = Record<string, unknown>;
type Members = Record<string, unknown>;

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** What is at a path such as "response.events.*.event_id"; null when nothing is there. */
export function atPath(value: unknown, path: readonly string[]): unknown {
  const [name, ...rest] = path;
  if (name === undefined) {
    return value ?? null;
  }
  if (Array.isArray(value)) {
    return name === "*" ? value.map((each) => atPath(each, rest)) : atPath(value[Number(name)], rest);
  }
  return isObject(value) && Object.hasOwn(value, name) ? atPath(value[name], rest) : null;
}

/** Puts in the variables, and what else stands for a value. */
export function expand(value: unknown, variables: Variables): unknown {
  if (typeof value === "string" && value.startsWith("$")) {
    return variable(value.slice(1), variables);
  }
  if (Array.isArray(value)) {
    return value.flatMap((each) => expandElement(each, variables));
  }
  if (!isObject(value)) {
    return value;
  }
  if ("$payload_size" in value) {
    return `{"a":"${"x".repeat(Number(value.$payload_size) - 8)}"}`;
  }
  if ("$base64" in value) {
    return new Uint8Array(Buffer.from(String(value.$base64), "base64"));
  }
  if ("$reversed" in value) {
    return (expand(value.$reversed, variables) as unknown[]).toReversed();
  }
  if ("$plus" in value) {
    return (expand(value.$plus, variables) as number[]).reduce((sum, each) => sum + each);
  }
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, expand(each, variables)]));
}

function expandElement(value: unknown, variables: Variables): unknown[] {
  if (isObject(value) && "$repeat" in value) {
    return Array<unknown>(Number(value.$repeat)).fill(expand(value.value, variables));
  }
  return [expand(value, variables)];
}

function variable(name: string, variables: Variables): unknown {
  const path = name.split(".");
  if (!Object.hasOwn(variables, path[0] ?? "")) {
    throw new Error(`the scenario has no variable ${name}`);
  }
  return path.length === 1 ? variables[name] : atPath(variables, path);
}

/** Whether what is there fits the expected value, which is expanded. */
export function fits(expected: unknown, found: unknown): boolean {
  if (!isObject(expected)) {
    return isDeepStrictEqual(expected, found);
  }
  const [[name, argument] = ["", undefined]] = Object.entries(expected);
  switch (name) {
    case "$any":
      return found !== null && found !== "" && !(Array.isArray(found) && found.length === 0);
    case "$not":
      return !fits(argument, found);
    case "$count":
      return Array.isArray(found) && found.length === argument;
    case "$between": {
      const [least, most] = argument as [number, number];
      return typeof found === "number" && least <= found && found <= most;
    }
    case "$same_elements":
      return Array.isArray(found) && isDeepStrictEqual(sorted(argument as unknown[]), sorted(found));
    default:
      return isDeepStrictEqual(expected, found);
  }
}

function sorted(list: unknown[]): string[] {
  return list.map((each) => JSON.stringify(each)).sort();
}
