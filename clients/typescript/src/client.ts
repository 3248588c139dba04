// The client: one method for each of the service's, and the list that pages by itself.
import {
  create,
  fromBinary,
  getOption,
  toBinary,
  type DescMethod,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  checkList,
  checkMetadata,
  checkMethod,
  checkText,
  checkTimeout,
  MAX_TIMEOUT_MS,
  MAX_WAIT_MS,
} from "./arguments.js";
import { checkAcknowledged, checkCreated, checkErased, checkResults } from "./answers.js";
import { abortedError, Call } from "./call.js";
import { Channel } from "./channel.js";
import { invalidArgument, malformedAnswer, TriggersError } from "./errors.js";
import { Follower } from "./follower.js";
import { call as callOption } from "./gen/triggers/api/v1/options_pb.js";
import { Health, type HealthCheckResponse } from "./gen/triggers/health/v1/health_pb.js";
import { Code } from "./gen/triggers/rpc/v1/envelope_pb.js";
import {
  EventService,
  type AckEventResponse,
  type CreateEventResponse,
  type EraseEventResponse,
  type Event,
  type ListEventsResponse,
  type ListInboxResponse,
  type ListKindsResponse,
} from "./gen/triggers/v1/events_pb.js";
import { VERSION } from "./gen/version.js";
import { authorizeWith, type ApiKey, type Authorize } from "./key.js";
import type { Dialler } from "./link.js";
import {
  parseUrls,
  toCreateRequest,
  toKindsRequest,
  toListRequest,
  toLogRequest,
  type KindsRequest,
  type ListRequest,
  type LogRequest,
  type NewEvent,
} from "./requests.js";
import { Worker, type Delivery, type WorkerOptions } from "./worker.js";

export const DEFAULT_URL = "ws://127.0.0.1:7300/rpc";
const DEFAULT_TIMEOUT_MS = 10_000;

export interface ClientOptions {
  /** Addresses of cores, as a list or with commas; calls go to those that are connected, in turn. */
  urls?: string | readonly string[];
  /** The deadline of calls that give none, in milliseconds; 10 000 when absent. */
  timeoutMs?: number;
  /** This program's name and version, such as "shop/1.2", for the core's log. */
  name?: string;
  /**
   * The key that calls carry, or a function that gives the current one: it is called once for each call, before the
   * call's deadline begins. When it fails, so does the call, as UNAUTHENTICATED with the reason KEY_UNAVAILABLE.
   */
  apiKey?: ApiKey | undefined;
}

export interface CallOptions {
  /**
   * The deadline of this call, all its tries included, in milliseconds from now. The core ends a try after
   * 30 000 with DEADLINE_EXCEEDED, which ends the call.
   */
  timeoutMs?: number;
  /** Ends the call with CANCELLED; `cause` of the error is the signal's reason. */
  signal?: AbortSignal;
  /** Logged by the core, which makes one when it is absent. */
  requestId?: string;
  /** W3C Trace Context, carried to the core. */
  traceparent?: string;
  /** What else goes with the request, by names in lower case. */
  metadata?: Readonly<Record<string, string>>;
}

/**
 * A client of one or several cores. It connects when it is made, and again whenever a connection
 * drops; any number of calls may be in flight. Every method rejects with a {@link TriggersError}.
 */
export class Client {
  readonly #channel: Channel;
  readonly #calls = new Set<Call>();
  readonly #timeoutMs: number;
  readonly #name: string;
  readonly #authorize: Authorize | undefined;
  #closed: Promise<void> | undefined;

  protected constructor(options: ClientOptions, dialler: Dialler) {
    this.#timeoutMs = checkTimeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const program = options.name === undefined ? "" : `${checkText("name", options.name)} `;
    this.#name = `${program}triggers-typescript/${VERSION}`;
    this.#authorize = options.apiKey === undefined ? undefined : authorizeWith(options.apiKey);
    this.#channel = new Channel(parseUrls(options.urls ?? DEFAULT_URL).map(dialler));
  }

  /** Stores one event. It is durable when this returns. */
  async create(event: NewEvent, options?: CallOptions): Promise<CreateEventResponse> {
    const created = await this.call(EventService.method.createEvent, toCreateRequest(event), options);
    return checkCreated(created);
  }

  /** Stores 1 to 1000 events. Each succeeds or fails by itself: one result or error per event, in order. */
  async createBatch(
    events: readonly NewEvent[],
    options?: CallOptions,
  ): Promise<(CreateEventResponse | TriggersError)[]> {
    const given = checkList("events", events);
    const request = { events: given.map((event, index) => toCreateRequest(event, `events[${String(index)}]`)) };
    const { results } = await this.call(EventService.method.batchCreateEvents, request, options);
    return checkResults(results, events.length, checkCreated);
  }

  /** Reads one event, acknowledged or not. */
  async get(eventId: string, options?: CallOptions): Promise<Event> {
    const request = { eventId: checkText("eventId", eventId) };
    const { event } = await this.call(EventService.method.getEvent, request, options);
    if (!event) {
      throw malformedAnswer("has no event");
    }
    return event;
  }

  /** Lists all events of one status, page by page; `options` hold for each page. */
  async *list(request: ListRequest = {}, options?: CallOptions): AsyncGenerator<Event, void, undefined> {
    let pageToken = "";
    do {
      const page = await this.listPage({ ...request, pageToken }, options);
      yield* page.events;
      pageToken = page.nextPageToken;
    } while (pageToken);
  }

  /** Lists one page. `pageToken` is the `nextPageToken` of the page before, "" on the last. */
  async listPage(
    request: ListRequest & { pageToken?: string } = {},
    options?: CallOptions,
  ): Promise<ListInboxResponse> {
    return this.call(EventService.method.listInbox, toListRequest(request), options);
  }

  /**
   * Reads the log, the events of every status in the order of the commits, after a position. Continue from
   * `nextAfter`. With `waitMs` an answer without events comes when that time is over; a call without a `timeoutMs` has
   * so much more. OUT_OF_RANGE, with `firstSequence`, when events after the position were removed.
   */
  async listEvents(request: LogRequest = {}, options: CallOptions = {}): Promise<ListEventsResponse> {
    const given = toLogRequest(request);
    const timeoutMs = options.timeoutMs ?? Math.min(this.#timeoutMs + given.waitMs, MAX_TIMEOUT_MS);
    return this.call(EventService.method.listEvents, given, { ...options, timeoutMs });
  }

  /**
   * Iterates over the log after a position, and waits at its end for more; see {@link Follower}. `waitMs`, 20 000 when
   * absent, and `options` are those of one call.
   */
  follow(request: LogRequest = {}, options: CallOptions = {}): Follower {
    const { afterSequence } = toLogRequest(request);
    return new Follower(afterSequence ?? 0n, (after, stopped) => {
      const signal = options.signal ? AbortSignal.any([options.signal, stopped]) : stopped;
      return this.listEvents({ waitMs: MAX_WAIT_MS, ...request, after }, { ...options, signal });
    });
  }

  /**
   * Works on the events of a subscription, in a call of `handler` each, until its `stop()`; see {@link Worker}. The
   * handler's `delivery.signal` is aborted when the lease is lost, which is extended while it runs.
   */
  worker(subscription: string, handler: (delivery: Delivery) => unknown, options: WorkerOptions = {}): Worker {
    const caller = { timeoutMs: this.#timeoutMs, call: this.call.bind(this) };
    return new Worker(caller, subscription, handler, options);
  }

  /** Lists one page of the kinds, the pairs of source and event type that events have or had. */
  async listKinds(request: KindsRequest = {}, options?: CallOptions): Promise<ListKindsResponse> {
    return this.call(EventService.method.listKinds, toKindsRequest(request), options);
  }

  /** Acknowledges one event. Again answers with the first time. */
  async ack(eventId: string, options?: CallOptions): Promise<AckEventResponse> {
    const request = { eventId: checkText("eventId", eventId) };
    const acknowledged = await this.call(EventService.method.ackEvent, request, options);
    return checkAcknowledged(acknowledged);
  }

  /** Acknowledges 1 to 1000 events: one result or error per id, in order. */
  async ackBatch(
    eventIds: readonly string[],
    options?: CallOptions,
  ): Promise<(AckEventResponse | TriggersError)[]> {
    const given = checkList("eventIds", eventIds);
    const request = { eventIds: given.map((id, index) => checkText(`eventIds[${String(index)}]`, id)) };
    const { results } = await this.call(EventService.method.batchAckEvents, request, options);
    return checkResults(results, eventIds.length, checkAcknowledged);
  }

  /**
   * Removes the payload of one event for good; it cannot be undone. The event keeps its place in the log and its
   * status, and its create sent again answers as before. Erasing again changes nothing.
   */
  async erase(eventId: string, options?: CallOptions): Promise<EraseEventResponse> {
    const request = { eventId: checkText("eventId", eventId) };
    return checkErased(await this.call(EventService.method.eraseEvent, request, options));
  }

  /** Whether events can be stored and read now. */
  async health(options?: CallOptions): Promise<HealthCheckResponse> {
    return this.call(Health.method.check, {}, options);
  }

  /**
   * Makes any call: `method` is of a generated service, such as `EventService.method.getEvent`, `request` the
   * fields of its request; the answer is its response. One that may not be repeated is sent once: what fails
   * then is the caller's to see.
   */
  async call<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
    options: CallOptions = {},
  ): Promise<MessageShape<M["output"]>> {
    checkMethod(method);
    const body = encode(method, request);
    const answer = await this.#sendWithKey(method, body, options);
    try {
      return fromBinary<M["output"]>(method.output, answer);
    } catch (cause) {
      throw malformedAnswer(`is no ${method.output.typeName}`, { cause });
    }
  }

  /** Ends calls in flight with CANCELLED, and all connections; done when they are gone. */
  close(): Promise<void> {
    if (!this.#closed) {
      for (const call of [...this.#calls]) {
        call.cancel(closedError());
      }
      this.#closed = this.#channel.stop();
    }
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Sends it again, in what is left of its time, when its key was refused and there is another one. */
  async #sendWithKey(method: DescMethod, body: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    const own = await this.#authorize?.();
    const began = performance.now();
    try {
      return await this.#send(method, body, options, own);
    } catch (error) {
      if (!own || !(error instanceof TriggersError) || error.code !== Code.UNAUTHENTICATED) {
        throw error;
      }
      const other = await this.#authorize?.().catch(() => undefined);
      if (!other || other.authorization === own.authorization) {
        throw error;
      }
      const left = (options.timeoutMs ?? this.#timeoutMs) - (performance.now() - began);
      return this.#send(method, body, { ...options, timeoutMs: Math.max(1, Math.ceil(left)) }, other);
    }
  }

  #send(
    method: DescMethod,
    body: Uint8Array,
    options: CallOptions,
    own: Record<string, string> | undefined,
  ): Promise<Uint8Array> {
    const { signal, requestId, traceparent } = options;
    const { repeatable, waits } = getOption(method, callOption);
    const timeoutMs = checkTimeout(options.timeoutMs ?? this.#timeoutMs);
    const metadata: Record<string, string> = { ...checkMetadata(options.metadata ?? {}), ...own, client: this.#name };
    if (requestId !== undefined) {
      metadata["request-id"] = checkText("requestId", requestId);
    }
    if (traceparent !== undefined) {
      metadata.traceparent = checkText("traceparent", traceparent);
    }
    if (this.#closed) {
      throw closedError();
    }
    if (signal?.aborted) {
      throw abortedError(signal);
    }
    const name = `${method.parent.typeName}/${method.name}`;
    const request = { method: name, body, metadata, timeoutMs, signal, repeatable, waits };
    return this.#run(new Call(this.#channel, request));
  }

  async #run(call: Call): Promise<Uint8Array> {
    this.#calls.add(call);
    try {
      return await call.run();
    } finally {
      this.#calls.delete(call);
    }
  }
}

function encode<M extends DescMethod>(method: M, request: MessageInitShape<M["input"]>): Uint8Array {
  try {
    return toBinary(method.input, create(method.input, request));
  } catch (cause) {
    const message = `the request is no ${method.input.typeName}: ${String(cause)}`;
    throw invalidArgument("REQUEST_INVALID", message, { cause });
  }
}

function closedError(): TriggersError {
  return new TriggersError(Code.CANCELLED, "CLIENT_CLOSED", "the client is closed");
}
