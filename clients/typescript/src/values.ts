// From the protocol's values to the language's.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Event } from "./gen/triggers/v1/events_pb.js";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The event's payload as the JSON text that was sent. */
export function payloadText(event: Pick<Event, "payload">): string {
  return decoder.decode(event.payload);
}

/** Whole microseconds since 1970, which a Date (`timestampDate`) does not hold. */
export function timestampMicros(time: Timestamp): number {
  return Number(time.seconds) * 1e6 + Math.trunc(time.nanos / 1000);
}
