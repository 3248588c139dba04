// Every call of the API through what openapi-typescript makes of its description, as a strict program of
// somebody else's would make them. The types are half of the test: this must compile. Its one argument is
// the bridge's address.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[] };

type Event = components["schemas"]["Event"];
type Problem = components["schemas"]["Problem"];

const api = createClient<paths>({ baseUrl: must(process.argv[2], "address") });

function must<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new Error(`no ${what}`);
  return value;
}

function same(found: unknown, expected: unknown): void {
  if (found !== expected) throw new Error(`${String(found)} is not ${String(expected)}`);
}

// A member of a payload is read without a cast.
function amountOf(event: Event): unknown {
  return event.payload?.amount;
}

function told(problem: Problem | undefined): string {
  const { status, code, errors } = must(problem, "problem");
  return [status, code, ...(errors ?? []).map((error) => error.pointer)].join(" ");
}

async function create(): Promise<string> {
  const { data, response } = await api.POST("/api/v1/events", {
    params: { header: { "Idempotency-Key": `"calls-${Date.now()}"` } },
    body: { source: "shop", event_type: "order.paid", payload: { amount: 7, lines: [{ sku: "a" }] } },
  });
  const created = must(data, "created event");
  const status: "received" = created.status;
  same(status, "received");
  same(response.headers.get("Location"), `/api/v1/events/${created.event_id}`);
  return created.event_id;
}

async function createMany(): Promise<string[]> {
  const { data } = await api.POST("/api/v1/events/batch", {
    body: [
      { source: "shop", event_type: "order.paid", payload: { amount: 8 } },
      { source: " ", event_type: "order.paid", payload: {} },
    ],
  });
  const ids: string[] = [];
  for (const result of must(data, "results").results) {
    if ("error" in result) same(told(result.error), "422 SOURCE_INVALID #/1/source");
    else ids.push(result.event_id);
  }
  const { data: lines } = await api.POST("/api/v1/events/batch", {
    headers: { "Content-Type": "application/x-ndjson" },
    body: '{"source":"shop","event_type":"order.paid","payload":{}}\n',
    bodySerializer: (text) => text,
  });
  same(must(lines, "results").results.length, 1);
  return ids;
}

async function readAll(): Promise<number> {
  let count = 0;
  let cursor: string | undefined;
  do {
    const { data } = await api.GET("/api/v1/inbox", {
      params: { query: { status: "pending", order: "asc", limit: 2, ...(cursor ? { cursor } : {}) } },
    });
    const page = must(data, "page");
    count += page.events.filter((event) => event.acknowledged_at === null).length;
    cursor = page.next_cursor ?? undefined;
  } while (cursor);
  return count;
}

async function follow(after: number): Promise<number[]> {
  const found: number[] = [];
  for (;;) {
    const { data } = await api.GET("/api/v1/events", {
      params: { query: { after, limit: 2, wait: 0, source: ["sh*"], event_type: ["order.paid"] } },
    });
    const part = must(data, "part of the log");
    if (part.events.length === 0) return found;
    found.push(...part.events.map((event) => event.sequence));
    after = part.next_after;
  }
}

async function fail(): Promise<void> {
  const event_id = "evt_01h455vb4pex5vsknk084sn02q";
  const missing = await api.GET("/api/v1/events/{event_id}", { params: { path: { event_id } } });
  same(told(missing.error), "404 EVENT_NOT_FOUND");
  const lost = await api.GET("/api/v1/inbox", { params: { query: { cursor: "none" } } });
  same(told(lost.error), "422 PAGE_TOKEN_INVALID #/cursor");
}

async function serve(): Promise<void> {
  same((await api.GET("/health")).data?.status, "healthy");
  same((await api.GET("/ready")).data?.store, "ok");
  same((await api.GET("/")).data?.message, "Zapier Triggers API");
  const metrics = await api.GET("/metrics", { parseAs: "text" });
  same(must(metrics.data, "metrics").includes("triggers_core_up 1"), true);
}

const before = await readAll();
const first = await create();
const [second] = await createMany();
const { data: event } = await api.GET("/api/v1/events/{event_id}", {
  params: { path: { event_id: first } },
});
same(amountOf(must(event, "event")), 7);
same(await readAll(), before + 3);
const sequence = must(event, "event").sequence;
same((await follow(sequence - 1)).join(), [sequence, sequence + 1, sequence + 2].join());
const { data: kinds } = await api.GET("/api/v1/kinds", { params: { query: { page_size: 1000 } } });
same(must(kinds?.kinds, "kinds").some((kind) => kind.source === "shop"), true);
const { data: acked } = await api.DELETE("/api/v1/events/{event_id}", {
  params: { path: { event_id: first } },
});
same(must(acked, "acknowledgement").status, "acknowledged");
const { data: both } = await api.POST("/api/v1/events/ack", {
  body: { event_ids: [first, must(second, "second event")] },
});
same(must(both, "results").results.filter((result) => "error" in result).length, 0);
same(await readAll(), before + 1);
await fail();
await serve();
