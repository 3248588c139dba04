// What a transport offers: one dialled connection that carries SP messages (REQ to REP).

/** One SP message to send is its 4-byte request id and the envelope; so is one that arrives. */
export interface Link {
  send(message: Uint8Array): void;
  /** Ends the connection, whatever it is doing. `onClose` follows. */
  close(): void;
}

/** A link calls `onOpen` at most once, then `onMessage`, and at last `onClose`, exactly once. */
export interface LinkEvents {
  onOpen(): void;
  onMessage(message: Uint8Array): void;
  onClose(why: string): void;
}

/** Dials the address a client was given. */
export type Dial = (events: LinkEvents) => Link;

/** Makes the dialler of an address. Throws a TriggersError for one that it cannot dial. */
export type Dialler = (url: URL) => Dial;

/** The largest message a core may send; its pages end at 8 MiB. */
export const MAX_ANSWER = 16 << 20;
