// What the package exports, in Node and in browsers alike.
export { timestampDate } from "@bufbuild/protobuf/wkt";
export { DEFAULT_URL } from "./client.js";
export type { CallOptions, ClientOptions } from "./client.js";
export { TriggersError } from "./errors.js";
export { formatEventId, newEventId, parseEventId } from "./eventid.js";
export { Code, type FieldViolation } from "./gen/triggers/rpc/v1/envelope_pb.js";
export {
  HealthCheckResponse_ServingStatus as ServingStatus,
  type HealthCheckResponse,
} from "./gen/triggers/health/v1/health_pb.js";
export {
  EventStatus,
  SortOrder,
  type AckEventResponse,
  type CreateEventResponse,
  type EraseEventResponse,
  type Event,
  type EventKind,
  type ListEventsResponse,
  type ListInboxResponse,
  type ListKindsResponse,
} from "./gen/triggers/v1/events_pb.js";
export type { Follower } from "./follower.js";
export type { ApiKey } from "./key.js";
export { VERSION } from "./gen/version.js";
export type { EventFilter, KindsRequest, ListRequest, LogRequest, NewEvent } from "./requests.js";
export { payloadText, timestampMicros } from "./values.js";
export type { Delivery, Worker, WorkerOptions } from "./worker.js";
