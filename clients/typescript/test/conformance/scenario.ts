// Runs one scenario, step by step.
import { readFile } from "node:fs/promises";
import { newEventId, TriggersClient, type TriggersClientOptions } from "../../src/node.js";
import { type Fields, METHODS, outcomeOf } from "./calls.js";
import type { Harness } from "./harness.js";
import { NONSENSE } from "./nonsense.js";
import { atPath, expand, fits, type Variables } from "./values.js";

interface CallStep {
  call: string;
  nonsense?: string[];
  request?: object;
  timeout_ms?: unknown;
  times?: number;
  parallel?: boolean;
  expect?: Record<string, unknown>;
  save?: Record<string, string>;
}

type Step = { new_ids: string[] } | { harness: object } | CallStep;

export interface Scenario {
  name: string;
  client?: object;
  steps: Step[];
}

interface ClientFields {
  urls: string[];
  timeout_ms?: number;
  ca_file?: string;
  api_key?: string;
  api_keys?: string[];
  api_key_file?: string;
}

/** Throws an error that says what differed. */
export async function runScenario(scenario: Scenario, given: Variables, harness: Harness): Promise<void> {
  const variables = { ...given };
  let client: TriggersClient | undefined;
  try {
    for (const [index, step] of scenario.steps.entries()) {
      try {
        if ("harness" in step) {
          await harness.act(expand(step.harness, variables));
        } else if ("new_ids" in step) {
          Object.assign(variables, Object.fromEntries(step.new_ids.map((name) => [name, newEventId()])));
        } else {
          client ??= openClient(expand(scenario.client ?? { urls: ["$url"] }, variables) as ClientFields);
          await runStep(step, client, variables);
        }
      } catch (error) {
        throw new Error(`step ${String(index + 1)}: ${String(error)}`, { cause: error });
      }
    }
  } finally {
    await client?.close();
  }
}

/** A function that gives these keys, the last one again and again. */
function inTurn(keys: string[]): () => string {
  let next = 0;
  return () => keys[Math.min(next++, keys.length - 1)] ?? "";
}

function openClient({ urls, timeout_ms, ca_file, api_key, api_keys, api_key_file }: ClientFields): TriggersClient {
  const options: TriggersClientOptions = { urls };
  if (timeout_ms !== undefined) {
    options.timeoutMs = timeout_ms;
  }
  if (ca_file !== undefined) {
    options.caFile = ca_file;
  }
  options.apiKey = api_keys === undefined ? api_key : inTurn(api_keys);
  if (api_key_file !== undefined) {
    options.apiKey = async (): Promise<string> => (await readFile(api_key_file, "utf8")).trim();
  }
  return new TriggersClient(options);
}

/** Makes the calls of a step, with all the nonsense that it names one after the other. */
async function runStep(step: CallStep, client: TriggersClient, variables: Variables): Promise<void> {
  if (!step.nonsense) {
    await runCalls(step, client, variables);
    return;
  }
  for (const name of step.nonsense.filter((name) => NONSENSE.has(name))) {
    try {
      await runCalls(step, client, { ...variables, nonsense: NONSENSE.get(name) });
    } catch (error) {
      throw new Error(`${name}: ${String(error)}`, { cause: error });
    }
  }
}

async function runCalls(step: CallStep, client: TriggersClient, variables: Variables): Promise<void> {
  const fields = expand(step.request ?? {}, variables) as Fields;
  const timeoutMs = expand(step.timeout_ms, variables);
  const outcomes = await makeCalls(step, client, fields, timeoutMs);
  const expected = { code: "OK", ...(expand(step.expect ?? {}, variables) as object) };
  for (const outcome of outcomes) {
    for (const [path, value] of Object.entries(expected)) {
      const found = atPath(outcome, path.split("."));
      if (!fits(value, found)) {
        throw new Error(`${step.call}: ${path} is ${shorten(found)} instead of ${shorten(value)}: ${shorten(outcome)}`);
      }
    }
  }
  for (const [name, path] of Object.entries(step.save ?? {})) {
    const found = outcomes.map((outcome) => atPath(outcome, path.split(".")));
    variables[name] = step.times === undefined ? found[0] : found;
  }
}

async function makeCalls(
  step: CallStep,
  client: TriggersClient,
  fields: Fields,
  timeoutMs: unknown,
): Promise<object[]> {
  const method = METHODS[step.call];
  if (!method) {
    throw new Error(`there is no method ${step.call}`);
  }
  const options = timeoutMs === undefined ? {} : { timeoutMs: timeoutMs as number };
  const call = (): Promise<object> => outcomeOf(() => method(client, fields, options));
  const times = step.times ?? 1;
  if (step.parallel) {
    return Promise.all(Array.from({ length: times }, call));
  }
  const outcomes = [];
  while (outcomes.length < times) {
    outcomes.push(await call());
  }
  return outcomes;
}

function shorten(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
}
