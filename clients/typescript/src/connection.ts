// One address: dials it, dials again when it drops, and matches answers to the calls in flight.
import { Backoff } from "./backoff.js";
import type { Dial, Link } from "./link.js";

const DIAL_MS = 5000; // an attempt that takes longer is given up
const SILENCE_MS = 5000; // a connection is taken for dead when a call got no sign of life for so long
const HEADER_SIZE = 4;
const TOP_BIT = 0x80000000;

/** What a connection tells a call that it carries; one of the two, once. */
export interface Carried {
  /** Until its deadline, silence is no sign that the connection is dead. */
  readonly waits: boolean;
  onAnswer(envelope: Uint8Array): void;
  /** The connection dropped before the answer came. */
  onLost(): void;
}

export interface ConnectionEvents {
  /** The connection is up and takes calls. */
  onUp(): void;
  /** Nobody waits in vain for a stopped connection: it is gone. */
  onStopped(): void;
}

export class Connection {
  readonly #dial: Dial;
  readonly #events: ConnectionEvents;
  readonly #backoff = new Backoff();
  readonly #inFlight = new Map<number, { call: Carried; since: number }>();
  #link: Link | undefined;
  #up = false;
  #stopped = false;
  #timer: ReturnType<typeof setTimeout> | undefined; // for the dial's end, or until the next one
  #nextId = Math.floor(Math.random() * TOP_BIT);
  #heardAt = 0;
  #problem = "";

  constructor(dial: Dial, events: ConnectionEvents) {
    this.#dial = dial;
    this.#events = events;
    this.#connect();
  }

  get up(): boolean {
    return this.#up;
  }

  /** Why it is not up; for people. */
  get problem(): string {
    return this.#problem;
  }

  /** Sends an envelope, whose first 4 bytes are free for the request id, which it returns. Only while up. */
  send(message: Uint8Array, call: Carried): number {
    const id = (this.#nextId = (this.#nextId + 1) % TOP_BIT);
    new DataView(message.buffer, message.byteOffset).setUint32(0, id + TOP_BIT);
    this.#inFlight.set(id, { call, since: Date.now() });
    this.#link?.send(message);
    return id;
  }

  /** Ends the interest in an answer, which is `due` at the call's deadline. */
  forget(id: number, due: boolean): void {
    const carried = this.#inFlight.get(id);
    this.#inFlight.delete(id);
    // A peer that vanished without a word leaves a connection that looks well: dial again.
    if (carried && (due || !carried.call.waits) && Date.now() - Math.max(carried.since, this.#heardAt) >= SILENCE_MS) {
      this.#link?.close();
    }
  }

  /** Ends the connection for good. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    if (this.#link) {
      this.#link.close();
    } else {
      this.#events.onStopped();
    }
  }

  #connect(): void {
    this.#timer = setTimeout(() => {
      this.#problem = "no connection within 5 seconds";
      this.#link?.close();
    }, DIAL_MS);
    this.#link = this.#dial({
      onOpen: () => {
        this.#onOpen();
      },
      onMessage: (message) => {
        this.#onMessage(message);
      },
      onClose: (why) => {
        this.#onClose(why);
      },
    });
  }

  #onOpen(): void {
    if (this.#stopped) {
      return;
    }
    clearTimeout(this.#timer);
    this.#up = true;
    this.#events.onUp();
  }

  #onMessage(message: Uint8Array): void {
    this.#heardAt = Date.now();
    this.#backoff.reset();
    if (message.length < HEADER_SIZE) {
      return; // no answer to anything
    }
    const id = new DataView(message.buffer, message.byteOffset).getUint32(0) - TOP_BIT;
    const carried = this.#inFlight.get(id);
    this.#inFlight.delete(id);
    carried?.call.onAnswer(message.subarray(HEADER_SIZE));
  }

  #onClose(why: string): void {
    clearTimeout(this.#timer);
    this.#link = undefined;
    this.#up = false;
    this.#problem = why;
    if (this.#stopped) {
      this.#events.onStopped();
    } else {
      this.#timer = setTimeout(() => {
        this.#connect();
      }, this.#backoff.nextMs());
    }
    const lost = [...this.#inFlight.values()];
    this.#inFlight.clear();
    for (const { call } of lost) {
      call.onLost();
    }
  }
}
