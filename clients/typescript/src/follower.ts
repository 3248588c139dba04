// Following the log: events one after another, and calls that wait when there are none.
import type { Event, ListEventsResponse } from "./gen/triggers/v1/events_pb.js";

type Read = (after: bigint, stopped: AbortSignal) => Promise<ListEventsResponse>;

/**
 * Iterates over the log, and waits at its end for more: each event once, in order. A call that fails rejects with its
 * error; asked again, it goes on where it was.
 */
export class Follower implements AsyncIterableIterator<Event, undefined> {
  readonly #read: Read;
  readonly #stopped = new AbortController();
  #after: bigint;
  #readTo: bigint; // everything up to here was read
  #events: Event[] = []; // that were read and not given yet
  #last: Promise<unknown> = Promise.resolve();

  /** @internal */
  constructor(after: bigint, read: Read) {
    this.#after = this.#readTo = after;
    this.#read = read;
  }

  /** The position after the event that was given last: save it, and `follow` from there the next time. */
  get nextAfter(): bigint {
    return this.#after;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Event, undefined>> {
    const step = (): Promise<IteratorResult<Event, undefined>> => this.#step();
    const result = this.#last.then(step, step); // one after another
    this.#last = result;
    return result;
  }

  /** Ends the iteration, also while it waits. */
  stop(): void {
    this.#stopped.abort();
  }

  async #step(): Promise<IteratorResult<Event, undefined>> {
    while (!this.#stopped.signal.aborted) {
      const event = this.#events.shift();
      if (event) {
        this.#after = this.#events.length > 0 ? event.sequence : this.#readTo;
        return { done: false, value: event };
      }
      await this.#fetch();
    }
    return { done: true, value: undefined };
  }

  async #fetch(): Promise<void> {
    try {
      const page = await this.#read(this.#readTo, this.#stopped.signal);
      this.#events = page.events;
      this.#readTo = page.nextAfter;
      if (page.events.length === 0) {
        this.#after = this.#readTo;
      }
    } catch (error) {
      if (!this.#stopped.signal.aborted) {
        throw error;
      }
    }
  }
}
