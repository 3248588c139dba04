// From what callers give to what is sent.
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  checkList,
  checkMember,
  checkOptionalText,
  checkPageSize,
  checkPayload,
  checkText,
} from "./arguments.js";
import { invalidArgument } from "./errors.js";
import { newEventId } from "./eventid.js";
import {
  EventStatus,
  SortOrder,
  type CreateEventRequestSchema,
  type ListInboxRequestSchema,
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
}

export interface ListRequest {
  /** PENDING when absent. */
  status?: EventStatus;
  /** NEWEST_FIRST when absent. */
  order?: SortOrder;
  /** Events in one page, at most 1000; 50 when absent. */
  pageSize?: number;
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
  };
}

export function toListRequest({
  status = EventStatus.UNSPECIFIED,
  order = SortOrder.UNSPECIFIED,
  pageSize = 0,
  pageToken = "",
}: ListRequest & { pageToken?: string }): MessageInitShape<typeof ListInboxRequestSchema> {
  return {
    status: checkMember("status", status, EventStatus),
    order: checkMember("order", order, SortOrder),
    pageSize: checkPageSize(pageSize),
    pageToken: checkText("pageToken", pageToken),
  };
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
