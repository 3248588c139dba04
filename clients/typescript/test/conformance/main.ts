// Executes the scenarios and vectors of clients/conformance; its README says how.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Harness } from "./harness.js";
import { runScenario, type Scenario } from "./scenario.js";
import { checkEnvelopeVectors, checkEventIdVectors } from "./vectors.js";

function environment(name: string): string {
  const value = process.env[name];
  if (value === undefined) {
    throw new Error(`${name} is not set`);
  }
  return value;
}

const folder = environment("TRIGGERS_CONFORMANCE");
const variables = JSON.parse(environment("TRIGGERS_CONFORMANCE_VARIABLES")) as Record<string, string>;
const only = process.env.TRIGGERS_CONFORMANCE_ONLY?.split(",");
const harness = new Harness();

function read(file: string): unknown {
  return JSON.parse(readFileSync(join(folder, file), "utf8"));
}

async function report(scenario: string, run: () => void | Promise<void>): Promise<void> {
  if (only && !only.includes(scenario)) {
    return;
  }
  try {
    await run();
    harness.tell({ scenario, passed: true, detail: "" });
  } catch (error) {
    harness.tell({ scenario, passed: false, detail: error instanceof Error ? error.message : String(error) });
  }
}

const files = readdirSync(join(folder, "scenarios")).filter((name) => name.endsWith(".json"));
for (const file of files.sort()) {
  for (const scenario of read(join("scenarios", file)) as Scenario[]) {
    await report(scenario.name, () => runScenario(scenario, variables, harness));
  }
}
await report("vectors/envelope", () => {
  checkEnvelopeVectors(read("vectors/envelope.json"));
});
await report("vectors/typeid", () => {
  checkEventIdVectors(read("vectors/typeid.json"));
});
harness.close();
