package triggers

import (
	"context"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"triggers.internal/triggers/rpcpb"
	"triggers.internal/triggers/triggerspb"
)

// Working on a subscription's events: pulls no more than there are handlers free, keeps their leases,
// and settles what they have done.

const (
	subscriptions  = "triggers.v1.SubscriptionService/"
	samePull       = time.Minute // in which a pull that is sent again gets the same events
	atOnce         = 500 * time.Millisecond
	rest           = time.Second // after an empty answer that came at once
	maxReason      = 1000        // characters
	maxConcurrency = 1000
	maxLease       = 12 * time.Hour
)

// Handler deals with a delivery. Its event is acknowledged when it returns nil, and comes again later
// with an error. ctx ends when the lease is lost: somebody else may have the event, and what becomes of
// it here will not count.
type Handler func(ctx context.Context, delivery *triggerspb.Delivery) error

// WorkOptions are a worker's; every field has a default.
type WorkOptions struct {
	// Concurrency is how many handlers run at once, to 1000. 0: 1.
	Concurrency int
	// Lease is after how long an event comes again when this program has vanished, in whole seconds to 12
	// hours; it is extended while the handler runs. 0: as the subscription says.
	Lease time.Duration
	// OnError, if not nil, is told of calls that failed and are made again, and of outcomes that could not
	// be stored. Any goroutine may call it.
	OnError func(error)
}

// Work hands the events of a subscription to handle until ctx ends. Then it begins nothing more, releases
// what a pull may still get, finishes and settles what runs, and returns nil; otherwise it returns the error of a call that failed
// for good, as when there is no such subscription. An event may be handled more than once.
func (c *Client) Work(ctx context.Context, subscription string, handle Handler, options WorkOptions) error {
	if options.Concurrency == 0 {
		options.Concurrency = 1
	}
	if options.Concurrency < 0 || options.Concurrency > maxConcurrency {
		return failure(rpcpb.Code_INVALID_ARGUMENT, "CONCURRENCY_INVALID",
			"Concurrency is %d; accepted is 1 to %d, or 0 for 1", options.Concurrency, maxConcurrency)
	}
	if options.Lease < 0 || options.Lease > maxLease || options.Lease%time.Second != 0 {
		return failure(rpcpb.Code_INVALID_ARGUMENT, "LEASE_INVALID",
			"Lease is %v; accepted are whole seconds to %v", options.Lease, maxLease)
	}
	w := &worker{
		client: c, name: subscription, handle: handle, tell: options.OnError, lease: options.Lease,
		free: make(chan struct{}, options.Concurrency), gatherers: map[gatherKey]*gatherer{},
	}
	for range options.Concurrency {
		w.free <- struct{}{}
	}
	err := w.run(ctx)
	w.running.Wait()
	return err
}

type worker struct {
	client  *Client
	name    string
	handle  Handler
	tell    func(error)
	lease   time.Duration
	free    chan struct{} // a token for each handler that is free
	running sync.WaitGroup

	mutex     sync.Mutex
	gatherers map[gatherKey]*gatherer
}

// pulled is what a pull brought.
type pulled struct {
	deliveries []*triggerspb.Delivery
	again      bool // it was sent more than once
}

func (w *worker) run(ctx context.Context) error {
	for {
		places := w.takeFree(ctx)
		if places == 0 {
			return nil
		}
		found, err := w.pull(ctx, places)
		if err != nil {
			return err
		}
		w.begin(ctx, found)
		for range places - len(found.deliveries) {
			w.free <- struct{}{}
		}
	}
}

// takeFree waits for a handler that is free, and gives how many there are; 0 when ctx has ended.
func (w *worker) takeFree(ctx context.Context) int {
	select {
	case <-ctx.Done():
		return 0
	case <-w.free:
	}
	for places := 1; ; places++ {
		select {
		case <-w.free:
		default:
			return places
		}
	}
}

// pull gives what there is for so many handlers. When ctx ends that is nothing: what the core has given
// it, or would give it yet, is released.
func (w *worker) pull(ctx context.Context, places int) (pulled, error) {
	request := &triggerspb.PullRequest{Name: w.name, MaxEvents: uint32(places), WaitMs: maxWaitMS}
	var since time.Time
	for backoff := minBackoff; ctx.Err() == nil; backoff = min(2*backoff, maxBackoff) {
		err := w.readLease(ctx)
		if err == nil {
			sent := time.Now()
			again := request.GetPullId() != "" && sent.Sub(since) < samePull
			if !again {
				since = sent
				request.PullId, request.LeaseSeconds = NewEventID(), w.seconds()
			}
			var deliveries []*triggerspb.Delivery
			deliveries, err = w.ask(ctx, request)
			if err == nil && ctx.Err() == nil {
				if len(deliveries) == 0 && time.Since(sent) < atOnce {
					sleep(ctx, rest)
				}
				return pulled{deliveries, again}, nil
			}
		}
		if err != nil && ctx.Err() == nil {
			if !err.Retryable() {
				return pulled{}, err
			}
			w.report(err)
			sleep(ctx, max(jitter(backoff), err.RetryDelay))
		}
	}
	if request.GetPullId() != "" {
		w.release(request.GetPullId())
	}
	return pulled{}, nil
}

// ask makes the call of a pull, and waits for its answer until ctx ends. What it brings then is released.
func (w *worker) ask(ctx context.Context, request *triggerspb.PullRequest) ([]*triggerspb.Delivery, *Error) {
	type answer struct {
		deliveries []*triggerspb.Delivery
		err        *Error
	}
	result := make(chan answer)
	request = proto.CloneOf(request)
	go func() {
		response := &triggerspb.PullResponse{}
		timeout := w.client.timeout + maxWaitMS*time.Millisecond
		err := w.call(context.Background(), "Pull", timeout, request, response)
		select {
		case result <- answer{response.GetDeliveries(), err}:
		case <-ctx.Done():
			if len(response.GetDeliveries()) > 0 {
				w.release(request.GetPullId())
			}
		}
	}()
	select {
	case found := <-result:
		return found.deliveries, found.err
	case <-ctx.Done():
		return nil, nil
	}
}

func (w *worker) readLease(ctx context.Context) *Error {
	if w.lease > 0 {
		return nil
	}
	request, response := &triggerspb.GetSubscriptionRequest{Name: w.name}, &triggerspb.GetSubscriptionResponse{}
	if err := w.call(ctx, "GetSubscription", w.client.timeout, request, response); err != nil {
		return err
	}
	w.lease = time.Duration(response.GetSubscription().GetLeaseSeconds()) * time.Second
	if w.lease == 0 {
		return malformed("lacks the subscription's lease")
	}
	return nil
}

func (w *worker) seconds() uint32 { return uint32(w.lease / time.Second) }

func (w *worker) call(
	ctx context.Context, name string, timeout time.Duration, request, response proto.Message,
) *Error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found, failed := findMethod(subscriptions + name)
	if failed != nil {
		return failed
	}
	err := w.client.call(ctx, methodOf(found, subscriptions+name), request, response)
	if err == nil {
		return nil
	}
	return err.(*Error)
}

func (w *worker) begin(ctx context.Context, found pulled) {
	for _, delivery := range found.deliveries {
		w.running.Add(1)
		go func() {
			defer w.running.Done()
			w.work(context.WithoutCancel(ctx), delivery, found.again)
		}()
	}
}

// work handles a delivery and settles it. How old a lease is whose pull was sent again is not known: it
// is extended at once.
func (w *worker) work(ctx context.Context, delivery *triggerspb.Delivery, again bool) {
	handling, lose := context.WithCancelCause(ctx)
	ended, end := context.WithCancel(ctx)
	go w.keep(ended, lose, delivery.GetAckId(), again)
	err := w.handle(handling, delivery)
	end()
	w.free <- struct{}{}
	isLost := handling.Err() != nil
	lose(nil)
	switch {
	case isLost:
	case err == nil:
		w.report(w.gatherer("Ack", "").settle(delivery.GetAckId()))
	default:
		w.report(w.gatherer("Nack", reasonOf(err)).settle(delivery.GetAckId()))
	}
}

// keep extends a lease until its handler has ended, which is told when it is lost.
func (w *worker) keep(ended context.Context, lose context.CancelCauseFunc, ackID string, again bool) {
	wait := w.lease / 3
	if again {
		wait = 0
	}
	for ; ; wait = w.lease / 3 {
		sleep(ended, wait)
		if ended.Err() != nil {
			return
		}
		err := w.gatherer("Extend", "").settle(ackID)
		if ended.Err() != nil {
			return
		}
		w.report(err)
		if err == nil || (err.Retryable() && err.Reason != "LEASE_LOST") {
			continue
		}
		if err.Reason != "LEASE_TOO_LONG" && err.Code != rpcpb.Code_CANCELLED {
			lose(err)
		}
		return
	}
}

// release ends a pull that waits, and gives back what it got.
func (w *worker) release(pullID string) {
	request := &triggerspb.ReleaseRequest{Name: w.name, PullId: pullID}
	response := &triggerspb.ReleaseResponse{}
	w.report(w.call(context.Background(), "Release", w.client.timeout, request, response))
}

func (w *worker) report(err *Error) {
	if err != nil && w.tell != nil {
		w.tell(err)
	}
}

func reasonOf(err error) string {
	text := []rune(err.Error())
	if !utf8.ValidString(err.Error()) || len(text) == 0 {
		text = []rune("failed")
	}
	return string(text[:min(len(text), maxReason)])
}
