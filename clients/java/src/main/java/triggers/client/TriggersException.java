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

    TriggersException(Code code, String description, ErrorDetails details) {
        super(code + " (" + details.getReason() + "): " + description);
        // A number that a later core may send.
        this.code = code == Code.UNRECOGNIZED ? Code.UNKNOWN : code;
        this.description = description;
        this.details = details;
    }

    TriggersException(Code code, String reason, String description) {
        this(code, description, ErrorDetails.newBuilder().setReason(reason).build());
    }

    /** The error of an item of a batch as an exception. */
    public static TriggersException of(ItemError error) {
        return new TriggersException(error.getCode(), error.getMessage(), error.getDetails());
    }

    /** The kind of failure: a google.rpc.Code, never OK. */
    public Code code() {
        return code;
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

    private ErrorDetails details() {
        return details == null ? ErrorDetails.getDefaultInstance() : details; // deserialised
    }
}
