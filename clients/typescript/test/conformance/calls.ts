// The methods of the scenarios, by the client's methods; and their outcomes.
import { create, type DescMethodUnary, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { TimestampSchema, type Timestamp } from "@bufbuild/protobuf/wkt";
import { setTimeout } from "node:timers/promises";
import {
  Code,
  EventStatus,
  payloadText,
  ServingStatus,
  SortOrder,
  timestampMicros,
  TriggersError,
  type AckEventResponse,
  type CallOptions,
  type CreateEventResponse,
  type Delivery,
  type Event,
  type EventFilter,
  type ListRequest,
  type LogRequest,
  type NewEvent,
  type HealthCheckResponse,
  type TriggersClient,
  type Worker,
} from "../../src/node.js";
import { Health } from "../../src/gen/triggers/health/v1/health_pb.js";
import { StatsService } from "../../src/gen/triggers/stats/v1/stats_pb.js";
import { AccessService } from "../../src/gen/triggers/v1/access_pb.js";
import { SubscriptionService } from "../../src/gen/triggers/v1/subscriptions_pb.js";

interface EventFields {
  source: string;
  event_type: string;
  payload: string | Uint8Array;
  event_id?: string;
  idempotency_key?: string;
  ordering_key?: string;
  deliver_at?: number;
  delay_seconds?: number;
}

interface ListFields {
  status?: "PENDING" | "ACKNOWLEDGED";
  order?: "NEWEST_FIRST" | "OLDEST_FIRST";
  page_size?: number;
  page_token?: string;
  filter?: FilterFields;
}

interface FilterFields {
  sources?: string[];
  event_types?: string[];
  from_time?: number;
  until_time?: number;
}

interface LogFields {
  after?: number;
  wait_ms?: number;
}

interface WorkFields {
  subscription: string;
  count: number;
  concurrency?: number;
  lease_seconds?: number;
  workers?: number;
  handle_ms?: number;
  fail?: string;
}

/** The fields of any method's request. */
export type Fields = EventFields &
  ListFields &
  LogFields &
  WorkFields & { event_id: string; events: EventFields[]; event_ids: string[]; service: string };

type Method = (client: TriggersClient, fields: Fields, options: CallOptions) => Promise<object>;

export const METHODS: Record<string, Method> = {
  create: async (client, fields, options) => created(await client.create(newEvent(fields), options)),
  create_batch: async (client, fields, options) => {
    const events = Array.isArray(fields.events) ? fields.events.map(newEvent) : fields.events;
    const results = await client.createBatch(events, options);
    return { results: results.map((each) => (each instanceof TriggersError ? failed(each) : created(each))) };
  },
  get: async (client, fields, options) => event(await client.get(fields.event_id, options)),
  list: async (client, fields, options) => {
    const token = fields.page_token === undefined ? {} : { pageToken: fields.page_token };
    const page = await client.listPage({ ...listRequest(fields), ...token }, options);
    return { events: page.events.map(event), next_page_token: page.nextPageToken };
  },
  list_all: async (client, fields, options) => {
    const events = [];
    for await (const each of client.list(listRequest(fields), options)) {
      events.push(event(each));
    }
    return { events };
  },
  list_events: async (client, fields, options) => {
    const page = await client.listEvents(logRequest(fields), options);
    return {
      events: page.events.map(event),
      next_after: Number(page.nextAfter),
      first_sequence: Number(page.firstSequence),
    };
  },
  follow: async (client, fields, options) => {
    const follower = client.follow(logRequest(fields), options);
    const events = [];
    for await (const each of follower) {
      if (events.push(event(each)) === fields.count) {
        break;
      }
    }
    follower.stop();
    return { events, next_after: Number(follower.nextAfter) };
  },
  work: (client, fields) => work(client, fields),
  list_kinds: async (client, { page_size, page_token }, options) => {
    const page = await client.listKinds(
      {
        ...(page_size === undefined ? {} : { pageSize: page_size }),
        ...(page_token === undefined ? {} : { pageToken: page_token }),
      },
      options,
    );
    const kinds = page.kinds.map(({ source, eventType }) => ({ source, event_type: eventType }));
    return { kinds, next_page_token: page.nextPageToken };
  },
  ack: async (client, fields, options) => acknowledged(await client.ack(fields.event_id, options)),
  ack_batch: async (client, fields, options) => {
    const results = await client.ackBatch(fields.event_ids, options);
    return { results: results.map((each) => (each instanceof TriggersError ? failed(each) : acknowledged(each))) };
  },
  erase: async (client, fields, options) => {
    const { eventId, sequence } = await client.erase(fields.event_id, options);
    return { event_id: eventId, sequence: Number(sequence) };
  },
  health: async (client, _, options) => health(await client.health(options)),
  check: async (client, { service }, options) => health(await client.call(Health.method.check, { service }, options)),
  stats: async (client, _, options) => {
    const { text } = await client.call(StatsService.method.getStats, {}, options);
    return { text };
  },
};

for (const method of [...SubscriptionService.methods, ...AccessService.methods] as DescMethodUnary[]) {
  METHODS[`${method.parent.name}/${method.name}`] = async (client, fields, options) => {
    const request = fromJson(method.input, fields as unknown as JsonValue);
    const response = await client.call(method, request, options);
    return toJson(method.output, response, { useProtoFieldName: true }) as object;
  };
}

/** Makes a call; its outcome. What is thrown and is no TriggersError is a defect of the binding. */
export async function outcomeOf(call: () => Promise<object>): Promise<object> {
  const start = performance.now();
  const elapsed = (): number => performance.now() - start;
  try {
    return { code: "OK", response: await call(), elapsed_ms: elapsed() };
  } catch (error) {
    if (!(error instanceof TriggersError)) {
      throw error;
    }
    return { ...errorFields(error), elapsed_ms: elapsed() };
  }
}

/** Works until `count` handlers have ended. */
async function work(client: TriggersClient, fields: WorkFields): Promise<object> {
  const { subscription, workers: many = 1, handle_ms = 0, fail, concurrency, lease_seconds } = fields;
  const begun: Delivery[] = [];
  const workers: Worker[] = [];
  let left = fields.count;
  const handle = async (delivery: Delivery): Promise<void> => {
    begun.push(delivery);
    await setTimeout(handle_ms, undefined, { signal: delivery.signal }).catch(() => undefined);
    left--;
    if (left === 0) {
      workers.forEach((worker) => void worker.stop());
    }
    if (fail !== undefined) {
      throw new Error(fail);
    }
  };
  const options = {
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(lease_seconds === undefined ? {} : { leaseSeconds: lease_seconds }),
  };
  while (workers.length < many) {
    workers.push(client.worker(subscription, handle, options));
  }
  await Promise.all(workers.map(({ done }) => done));
  const deliveries = begun.map(({ event: { eventId }, attempt, signal }) => {
    return { event_id: eventId, attempt, lost: signal.aborted };
  });
  return { deliveries };
}

/** Nonsense stays what it is. */
function newEvent(fields: EventFields): NewEvent {
  const given: unknown = fields;
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    return given as NewEvent;
  }
  return {
    source: fields.source,
    eventType: fields.event_type,
    payload: fields.payload,
    ...(fields.event_id === undefined ? {} : { eventId: fields.event_id }),
    ...(fields.idempotency_key === undefined ? {} : { idempotencyKey: fields.idempotency_key }),
    ...(fields.ordering_key === undefined ? {} : { orderingKey: fields.ordering_key }),
    ...(fields.deliver_at === undefined ? {} : { deliverAt: timestamp(fields.deliver_at) }),
    ...(fields.delay_seconds === undefined ? {} : { delaySeconds: fields.delay_seconds }),
  };
}

function listRequest({ status, order, page_size, filter }: ListFields): ListRequest {
  return {
    ...(status === undefined ? {} : { status: named(EventStatus, status) }),
    ...(order === undefined ? {} : { order: named(SortOrder, order) }),
    ...(page_size === undefined ? {} : { pageSize: page_size }),
    ...(filter === undefined ? {} : { filter: eventFilter(filter) }),
  };
}

function logRequest({ after, filter, page_size, wait_ms }: ListFields & LogFields): LogRequest {
  return {
    ...(after === undefined ? {} : { after }),
    ...(filter === undefined ? {} : { filter: eventFilter(filter) }),
    ...(page_size === undefined ? {} : { pageSize: page_size }),
    ...(wait_ms === undefined ? {} : { waitMs: wait_ms }),
  };
}

function eventFilter({ sources, event_types, from_time, until_time }: FilterFields): EventFilter {
  return {
    ...(sources === undefined ? {} : { sources }),
    ...(event_types === undefined ? {} : { eventTypes: event_types }),
    ...(from_time === undefined ? {} : { fromTime: date(from_time) }),
    ...(until_time === undefined ? {} : { untilTime: date(until_time) }),
  };
}

/** Of microseconds; nonsense stays what it is, and makes no valid date of a number. */
function date(micros: number): Date {
  return typeof micros === "number" ? new Date(micros / 1000) : micros;
}

/** To the microsecond, which a Date is not. */
function timestamp(micros: number): Timestamp {
  return create(TimestampSchema, {
    seconds: BigInt(Math.floor(micros / 1e6)),
    nanos: (micros - Math.floor(micros / 1e6) * 1e6) * 1000,
  });
}

/** The member of an enum by its name; nonsense stays what it is. */
function named<T>(members: Record<string, T | string>, name: string): T {
  return (typeof name === "string" && isNaN(Number(name)) ? members[name] : name) as T;
}

function micros(time: Timestamp | undefined): number | null {
  return time ? timestampMicros(time) : null;
}

function created({ eventId, createdAt, sequence }: CreateEventResponse): object {
  return { event_id: eventId, created_at: micros(createdAt), sequence: Number(sequence) };
}

function acknowledged({ eventId, acknowledgedAt }: AckEventResponse): object {
  return { event_id: eventId, acknowledged_at: micros(acknowledgedAt) };
}

function health({ status, version, store }: HealthCheckResponse): object {
  return { status: ServingStatus[status], version, store };
}

function event(stored: Event): object {
  return {
    event_id: stored.eventId,
    source: stored.source,
    event_type: stored.eventType,
    payload: payloadText(stored),
    status: EventStatus[stored.status],
    created_at: micros(stored.createdAt),
    acknowledged_at: micros(stored.acknowledgedAt),
    sequence: Number(stored.sequence),
    payload_erased: stored.payloadErased,
    ordering_key: stored.orderingKey,
    deliver_at: micros(stored.deliverAt),
  };
}

function failed(error: TriggersError): object {
  return { error: errorFields(error) };
}

function errorFields(error: TriggersError): object {
  return {
    code: Code[error.code],
    reason: error.reason,
    message: error.message,
    fields: error.violations.map(({ field }) => field),
    retry_delay_ms: error.retryDelayMs,
    retryable: error.retryable,
    first_sequence: Number(error.firstSequence),
  };
}
