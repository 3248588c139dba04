// What an answer must hold; what lacks it is malformed.
import { failureToError, malformedAnswer, type TriggersError } from "./errors.js";
import type {
  AckEventResponse,
  CreateEventResponse,
  EraseEventResponse,
  ItemError,
} from "./gen/triggers/v1/events_pb.js";

export function checkCreated(created: CreateEventResponse): CreateEventResponse {
  if (!created.eventId || !created.createdAt) {
    throw malformedAnswer("lacks the event's id or time");
  }
  return created;
}

export function checkAcknowledged(acknowledged: AckEventResponse): AckEventResponse {
  if (!acknowledged.eventId || !acknowledged.acknowledgedAt) {
    throw malformedAnswer("lacks the event's id or time");
  }
  return acknowledged;
}

export function checkErased(erased: EraseEventResponse): EraseEventResponse {
  if (!erased.eventId) {
    throw malformedAnswer("lacks the event's id");
  }
  return erased;
}

type Outcome<Name extends string, T> =
  | { case: Name; value: T }
  | { case: "error"; value: ItemError }
  | { case: undefined; value?: undefined };

/** The results of a batch: one for each of the `count` items sent. */
export function checkResults<Name extends string, T>(
  results: readonly { outcome: Outcome<Name, T> }[],
  count: number,
  check: (value: T) => T,
): (T | TriggersError)[] {
  if (results.length !== count) {
    throw malformedAnswer(`has ${String(results.length)} results for ${String(count)} items`);
  }
  return results.map(({ outcome }) => {
    if (outcome.case === undefined) {
      throw malformedAnswer("has a result without an outcome");
    }
    return outcome.case === "error" ? failureToError(outcome.value as ItemError) : check(outcome.value as T);
  });
}
