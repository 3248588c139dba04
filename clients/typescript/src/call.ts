// One call through all its tries, until its answer, its deadline or its end.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { follow, unfollow } from "./abort.js";
import { Backoff } from "./backoff.js";
import type { Channel, Waiting } from "./channel.js";
import type { Carried, Connection } from "./connection.js";
import { failureToError, invalidArgument, malformedAnswer, TriggersError } from "./errors.js";
import { Code, RequestSchema, ResponseSchema, type Response } from "./gen/triggers/rpc/v1/envelope_pb.js";

const MAX_MESSAGE = 10_551_296; // of an encoded request; a core takes 8 MiB unless set to take larger payloads
const REQUEST_ID_SIZE = 4;

export interface CallRequest {
  method: string;
  body: Uint8Array;
  metadata: Record<string, string>;
  timeoutMs: number;
  signal: AbortSignal | undefined;
  /** It may be sent again when it is not known what became of it. */
  repeatable: boolean;
  /** Silence up to the deadline is no sign of trouble. */
  waits: boolean;
}

export class Call implements Waiting, Carried {
  readonly #channel: Channel;
  readonly #request: CallRequest;
  readonly #deadline: number; // on performance.now()'s clock
  #resolve!: (body: Uint8Array) => void;
  #reject!: (error: TriggersError) => void;
  #deadlineTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #backoff = new Backoff();
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #flight: { connection: Connection; id: number } | undefined;
  #sent = false;

  constructor(channel: Channel, request: CallRequest) {
    this.#channel = channel;
    this.#request = request;
    this.#deadline = performance.now() + request.timeoutMs;
  }

  get waits(): boolean {
    return this.#request.waits;
  }

  /** Makes the call; the body of the response, or a TriggersError. */
  run(): Promise<Uint8Array> {
    const { signal, timeoutMs } = this.#request;
    this.#deadlineTimer = setTimeout(() => {
      this.#onDeadline();
    }, timeoutMs);
    if (signal) {
      follow(signal, this.#onAbort);
    }
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#channel.enter(this);
    });
  }

  /** Ends the call early. */
  cancel(error: TriggersError): void {
    this.#finish();
    this.#reject(error);
  }

  onConnection(connection: Connection): void {
    const message = this.#encode();
    if (message.length - REQUEST_ID_SIZE > MAX_MESSAGE) {
      const size = String(message.length - REQUEST_ID_SIZE);
      this.cancel(invalidArgument("MESSAGE_TOO_LARGE", `the request has ${size} bytes; at most ${String(MAX_MESSAGE)} are accepted`));
      return;
    }
    this.#sent = true;
    this.#flight = { connection, id: connection.send(message, this) };
  }

  onLost(): void {
    this.#flight = undefined;
    if (this.#request.repeatable) {
      this.#channel.enter(this);
    } else {
      const message = `the connection was lost (${this.#channel.problem}); the call may or may not have been done`;
      this.cancel(new TriggersError(Code.UNAVAILABLE, "CONNECTION_LOST", message));
    }
  }

  onAnswer(envelope: Uint8Array): void {
    this.#flight = undefined;
    let response: Response;
    try {
      response = fromBinary(ResponseSchema, envelope);
    } catch (cause) {
      this.cancel(malformedAnswer("is not a triggers.rpc.v1.Response", { cause }));
      return;
    }
    if (response.code === Code.OK) {
      this.#finish();
      this.#resolve(response.body);
    } else {
      this.#onFailure(failureToError(response));
    }
  }

  #onFailure(error: TriggersError): void {
    const again = this.#request.repeatable && error.retryable;
    const passing = again && error.code !== Code.DEADLINE_EXCEEDED; // which this is the end of
    const waitMs = Math.max(this.#backoff.nextMs(), error.retryDelayMs);
    if (!passing || performance.now() + waitMs >= this.#deadline) {
      this.cancel(error);
      return;
    }
    this.#retryTimer = setTimeout(() => {
      this.#channel.enter(this);
    }, waitMs);
  }

  #onDeadline(): void {
    if (this.#flight) {
      const waited = `no answer within ${String(this.#request.timeoutMs)} ms; a write may have happened`;
      this.#finish(true);
      this.#reject(new TriggersError(Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", waited));
    } else {
      const reason = this.#sent ? "CONNECTION_LOST" : "CORE_UNREACHABLE";
      const message = `no connection to a core: ${this.#channel.problem}`;
      this.cancel(new TriggersError(Code.UNAVAILABLE, reason, message));
    }
  }

  readonly #onAbort = (): void => {
    this.cancel(abortedError(this.#request.signal));
  };

  #finish(due = false): void {
    clearTimeout(this.#deadlineTimer);
    clearTimeout(this.#retryTimer);
    if (this.#request.signal) {
      unfollow(this.#request.signal, this.#onAbort);
    }
    this.#channel.leave(this);
    this.#flight?.connection.forget(this.#flight.id, due);
    this.#flight = undefined;
  }

  /** The envelope with the time that is left, behind room for the request id. */
  #encode(): Uint8Array {
    const { method, metadata, body } = this.#request;
    const timeoutMs = Math.max(1, Math.floor(this.#deadline - performance.now()));
    const envelope = toBinary(RequestSchema, create(RequestSchema, { method, timeoutMs, metadata, body }));
    const message = new Uint8Array(REQUEST_ID_SIZE + envelope.length);
    message.set(envelope, REQUEST_ID_SIZE);
    return message;
  }
}

export function abortedError(signal?: AbortSignal): TriggersError {
  const cause: unknown = signal?.reason;
  return new TriggersError(Code.CANCELLED, "CALL_CANCELLED", "the caller cancelled the call", [], 0, { cause });
}
