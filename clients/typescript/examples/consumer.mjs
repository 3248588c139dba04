// Takes every pending event, oldest first, and acknowledges it.
import { payloadText, SortOrder, TriggersClient } from "triggers-client";

const { TRIGGERS_CORE: urls = "ws://127.0.0.1:7300/rpc", TRIGGERS_API_KEY: apiKey } = process.env;
const client = new TriggersClient({ urls, apiKey });
try {
  for await (const event of client.list({ order: SortOrder.OLDEST_FIRST })) {
    console.log(event.eventId, event.eventType, payloadText(event));
    await client.ack(event.eventId);
  }
} finally {
  await client.close();
}
