// From what callers give to what is sent.
import { create, toBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { invalidArgument } from "./errors.js";
import { newEventId } from "./eventid.js";
import type { CreateEventRequestSchema } from "./gen/triggers/v1/events_pb.js";

const MAX_TIMEOUT_MS = 0x7fffffff; // what a timer can hold
const encoder = new TextEncoder();

export interface NewEvent {
  /** Who sends; the core trims it and makes it lower case; then 1 to 255 characters. */
  source: string;
  /** What happened; the same. */
  eventType: string;
  /** One JSON object: its text, the bytes of that in UTF-8, or an object for JSON.stringify. */
  payload: string | Uint8Array | object;
  /** Made by the client, once for each create, when this and `idempotencyKey` are absent. */
  eventId?: string;
  /** In place of an id: the same key and content is one event. 1 to 255 characters. */
  idempotencyKey?: string;
}

/** The event to send; its id stays the same however often it is sent. */
export function toCreateRequest(event: NewEvent): MessageInitShape<typeof CreateEventRequestSchema> {
  const idempotencyKey = wellFormed("idempotencyKey", event.idempotencyKey ?? "");
  return {
    eventId: wellFormed("eventId", event.eventId ?? "") || (idempotencyKey ? "" : newEventId()),
    source: wellFormed("source", event.source),
    eventType: wellFormed("eventType", event.eventType),
    payload: payloadBytes(event.payload),
    idempotencyKey,
  };
}

function payloadBytes(payload: NewEvent["payload"]): Uint8Array {
  if (payload instanceof Uint8Array) {
    return payload;
  }
  return encoder.encode(typeof payload === "string" ? wellFormed("payload", payload) : JSON.stringify(payload));
}

/** Refuses what UTF-8 cannot express and an encoder would silently replace. */
function wellFormed(field: string, text: string): string {
  if (text.isWellFormed()) {
    return text;
  }
  throw invalidArgument("TEXT_INVALID", `${field} holds half a surrogate pair, which UTF-8 cannot express`);
}

/** Encodes a request message. Values that its fields cannot hold are INVALID_ARGUMENT. */
export function encodeRequest<D extends DescMessage>(schema: D, request: MessageInitShape<D>): Uint8Array {
  try {
    return toBinary(schema, create(schema, request));
  } catch (cause) {
    throw invalidArgument("REQUEST_INVALID", cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

export function checkTimeout(timeoutMs: number): number {
  if (timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS) {
    return timeoutMs;
  }
  throw invalidArgument("TIMEOUT_INVALID", `timeoutMs is ${String(timeoutMs)}; more than 0 to 2147483647 is accepted`);
}

/** The addresses of a client, as a list or with commas. */
export function parseUrls(urls: string | readonly string[]): URL[] {
  const texts = (typeof urls === "string" ? urls.split(",") : urls).map((text) => text.trim()).filter(Boolean);
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

