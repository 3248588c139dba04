// Works on the inbox until Ctrl-C, four events at once.
import { payloadText, TriggersClient } from "triggers-client";

const { TRIGGERS_CORE: urls = "ws://127.0.0.1:7300/rpc", TRIGGERS_API_KEY: apiKey } = process.env;
const client = new TriggersClient({ urls, apiKey });
const worker = client.worker(
  "inbox",
  async ({ event }) => {
    // Acknowledged when this resolves; it comes again when this rejects.
    console.log(event.eventId, event.eventType, payloadText(event));
  },
  { concurrency: 4 },
);
process.once("SIGINT", () => worker.stop());
try {
  await worker.done; // when what runs is finished
} finally {
  await client.close();
}
