// Takes every pending event, oldest first, and acknowledges it.
import { payloadText, SortOrder, TriggersClient } from "triggers-client";

const client = new TriggersClient({ urls: process.env.TRIGGERS_CORE ?? "ws://127.0.0.1:7300/rpc" });
try {
  for await (const event of client.list({ order: SortOrder.OLDEST_FIRST })) {
    console.log(event.eventId, event.eventType, payloadText(event));
    await client.ack(event.eventId);
  }
} finally {
  await client.close();
}
