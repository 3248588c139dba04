package triggers

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"triggers.internal/triggers/healthpb"
	"triggers.internal/triggers/rpcpb"
	"triggers.internal/triggers/triggerspb"
)

const (
	defaultURL     = "ws://127.0.0.1:7300/rpc"
	defaultTimeout = 10 * time.Second
	service        = "triggers.v1.EventService/"
	healthCheck    = "triggers.health.v1.Health/Check"
	maxWaitMS      = 20000 // a core waits no longer
)

// Options are a client's; every field has a default.
type Options struct {
	// URL is a core's address, ws://, wss://, tcp:// or tls+tcp://; several, separated by commas, share the
	// calls. "" is ws://127.0.0.1:7300/rpc.
	URL string
	// CAFile has the certificates to trust with wss and tls+tcp (PEM). "": those of the system.
	CAFile string
	// Name is this program's name and version, such as "importer/1.2", for the core's log.
	Name string
	// Timeout is the deadline of calls whose context has none. 0: 10 seconds. The core ends a try after
	// 30 seconds, whatever is left.
	Timeout time.Duration
	// APIKey gives the key that calls carry, and is called once for each, with its context. [Key] makes
	// one of a text. nil: no key. When it fails so does the call, as UNAUTHENTICATED, KEY_UNAVAILABLE.
	APIKey func(context.Context) (string, error)
}

// Client makes calls. Its methods may be called by any number of goroutines at once.
type Client struct {
	timeout     time.Duration
	resendAfter time.Duration
	silence     time.Duration
	name        string
	key         func(context.Context) (string, error)
	pool        *pool
	pending     *pending
	closed      context.Context
	close       context.CancelFunc
	links       sync.WaitGroup
}

// Open makes a client, which starts to connect. The core need not be reachable yet; calls wait for it.
// The error is an [*Error] that says which option is wrong. Close the client.
func Open(options Options) (*Client, error) {
	if options.URL == "" {
		options.URL = defaultURL
	}
	if options.Timeout < 0 {
		return nil, failure(rpcpb.Code_INVALID_ARGUMENT, "TIMEOUT_INVALID",
			"Timeout is %v; accepted is more than 0, or 0 for 10 seconds", options.Timeout)
	}
	addresses, err := parseAddresses(options.URL, options.CAFile)
	if err != nil {
		return nil, err
	}
	client := &Client{
		timeout: options.Timeout, resendAfter: resendAfter, silence: silence, name: clientName(options.Name),
		key: options.APIKey, pool: newPool(), pending: newPending(),
	}
	if client.timeout == 0 {
		client.timeout = defaultTimeout
	}
	client.closed, client.close = context.WithCancel(context.Background())
	for _, to := range addresses {
		link := &link{to: to, pool: client.pool, deliver: client.pending.deliver}
		client.links.Add(1)
		go func() {
			defer client.links.Done()
			link.run(client.closed)
		}()
	}
	return client, nil
}

func clientName(program string) string {
	if program != "" {
		program += " "
	}
	return program + "triggers-go/" + Version
}

// Close ends calls in flight with the reason CLIENT_CLOSED and all connections, and waits for that. It
// may be called more than once. The error is always nil.
func (c *Client) Close() error {
	c.close()
	c.links.Wait()
	return nil
}

type metadataKey struct{}

// WithMetadata gives a context whose calls carry side information to the core. It logs "request-id",
// which it makes when absent, and "traceparent" (W3C Trace Context).
func WithMetadata(ctx context.Context, name, value string) context.Context {
	metadata := map[string]string{}
	if before, ok := ctx.Value(metadataKey{}).(map[string]string); ok {
		maps.Copy(metadata, before)
	}
	metadata[name] = value
	return context.WithValue(ctx, metadataKey{}, metadata)
}

func (c *Client) metadata(ctx context.Context) map[string]string {
	metadata := map[string]string{}
	if given, ok := ctx.Value(metadataKey{}).(map[string]string); ok {
		maps.Copy(metadata, given)
	}
	metadata["client"] = c.name
	return metadata
}

// Create stores one event and returns after the commit. An event without an id and an idempotency key
// is sent with a new id, the same on every try; event itself is not changed.
func (c *Client) Create(ctx context.Context, event *triggerspb.CreateEventRequest) (*triggerspb.CreateEventResponse, error) {
	if event == nil {
		return nil, missing("event")
	}
	response, err := Call[*triggerspb.CreateEventResponse](ctx, c, service+"CreateEvent", withID(event))
	if err != nil {
		return nil, err
	}
	if response.GetEventId() == "" {
		return nil, malformed("has no event id")
	}
	return response, nil
}

// CreateBatch stores up to 1000 events and gives a result for each, in order; each succeeds or fails by
// itself, see [ItemError]. Events get ids as in Create.
func (c *Client) CreateBatch(ctx context.Context, events []*triggerspb.CreateEventRequest) ([]*triggerspb.CreateEventResult, error) {
	request := &triggerspb.BatchCreateEventsRequest{Events: make([]*triggerspb.CreateEventRequest, len(events))}
	for i, event := range events {
		if event == nil {
			return nil, missing(fmt.Sprintf("events[%d]", i))
		}
		request.Events[i] = withID(event)
	}
	response, err := Call[*triggerspb.BatchCreateEventsResponse](ctx, c, service+"BatchCreateEvents", request)
	if err != nil {
		return nil, err
	}
	if len(response.GetResults()) != len(events) {
		return nil, malformed("has another number of results")
	}
	for _, result := range response.GetResults() {
		if result.GetOutcome() == nil {
			return nil, malformed("has a result without an outcome")
		}
	}
	return response.GetResults(), nil
}

func missing(what string) *Error {
	return failure(rpcpb.Code_INVALID_ARGUMENT, "EVENT_MISSING", "%s is nil", what)
}

// At is for the Delivery of an event to create: subscriptions give it out at this time, at most 31
// days from now.
func At(t time.Time) *triggerspb.CreateEventRequest_DeliverAt {
	return &triggerspb.CreateEventRequest_DeliverAt{DeliverAt: timestamppb.New(t)}
}

// After is the same, so long after the event is stored, in whole seconds: a part of one counts as one.
func After(delay time.Duration) *triggerspb.CreateEventRequest_DelaySeconds {
	seconds := max(0, delay/time.Second)
	if delay > seconds*time.Second {
		seconds++
	}
	return &triggerspb.CreateEventRequest_DelaySeconds{DelaySeconds: uint32(min(seconds, math.MaxUint32))}
}

// withID gives the event as it is sent.
func withID(event *triggerspb.CreateEventRequest) *triggerspb.CreateEventRequest {
	if event.GetEventId() != "" || event.GetIdempotencyKey() != "" {
		return event
	}
	event = proto.Clone(event).(*triggerspb.CreateEventRequest)
	event.EventId = NewEventID()
	return event
}

// Get reads one event.
func (c *Client) Get(ctx context.Context, eventID string) (*triggerspb.Event, error) {
	response, err := Call[*triggerspb.GetEventResponse](ctx, c, service+"GetEvent", &triggerspb.GetEventRequest{EventId: eventID})
	if err != nil {
		return nil, err
	}
	if response.GetEvent() == nil {
		return nil, malformed("has no event")
	}
	return response.GetEvent(), nil
}

// List gives one page of events; nil asks for the newest 50 that are pending. A page without
// NextPageToken is the last.
func (c *Client) List(ctx context.Context, request *triggerspb.ListInboxRequest) (*triggerspb.ListInboxResponse, error) {
	return Call[*triggerspb.ListInboxResponse](ctx, c, service+"ListInbox", request)
}

// Events iterates over all events that fit the request, from its page on, and fetches page after page.
// It ends after the first error. Without a deadline in ctx each page has its own.
func (c *Client) Events(ctx context.Context, request *triggerspb.ListInboxRequest) iter.Seq2[*triggerspb.Event, error] {
	return func(yield func(*triggerspb.Event, error) bool) {
		next := &triggerspb.ListInboxRequest{}
		proto.Merge(next, request)
		for {
			page, err := c.List(ctx, next)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, event := range page.GetEvents() {
				if !yield(event, nil) {
					return
				}
			}
			next.PageToken = page.GetNextPageToken()
			if next.PageToken == "" {
				return
			}
		}
	}
}

// ListEvents reads a part of the log, the events of every status in the order of the commits; nil asks
// for the first 50. Continue from NextAfter. With WaitMs an answer without events comes when that time
// is over; without a deadline in ctx the call has so much more. The error's code is OUT_OF_RANGE when
// events after the position were removed; see [Error.FirstSequence].
func (c *Client) ListEvents(ctx context.Context, request *triggerspb.ListEventsRequest) (*triggerspb.ListEventsResponse, error) {
	if _, limited := ctx.Deadline(); !limited {
		wait := time.Duration(min(request.GetWaitMs(), maxWaitMS)) * time.Millisecond
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(c.timeout, c.timeout+wait)) // which may overflow
		defer cancel()
	}
	return Call[*triggerspb.ListEventsResponse](ctx, c, service+"ListEvents", request)
}

// Follow gives a Follower of the log, from the request's position on; nil follows all of it from its
// beginning. The request's WaitMs, 20 seconds when it is 0, is that of one call.
func (c *Client) Follow(request *triggerspb.ListEventsRequest) *Follower {
	next := &triggerspb.ListEventsRequest{}
	proto.Merge(next, request)
	if next.GetWaitMs() == 0 {
		next.WaitMs = maxWaitMS
	}
	return &Follower{client: c, next: next, after: next.GetAfterSequence()}
}

// ListKinds gives one page of the kinds, the pairs of source and event type that events have or had;
// nil asks for the first 50. A page without NextPageToken is the last.
func (c *Client) ListKinds(ctx context.Context, request *triggerspb.ListKindsRequest) (*triggerspb.ListKindsResponse, error) {
	return Call[*triggerspb.ListKindsResponse](ctx, c, service+"ListKinds", request)
}

// Ack acknowledges one event. Again, it gives the first time.
func (c *Client) Ack(ctx context.Context, eventID string) (*triggerspb.AckEventResponse, error) {
	response, err := Call[*triggerspb.AckEventResponse](ctx, c, service+"AckEvent", &triggerspb.AckEventRequest{EventId: eventID})
	if err != nil {
		return nil, err
	}
	if response.GetEventId() == "" {
		return nil, malformed("has no event id")
	}
	return response, nil
}

// AckBatch acknowledges up to 1000 events and gives a result for each, in order; see [ItemError].
func (c *Client) AckBatch(ctx context.Context, eventIDs []string) ([]*triggerspb.AckEventResult, error) {
	request := &triggerspb.BatchAckEventsRequest{EventIds: eventIDs}
	response, err := Call[*triggerspb.BatchAckEventsResponse](ctx, c, service+"BatchAckEvents", request)
	if err != nil {
		return nil, err
	}
	if len(response.GetResults()) != len(eventIDs) {
		return nil, malformed("has another number of results")
	}
	for _, result := range response.GetResults() {
		if result.GetOutcome() == nil {
			return nil, malformed("has a result without an outcome")
		}
	}
	return response.GetResults(), nil
}

// Erase removes the payload of one event for good; it cannot be undone. The event keeps its place in
// the log and its status, and its create sent again answers as before. Erasing again changes nothing.
func (c *Client) Erase(ctx context.Context, eventID string) (*triggerspb.EraseEventResponse, error) {
	response, err := Call[*triggerspb.EraseEventResponse](ctx, c, service+"EraseEvent", &triggerspb.EraseEventRequest{EventId: eventID})
	if err != nil {
		return nil, err
	}
	if response.GetEventId() == "" {
		return nil, malformed("has no event id")
	}
	return response, nil
}

// Health says whether events can be stored and read now, and the core's version and store.
func (c *Client) Health(ctx context.Context) (*healthpb.HealthCheckResponse, error) {
	return Call[*healthpb.HealthCheckResponse](ctx, c, healthCheck, &healthpb.HealthCheckRequest{})
}
