// The package as a browser bundles and runs it: a page that creates and lists in headless Chromium.
// TRIGGERS_CORE names a core to use; without it one in this process answers.
import assert from "node:assert/strict";
import { build } from "esbuild";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import {
  CreateEventRequestSchema,
  CreateEventResponseSchema,
  EventSchema,
  ListInboxResponseSchema,
  type Event,
} from "../src/gen/triggers/v1/events_pb.js";
import { ok, ScriptedCore, type Answer } from "./scripted.js";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const AT = { seconds: 1_700_000_000n, nanos: 1000 };

const PAGE = `
  import { payloadText, TriggersClient } from "triggers-client";
  const client = new TriggersClient({ urls: CORE });
  const result = { created: "", payload: "" };
  try {
    const created = await client.create({ source: "page", eventType: "page.opened", payload: '{"n":1.50}' });
    result.created = created.eventId;
    for await (const event of client.list()) {
      if (event.eventId === created.eventId) result.payload = payloadText(event);
    }
    await client.close();
  } catch (error) {
    result.error = String(error);
  }
  await fetch("/result", { method: "POST", body: JSON.stringify(result) });
`;

/** An inbox that holds what was created. */
function inbox(): Answer {
  const events: Event[] = [];
  return ({ method, body }) => {
    if (method.endsWith("/ListInbox")) {
      return ok(ListInboxResponseSchema, { events });
    }
    const { eventId, payload } = fromBinary(CreateEventRequestSchema, body);
    events.push(create(EventSchema, { eventId, payload, createdAt: AT }));
    return ok(CreateEventResponseSchema, { eventId, createdAt: AT });
  };
}

async function bundle(core: string): Promise<string> {
  const built = await build({
    stdin: { contents: PAGE, resolveDir: process.cwd() },
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    define: { CORE: JSON.stringify(core) },
  });
  return built.outputFiles[0]?.text ?? "";
}

/** Serves the page, has the browser open it, and waits for what it posts. */
async function visit(script: string, chromium: string): Promise<unknown> {
  const profile = mkdtempSync(join(tmpdir(), "triggers-chromium-"));
  let post: (result: unknown) => void;
  const posted = new Promise<unknown>((resolve) => (post = resolve));
  const server = createServer((request, response) => {
    if (request.method === "POST") {
      response.end();
      post(text(request).then(JSON.parse));
    } else {
      response.setHeader("Content-Type", "text/html");
      response.end(`<!doctype html><script type="module">${script}</script>`);
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/`;
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
  const browser = spawn(chromium, [...flags, `--user-data-dir=${profile}`, url], { stdio: "ignore", detached: true });
  try {
    return await posted;
  } finally {
    await endGroup(browser);
    server.closeAllConnections();
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function endGroup(browser: ChildProcess): Promise<void> {
  const gone = once(browser, "exit");
  process.kill(-(browser.pid ?? 0), "SIGKILL");
  await gone;
}

void test("a page creates and lists", { skip: CHROMIUM ? false : "no Chromium", timeout: 60_000 }, async () => {
  const core = process.env.TRIGGERS_CORE === undefined ? await ScriptedCore.start(inbox()) : undefined;
  try {
    const script = await bundle(core?.url ?? process.env.TRIGGERS_CORE ?? "");
    assert.ok(!script.includes("node:"), "the bundle wants Node's modules");
    const result = (await visit(script, CHROMIUM ?? "")) as { created: string };
    assert.match(result.created, /^evt_/, JSON.stringify(result));
    assert.deepEqual(result, { created: result.created, payload: '{"n":1.50}' });
  } finally {
    core?.stop();
  }
});
