// What tests/bench/run measures: bench URL IN_FLIGHT SECONDS PAYLOAD; see clients/conformance.
import { TriggersClient } from "../src/node.js";

const [urls = "", inFlight, seconds, payload = ""] = process.argv.slice(2);
const client = new TriggersClient({ urls });
await client.health();
const begin = performance.now() + 1000;
const end = begin + Number(seconds) * 1000;

/** Creates one event after another; the latencies of calls within the measured time. */
async function createUntilEnd(): Promise<number[]> {
  const latencies: number[] = [];
  for (let started = performance.now(); started < end; ) {
    await client.create({ source: "billing", eventType: "invoice.paid", payload });
    const done = performance.now();
    if (started >= begin && done <= end) {
      latencies.push(done - started);
    }
    started = done;
  }
  return latencies;
}

const lanes = await Promise.all(Array.from({ length: Number(inFlight) }, createUntilEnd));
await client.close();
console.log(lanes.flatMap((lane) => lane.map((latency) => Math.round(latency * 1000))).join("\n"));
