// SP over TCP, for Node: both sides greet with 8 bytes, then every message follows its length in 64 bits.
import { connect, type Socket } from "node:net";
import { type Link, type LinkEvents, MAX_ANSWER } from "./link.js";

const GREETING = Uint8Array.of(0, 0x53, 0x50, 0, 0, 0x30, 0, 0); // "SP", version 0, REQ
const PEER_GREETING = Buffer.of(0, 0x53, 0x50, 0, 0, 0x31, 0, 0); // … REP
const KEEP_ALIVE_MS = 15_000;

export function tcpLink(url: URL, events: LinkEvents): Link {
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const socket = connect({ host, port: Number(url.port), noDelay: true });
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  let why = "closed by the core";
  const reader = new Reader(socket, events);
  socket.on("connect", () => socket.write(GREETING));
  socket.on("data", (chunk: Buffer) => {
    reader.add(chunk);
  });
  socket.on("error", (error) => (why = error.message));
  socket.on("close", () => {
    events.onClose(why);
  });
  return {
    send: (message) => {
      const length = new Uint8Array(8);
      new DataView(length.buffer).setBigUint64(0, BigInt(message.length));
      socket.cork();
      socket.write(length);
      socket.write(message);
      socket.uncork();
    },
    close: () => socket.destroy(),
  };
}

/** Puts what arrives together: first the greeting, then messages. */
class Reader {
  readonly #socket: Socket;
  readonly #events: LinkEvents;
  #chunks: Buffer[] = [];
  #size = 0;
  #greeted = false;
  #length = -1; // of the message that is arriving; -1: not known yet

  constructor(socket: Socket, events: LinkEvents) {
    this.#socket = socket;
    this.#events = events;
  }

  add(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    while (!this.#socket.destroyed && this.#step());
  }

  /** Reads one part; false when more has to arrive first. */
  #step(): boolean {
    const wanted = this.#length < 0 ? 8 : this.#length;
    if (this.#size < wanted) {
      return false;
    }
    const part = this.#take(wanted);
    if (!this.#greeted) {
      this.#greet(part);
    } else if (this.#length < 0) {
      this.#expect(part.readBigUInt64BE());
    } else {
      this.#length = -1;
      this.#events.onMessage(part);
    }
    return true;
  }

  #greet(greeting: Buffer): void {
    if (greeting.equals(PEER_GREETING)) {
      this.#greeted = true;
      this.#events.onOpen();
    } else {
      this.#socket.destroy(new Error("the peer does not speak SP as a REP socket"));
    }
  }

  #expect(length: bigint): void {
    if (length <= MAX_ANSWER) {
      this.#length = Number(length);
    } else {
      this.#socket.destroy(new Error(`a message of ${String(length)} bytes, which is too large`));
    }
  }

  #take(size: number): Buffer {
    // One join for a message, however many chunks it came in.
    const all = this.#chunks.length === 1 && this.#chunks[0] ? this.#chunks[0] : Buffer.concat(this.#chunks);
    this.#chunks = all.length > size ? [all.subarray(size)] : [];
    this.#size -= size;
    return all.subarray(0, size);
  }
}
