// From what callers give to what is sent.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import {
  checkDelay,
  checkList,
  checkMember,
  checkObject,
  checkOptionalText,
  checkPageSize,
  checkPayload,
  checkPosition,
  checkText,
  checkTime,
  checkWait,
} from "./arguments.js";
import { invalidArgument } from "./errors.js";
import { newEventId } from "./eventid.js";
import {
  EventStatus,
  SortOrder,
  type CreateEventRequestSchema,
  type EventFilterSchema,
  type ListEventsRequestSchema,
  type ListInboxRequestSchema,
  type ListKindsRequestSchema,
} from "./gen/triggers/v1/events_pb.js";

export interface NewEvent {
  /** Who sends; the core trims it and makes it lower case; then 1 to 255 characters. */
  source: string;
  /** What happened; the same. */
  eventType: string;
  /**
   * One JSON object: its text, the bytes of that in UTF-8, or a plain object for JSON.stringify. Everything
   * else is refused, inside of the object too: undefined, NaN, a Date, a Map, an object of a class.
   */
  payload: string | Uint8Array | object;
  /** Made by the client, once for each create, when this and `idempotencyKey` are absent. */
  eventId?: string;
  /** In place of an id: the same key and content is one event. 1 to 255 characters. */
  idempotencyKey?: string;
  /**
   * Subscriptions that order by key give out one event of a key at a time; at most 255 bytes. Not together with
   * `deliverAt` or `delaySeconds`, of which an event has at most one.
   */
  orderingKey?: string;
  /** When subscriptions give it out, at most 31 days from now; the inbox and the log show it at once. */
  deliverAt?: Date | Timestamp;
  /** The same, so long after it is stored: a whole number up to 2678400. */
  delaySeconds?: number;
}

export interface ListRequest {
  /** PENDING when absent. */
  status?: EventStatus;
  /** NEWEST_FIRST when absent. */
  order?: SortOrder;
  /** Events in one page, at most 1000; 50 when absent. */
  pageSize?: number;
  /** Which events; all when absent. */
  filter?: EventFilter;
}

/**
 * Events that pass each of these. A name is exact or, with "*" at its end, the beginning of one; one of them must
 * fit, and without any all do.
 */
export interface EventFilter {
  sources?: readonly string[];
  eventTypes?: readonly string[];
  /** Created at this time or later. */
  fromTime?: Date | Timestamp;
  /** Created before this time. */
  untilTime?: Date | Timestamp;
}

export interface LogRequest {
  /** The position: events after this sequence. 0, the beginning of the log, when absent. */
  after?: bigint | number;
  /** Which events; all when absent. */
  filter?: EventFilter;
  /** Events in one answer, at most 1000; 50 when absent. */
  pageSize?: number;
  /** How long to wait, at most 20 000, when there is nothing to return; not at all when absent. */
  waitMs?: number;
}

export interface KindsRequest {
  /** Kinds in one page, at most 1000; 50 when absent. */
  pageSize?: number;
  /** The `nextPageToken` of the page before. */
  pageToken?: string;
}

/** The event to send; its id stays the same however often it is sent. `path` is where it is in a batch. */
export function toCreateRequest(event: unknown, path = ""): MessageInitShape<typeof CreateEventRequestSchema> {
  if (typeof event !== "object" || event === null) {
    throw invalidArgument("EVENT_INVALID", `${path || "the event"} is ${String(event)}; accepted is an object`);
  }
  const given: Partial<Record<keyof NewEvent, unknown>> = event;
  const name = (member: keyof NewEvent): string => (path ? `${path}.${member}` : member);
  const idempotencyKey = checkOptionalText(name("idempotencyKey"), given.idempotencyKey);
  const eventId = checkOptionalText(name("eventId"), given.eventId);
  return {
    eventId: eventId || (idempotencyKey ? "" : newEventId()),
    source: checkText(name("source"), given.source),
    eventType: checkText(name("eventType"), given.eventType),
    payload: checkPayload(name("payload"), given.payload),
    idempotencyKey,
    orderingKey: checkOptionalText(name("orderingKey"), given.orderingKey),
    ...toDelivery(name, given),
  };
}

/** The member `delivery` of a request, if it is delayed. */
function toDelivery(
  name: (member: keyof NewEvent) => string,
  { deliverAt, delaySeconds }: Partial<Record<keyof NewEvent, unknown>>,
): Pick<MessageInitShape<typeof CreateEventRequestSchema>, "delivery"> {
  if (deliverAt !== undefined && delaySeconds !== undefined) {
    throw invalidArgument("DELIVERY_INVALID", `${name("deliverAt")} is given with delaySeconds; accepted is one of both`);
  }
  if (deliverAt !== undefined) {
    return { delivery: { case: "deliverAt", value: checkTime(name("deliverAt"), deliverAt) } };
  }
  if (delaySeconds !== undefined) {
    return { delivery: { case: "delaySeconds", value: checkDelay(name("delaySeconds"), delaySeconds) } };
  }
  return {};
}

export function toListRequest({
  status = EventStatus.UNSPECIFIED,
  order = SortOrder.UNSPECIFIED,
  pageSize = 0,
  pageToken = "",
  filter,
}: ListRequest & { pageToken?: string }): MessageInitShape<typeof ListInboxRequestSchema> {
  return {
    status: checkMember("status", status, EventStatus),
    order: checkMember("order", order, SortOrder),
    pageSize: checkPageSize(pageSize),
    pageToken: checkText("pageToken", pageToken),
    ...toFilter(filter),
  };
}

/** The member `filter` of a request, if there is one. */
function toFilter(filter: unknown): { filter?: MessageInitShape<typeof EventFilterSchema> } {
  if (filter === undefined) {
    return {};
  }
  const { sources, eventTypes, fromTime, untilTime }: Partial<Record<keyof EventFilter, unknown>> = checkObject("filter", filter);
  return {
    filter: {
      sources: checkNames("filter.sources", sources),
      eventTypes: checkNames("filter.eventTypes", eventTypes),
      ...(fromTime === undefined ? {} : { fromTime: checkTime("filter.fromTime", fromTime) }),
      ...(untilTime === undefined ? {} : { untilTime: checkTime("filter.untilTime", untilTime) }),
    },
  };
}

function checkNames(name: string, value: unknown = []): string[] {
  return checkList(name, value).map((each, index) => checkText(`${name}[${String(index)}]`, each));
}

export function toLogRequest({
  after = 0,
  filter,
  pageSize = 0,
  waitMs = 0,
}: LogRequest): MessageInitShape<typeof ListEventsRequestSchema> & { waitMs: number } {
  return {
    afterSequence: checkPosition("after", after),
    pageSize: checkPageSize(pageSize),
    waitMs: checkWait(waitMs),
    ...toFilter(filter),
  };
}

export function toKindsRequest({
  pageSize = 0,
  pageToken = "",
}: KindsRequest): MessageInitShape<typeof ListKindsRequestSchema> {
  return { pageSize: checkPageSize(pageSize), pageToken: checkText("pageToken", pageToken) };
}

/** The addresses of a client, as a list or with commas. */
export function parseUrls(urls: unknown): URL[] {
  const given = typeof urls === "string" ? urls.split(",") : checkList("urls", urls);
  const texts = given.map((text) => checkText("urls", text).trim()).filter(Boolean);
  if (texts.length === 0) {
    throw invalidArgument("URL_INVALID", "no address is given");
  }
  return texts.map((text) => {
    if (!URL.canParse(text)) {
      throw invalidArgument("URL_INVALID", `${JSON.stringify(text)} is not a URL`);
    }
    return new URL(text);
  });
}
