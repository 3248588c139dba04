// Sends a few events and prints their ids.
import { TriggersClient, TriggersError } from "triggers-client";

const { TRIGGERS_CORE: urls = "ws://127.0.0.1:7300/rpc", TRIGGERS_API_KEY: apiKey } = process.env;
const client = new TriggersClient({ urls, apiKey });
try {
  const created = await client.create({
    source: "shop",
    eventType: "order.paid",
    payload: { order: 1, total: "19.90" },
  });
  console.log(created.eventId);

  const more = [2, 3].map((order) => ({ source: "shop", eventType: "order.paid", payload: { order } }));
  for (const result of await client.createBatch(more, { timeoutMs: 5000 })) {
    if (result instanceof TriggersError) throw result;
    console.log(result.eventId);
  }
} finally {
  await client.close();
}
