package triggers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"triggers.internal/triggers/rpcpb"
	"triggers.internal/triggers/triggerspb"
)

// Error says why a call, or one item of a batch, failed.
type Error struct {
	// Code has the numbers and meanings of google.rpc.Code.
	Code rpcpb.Code
	// Reason is for programs, such as "EVENT_NOT_FOUND"; "" when the core gave none.
	Reason string
	// Message is for people: what was wrong and what is accepted.
	Message string
	// Violations are the request's fields at fault.
	Violations []*rpcpb.FieldViolation
	// RetryDelay is how long to wait before another try; 0 is no advice.
	RetryDelay time.Duration
	// FirstSequence is the first of the log that is there, when Code is OUT_OF_RANGE: go on after the one
	// before it. 0 otherwise.
	FirstSequence int64
	// RequestID names the call in the core's log; "" when the core did not answer, and in batches' items.
	RequestID string

	cause error
}

func (e *Error) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("triggers: %s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("triggers: %s (%s): %s", e.Code, e.Reason, e.Message)
}

// Retryable says whether the same request may succeed later. Of the other codes CANCELLED, UNKNOWN,
// INTERNAL and DATA_LOSS are not the request's fault either.
func (e *Error) Retryable() bool {
	switch e.Code {
	case rpcpb.Code_UNAVAILABLE, rpcpb.Code_RESOURCE_EXHAUSTED, rpcpb.Code_ABORTED, rpcpb.Code_DEADLINE_EXCEEDED:
		return true
	default:
		return false
	}
}

// Unwrap gives the cause within this program, such as [context.Canceled]; nil for answers of the core.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf gives the code of the first [*Error] in err's chain: OK for nil, UNKNOWN when there is none.
func CodeOf(err error) rpcpb.Code {
	var e *Error
	switch {
	case err == nil:
		return rpcpb.Code_OK
	case errors.As(err, &e):
		return e.Code
	default:
		return rpcpb.Code_UNKNOWN
	}
}

// ItemError gives the error of a failed item of a batch as an [*Error], and nil for nil. For example
// ItemError(result.GetError()).
func ItemError(item *triggerspb.ItemError) error {
	if item == nil {
		return nil
	}
	return newError(item.GetCode(), item.GetMessage(), item.GetDetails())
}

// newError turns an answer's error into ours. Codes that this package does not know (a newer core's)
// are UNKNOWN, as is an error that says it is none.
func newError(code rpcpb.Code, message string, details *rpcpb.ErrorDetails) *Error {
	if _, known := rpcpb.Code_name[int32(code)]; !known || code == rpcpb.Code_OK {
		code = rpcpb.Code_UNKNOWN
	}
	return &Error{
		Code:          code,
		Reason:        details.GetReason(),
		Message:       message,
		Violations:    details.GetFieldViolations(),
		RetryDelay:    time.Duration(details.GetRetryDelayMs()) * time.Millisecond,
		FirstSequence: details.GetFirstSequence(),
	}
}

func failure(code rpcpb.Code, reason, format string, arguments ...any) *Error {
	return &Error{Code: code, Reason: reason, Message: fmt.Sprintf(format, arguments...)}
}

// stopped says why ctx ended a call that was sent, is connected and had no answer yet.
func stopped(ctx context.Context) *Error {
	err := failure(rpcpb.Code_CANCELLED, "CANCELLED", "the caller cancelled the call")
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = failure(rpcpb.Code_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
			"no answer came in time; a write may or may not have happened")
	}
	err.cause = ctx.Err()
	return err
}

func clientClosed() *Error {
	return failure(rpcpb.Code_CANCELLED, "CLIENT_CLOSED", "the client is closed")
}

func malformed(what string) *Error {
	return failure(rpcpb.Code_INTERNAL, "ANSWER_MALFORMED", "the core's answer %s", what)
}
