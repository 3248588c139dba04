// All connections of a client: spreads calls over those that are up, and holds them while none is.
import { Connection } from "./connection.js";
import type { Dial } from "./link.js";

/** A call that wants to be sent; it is given a connection that is up. */
export interface Waiting {
  onConnection(connection: Connection): void;
}

export class Channel {
  readonly #connections: Connection[];
  readonly #waiting = new Set<Waiting>();
  #turn = 0;
  #running: number;
  #onStopped: (() => void) | undefined;

  constructor(dials: readonly Dial[]) {
    this.#running = dials.length;
    const events = {
      onUp: () => {
        this.#serveWaiting();
      },
      onStopped: () => {
        this.#running--;
        if (this.#running === 0) {
          this.#onStopped?.();
        }
      },
    };
    this.#connections = dials.map((dial) => new Connection(dial, events));
  }

  /** Gives the call a connection, now or as soon as one is up. */
  enter(call: Waiting): void {
    const connection = this.#pick();
    if (connection) {
      call.onConnection(connection);
    } else {
      this.#waiting.add(call);
    }
  }

  /** Ends the wish of a call to be sent. */
  leave(call: Waiting): void {
    this.#waiting.delete(call);
  }

  /** Why no connection is up; for people. */
  get problem(): string {
    const problems = this.#connections.map((connection) => connection.problem);
    return [...new Set(problems.filter(Boolean))].join("; ") || "not connected yet";
  }

  /** Ends all connections for good; done when all are gone. */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#onStopped = resolve;
      for (const connection of this.#connections) {
        connection.stop();
      }
    });
  }

  /** The next connection that is up, in turn. */
  #pick(): Connection | undefined {
    const count = this.#connections.length;
    for (let i = 0; i < count; i++) {
      const connection = this.#connections[(this.#turn + i) % count];
      if (connection?.up) {
        this.#turn = (this.#turn + i + 1) % count;
        return connection;
      }
    }
    return undefined;
  }

  #serveWaiting(): void {
    const calls = [...this.#waiting];
    this.#waiting.clear();
    for (const call of calls) {
      this.enter(call);
    }
  }
}
