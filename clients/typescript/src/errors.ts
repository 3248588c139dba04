// The one kind of error that calls end with.
import { Code, type ErrorDetails, type FieldViolation } from "./gen/triggers/rpc/v1/envelope_pb.js";

/** Why a call, or one item of a batch, failed. */
export class TriggersError extends Error {
  override readonly name = "TriggersError";

  constructor(
    /** The number of google.rpc.Code; `Code[error.code]` is its name. */
    readonly code: Code,
    /** For programs: stable, `[A-Z0-9_]+`. */
    readonly reason: string,
    /** For people. */
    message: string,
    /** The request's fields at fault. */
    readonly violations: readonly FieldViolation[] = [],
    /** The core's advice how long to wait before another try, in milliseconds; 0 for none. */
    readonly retryDelayMs = 0,
    options?: ErrorOptions,
    /** With OUT_OF_RANGE: the first sequence of the log that is there; go on after the one before it. Else 0. */
    readonly firstSequence = 0n,
  ) {
    super(message, options);
  }

  /**
   * Whether the same request may succeed later. Of the other codes CANCELLED, UNKNOWN, INTERNAL and
   * DATA_LOSS are not the request's fault either.
   */
  get retryable(): boolean {
    return RETRYABLE.has(this.code);
  }
}

const RETRYABLE = new Set([Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.ABORTED, Code.DEADLINE_EXCEEDED]);

/** What Response and ItemError have in common. */
interface Failure {
  code: Code;
  message: string;
  details?: ErrorDetails | undefined;
}

/** The error that an answer of the core, or an item in it, says; one that says it is none is UNKNOWN. */
export function failureToError({ code, message, details }: Failure): TriggersError {
  return new TriggersError(
    code in Code && code !== Code.OK ? code : Code.UNKNOWN,
    details?.reason ?? "",
    message,
    details?.fieldViolations,
    details?.retryDelayMs,
    undefined,
    details?.firstSequence,
  );
}

export function invalidArgument(reason: string, message: string, options?: ErrorOptions): TriggersError {
  return new TriggersError(Code.INVALID_ARGUMENT, reason, message, [], 0, options);
}

export function malformedAnswer(what: string, options?: ErrorOptions): TriggersError {
  return new TriggersError(Code.INTERNAL, "ANSWER_MALFORMED", `the core's answer ${what}`, [], 0, options);
}
