// Settling deliveries: those that are settled alike while a call is under way go together in the next.
import { failureToError, TriggersError } from "./errors.js";
import type { SettleResult } from "./gen/triggers/v1/subscriptions_pb.js";

const MAX_BATCH = 1000;

type Send = (ackIds: string[]) => Promise<readonly SettleResult[]>;
type Tell = (error: TriggersError | undefined) => void;

export class Gatherer {
  readonly #send: Send;
  #waiting: { ackId: string; tell: Tell }[] = [];
  #sending = false;

  constructor(send: Send) {
    this.#send = send;
  }

  /** Undefined when it was done; else why it was not, be it the call that failed. */
  settle(ackId: string): Promise<TriggersError | undefined> {
    return new Promise((tell) => {
      this.#waiting.push({ ackId, tell });
      if (!this.#sending) {
        this.#sending = true;
        queueMicrotask(() => void this.#sendAll());
      }
    });
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MAX_BATCH);
      const errors = await this.#errorsOf(batch.map(({ ackId }) => ackId));
      for (const [index, { tell }] of batch.entries()) {
        tell(errors[index]);
      }
    }
    this.#sending = false;
  }

  async #errorsOf(ackIds: string[]): Promise<(TriggersError | undefined)[]> {
    try {
      const results = await this.#send(ackIds);
      return results.map(({ error }) => error && failureToError(error));
    } catch (error) {
      return ackIds.map(() => error as TriggersError);
    }
  }
}
