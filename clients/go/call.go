package triggers

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"triggers.internal/triggers/rpcpb"
)

// One call: tries with back-off until the deadline, each sent until it has an answer.

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
	// A request without an answer for so long is sent again, on the next connection if there is one: a
	// peer that vanished without closing is not noticed otherwise. Not when the method waits or may not
	// be repeated.
	resendAfter = 5 * time.Second
	// A core answers every call by its deadline: a connection on which nothing came for so long until
	// then is dead.
	silence = time.Second
	// Bytes of one encoded request. A core takes 8 MiB unless larger payloads are set for it.
	maxMessage = 10551296
	// SP marks a request's number by the top bit.
	requestBit = 1 << 31
)

// pending has the requests that wait for an answer, by number. Any goroutine may use it.
type pending struct {
	mutex   sync.Mutex
	last    uint32
	answers map[uint32]chan []byte
}

func newPending() *pending {
	return &pending{last: rand.Uint32(), answers: map[uint32]chan []byte{}}
}

// add gives a new number and where its answer, an encoded Response, will come. remove it.
func (p *pending) add() (uint32, <-chan []byte) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for {
		p.last++
		number := p.last | requestBit
		if _, used := p.answers[number]; !used {
			answer := make(chan []byte, 1)
			p.answers[number] = answer
			return number, answer
		}
	}
}

func (p *pending) remove(number uint32) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	delete(p.answers, number)
}

// deliver hands a message from a core to its call. Nobody may wait any more: the call has ended, or has
// the answer of another try.
func (p *pending) deliver(message []byte) error {
	if len(message) < 4 {
		return fmt.Errorf("the server sent a message without a request number")
	}
	p.mutex.Lock()
	answer := p.answers[binary.BigEndian.Uint32(message)]
	p.mutex.Unlock()
	select {
	case answer <- message[4:]: // of a nil channel: never
	default:
	}
	return nil
}

// call calls method until it has an answer that is final, and fills response.
func (c *Client) call(ctx context.Context, method method, request, response proto.Message) error {
	body, err := proto.Marshal(request)
	if err != nil {
		// Strings that are not UTF-8, which is all that the encoding refuses.
		failed := failure(rpcpb.Code_INVALID_ARGUMENT, "REQUEST_MALFORMED", "the request cannot be encoded: %v", err)
		failed.cause = err
		return failed
	}
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	unauthorized := ctx
	ctx, failed := c.authorize(unauthorized)
	if failed != nil {
		return failed
	}
	renewed := false
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		answer, failed := c.exchange(ctx, method, body)
		if failed == nil {
			failed = readAnswer(answer, response)
			if failed == nil {
				return nil
			}
			if failed.Code == rpcpb.Code_UNAUTHENTICATED && !renewed {
				if renewed = c.reauthorize(unauthorized, &ctx); renewed {
					continue
				}
			}
			// Of the retryable ones DEADLINE_EXCEEDED ends the call.
			passing := method.repeatable && failed.Retryable() && failed.Code != rpcpb.Code_DEADLINE_EXCEEDED
			if passing && c.waitToRetry(ctx, max(jitter(backoff), failed.RetryDelay)) {
				continue
			}
		}
		return failed
	}
}

// waitToRetry is false, at once, when there would be no time left.
func (c *Client) waitToRetry(ctx context.Context, wait time.Duration) bool {
	if deadline, _ := ctx.Deadline(); time.Until(deadline) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done(): // the next try says so
	case <-c.closed.Done():
	}
	return true
}

// exchange sends a request, again whenever its connection breaks if it may be repeated, until an answer
// comes.
func (c *Client) exchange(ctx context.Context, method method, body []byte) ([]byte, *Error) {
	number, answers := c.pending.add()
	defer c.pending.remove(number)
	for sent := false; ; sent = true {
		connection, failed := c.connection(ctx, sent)
		if failed != nil {
			return nil, failed
		}
		message, failed := c.encode(ctx, number, method.name, body)
		if failed != nil {
			return nil, failed
		}
		answer, failed := c.send(ctx, connection, method, message, answers)
		if answer != nil || failed != nil {
			return answer, failed
		}
	}
}

// connection waits for one.
func (c *Client) connection(ctx context.Context, sent bool) (*connection, *Error) {
	for {
		if c.closed.Err() != nil {
			return nil, clientClosed()
		}
		connection, added := c.pool.pick()
		if connection != nil && ctx.Err() != nil {
			return nil, stopped(ctx)
		}
		if connection != nil {
			return connection, nil
		}
		select {
		case <-added:
		case <-c.closed.Done():
		case <-ctx.Done():
			return nil, unreachable(ctx, sent, c.pool.why())
		}
	}
}

func unreachable(ctx context.Context, sent bool, why error) *Error {
	failed := stopped(ctx)
	if failed.Code == rpcpb.Code_CANCELLED {
		return failed
	}
	failed.Code, failed.Reason = rpcpb.Code_UNAVAILABLE, "CORE_UNREACHABLE"
	failed.Message = "no core could be reached in time"
	if sent {
		failed.Reason = "CONNECTION_LOST"
		failed.Message = "the connection broke and did not return in time; a write may or may not have happened"
	}
	if why != nil {
		failed.Message += ": " + why.Error()
	}
	return failed
}

// encode gives an SP request: its number and the envelope, with the time that is left now.
func (c *Client) encode(ctx context.Context, number uint32, method string, body []byte) ([]byte, *Error) {
	envelope := rpcpb.Request{Method: method, TimeoutMs: timeLeft(ctx), Metadata: c.metadata(ctx), Body: body}
	size := proto.Size(&envelope)
	if size > maxMessage {
		return nil, failure(rpcpb.Code_INVALID_ARGUMENT, "MESSAGE_TOO_LARGE",
			"the request has %d bytes; accepted are up to %d", size, maxMessage)
	}
	message := binary.BigEndian.AppendUint32(make([]byte, 0, 4+size), number)
	message, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(message, &envelope)
	if err != nil {
		return nil, failure(rpcpb.Code_INVALID_ARGUMENT, "REQUEST_MALFORMED", "the request cannot be encoded: %v", err)
	}
	return message, nil
}

// timeLeft is in milliseconds, and never 0, which would stand for the core's own limit.
func timeLeft(ctx context.Context) uint32 {
	deadline, _ := ctx.Deadline()
	left := (time.Until(deadline) + time.Millisecond - 1) / time.Millisecond
	return uint32(min(max(left, 1), math.MaxUint32))
}

// send sends a message and waits for its answer. Neither answer nor error: send again.
func (c *Client) send(
	ctx context.Context, to *connection, method method, message []byte, answers <-chan []byte,
) ([]byte, *Error) {
	resend := time.NewTimer(c.resendAfter)
	defer resend.Stop()
	if method.waits || !method.repeatable {
		resend.Stop()
	}
	outgoing := to.outgoing
	began, heard := time.Now(), to.heard.Load()
	for {
		select {
		case outgoing <- message:
			outgoing = nil // once
		case answer := <-answers:
			return answer, nil
		case <-to.lost:
			answer := lastAnswer(answers)
			if answer == nil && outgoing == nil && !method.repeatable {
				return nil, failure(rpcpb.Code_UNAVAILABLE, "CONNECTION_LOST",
					"the connection broke; the call may or may not have been done")
			}
			return answer, nil
		case <-resend.C:
			return nil, nil
		case <-ctx.Done():
			failed := stopped(ctx)
			due := failed.Code == rpcpb.Code_DEADLINE_EXCEEDED && time.Since(began) >= c.silence
			if due && outgoing == nil && to.heard.Load() == heard {
				go to.wire.close() // its link dials again
			}
			return nil, failed
		case <-c.closed.Done():
			return nil, clientClosed()
		}
	}
}

// lastAnswer takes what a connection brought before it broke.
func lastAnswer(answers <-chan []byte) []byte {
	select {
	case answer := <-answers:
		return answer
	default:
		return nil
	}
}

// readAnswer fills response from an encoded Response, or gives the error that it holds.
func readAnswer(answer []byte, response proto.Message) *Error {
	var envelope rpcpb.Response
	if err := proto.Unmarshal(answer, &envelope); err != nil {
		return malformed("does not parse")
	}
	failed := (*Error)(nil)
	if envelope.GetCode() != rpcpb.Code_OK {
		failed = newError(envelope.GetCode(), envelope.GetMessage(), envelope.GetDetails())
	} else if err := proto.Unmarshal(envelope.GetBody(), response); err != nil {
		failed = malformed("has a body that does not parse")
	}
	if failed != nil {
		failed.RequestID = envelope.GetMetadata()["request-id"]
	}
	return failed
}
