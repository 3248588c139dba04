package triggers.client;

import java.time.Duration;
import java.util.List;
import triggers.rpc.v1.Code;
import triggers.rpc.v1.ErrorDetails;
import triggers.rpc.v1.FieldViolation;
import triggers.v1.ItemError;

/** Why a call, or one item of a batch, failed. */
public final class TriggersException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final Code code;
    private final String description;
    private final transient ErrorDetails details;

    private TriggersException(Code code, String description, ErrorDetails details) {
        super(code + " (" + details.getReason() + "): " + description);
        this.code = code;
        this.description = description;
        this.details = details;
    }

    TriggersException(Code code, String reason, String description) {
        this(code, description, ErrorDetails.newBuilder().setReason(reason).build());
    }

    /** The error of an item of a batch as an exception. */
    public static TriggersException of(ItemError error) {
        return of(error.getCode(), error.getMessage(), error.getDetails());
    }

    /**
     * What the core said; a code that only a later one knows, or that says it is none, is UNKNOWN.
     */
    static TriggersException of(Code code, String description, ErrorDetails details) {
        boolean known = code != Code.UNRECOGNIZED && code != Code.OK;
        return new TriggersException(known ? code : Code.UNKNOWN, description, details);
    }

    /** The kind of failure: a google.rpc.Code, never OK. */
    public Code code() {
        return code;
    }

    /**
     * Whether the same request may succeed later. Of the other codes CANCELLED, UNKNOWN, INTERNAL
     * and DATA_LOSS are not the request's fault either.
     */
    public boolean isRetryable() {
        return switch (code) {
            case UNAVAILABLE, RESOURCE_EXHAUSTED, ABORTED, DEADLINE_EXCEEDED -> true;
            default -> false;
        };
    }

    /** Which failure, for programs: such as PAYLOAD_TOO_LARGE. */
    public String reason() {
        return details().getReason();
    }

    /** What was wrong and what is accepted, for people. */
    public String description() {
        return description;
    }

    /** The fields of the request that are at fault. */
    public List<FieldViolation> fieldViolations() {
        return details().getFieldViolationsList();
    }

    /** How long the core asks to wait before another try; zero without advice. */
    public Duration retryDelay() {
        return Duration.ofMillis(Integer.toUnsignedLong(details().getRetryDelayMs()));
    }

    /**
     * With OUT_OF_RANGE the first sequence of the log that is there: go on after the one before it;
     * otherwise 0.
     */
    public long firstSequence() {
        return details().getFirstSequence();
    }

    private ErrorDetails details() {
        return details == null ? ErrorDetails.getDefaultInstance() : details; // deserialised
    }
}
