package triggers

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"triggers.internal/triggers/rpcpb"
	"triggers.internal/triggers/triggerspb"
)

func TestAWorkersNumbers(t *testing.T) {
	client := open(t, Options{URL: "tcp://127.0.0.1:1"})
	for reason, options := range map[string]WorkOptions{
		"CONCURRENCY_INVALID": {Concurrency: 1001}, "LEASE_INVALID": {Lease: 1500 * time.Millisecond},
	} {
		expect(t, client.Work(context.Background(), "w", nil, options), rpcpb.Code_INVALID_ARGUMENT, reason)
	}
}

// expectReleased fails unless a pull came and then its release.
func expectReleased(t *testing.T, core *core) {
	t.Helper()
	requests, _ := core.seen()
	pull, release := &triggerspb.PullRequest{}, &triggerspb.ReleaseRequest{}
	if len(requests) != 2 || requests[0].GetMethod() != subscriptions+"Pull" ||
		requests[1].GetMethod() != subscriptions+"Release" {
		t.Fatalf("the requests are %v", requests)
	}
	if proto.Unmarshal(requests[0].GetBody(), pull) != nil || proto.Unmarshal(requests[1].GetBody(), release) != nil {
		t.Fatal("a body is malformed")
	}
	if pull.GetPullId() == "" || release.GetPullId() != pull.GetPullId() || len(release.GetAckIds()) > 0 {
		t.Fatalf("%v is released with %v", pull, release)
	}
}

func TestAPullThatWaitsIsReleasedAtTheStop(t *testing.T) {
	core := startCore(t, func(request *rpcpb.Request) *rpcpb.Response {
		if request.GetMethod() == subscriptions+"Pull" {
			return nil
		}
		return ok(&triggerspb.ReleaseResponse{})
	})
	client := open(t, Options{URL: core.url})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- client.Work(ctx, "w", nil, WorkOptions{Lease: 30 * time.Second}) }()
	core.waitForRequest(t)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	expectReleased(t, core)
}

func TestWhatAPullBringsAfterTheStopIsReleased(t *testing.T) {
	core := startCore(t, func(request *rpcpb.Request) *rpcpb.Response {
		if request.GetMethod() == subscriptions+"Pull" {
			return ok(&triggerspb.PullResponse{Deliveries: []*triggerspb.Delivery{{AckId: "late"}}})
		}
		return ok(&triggerspb.ReleaseResponse{})
	})
	w := &worker{client: open(t, Options{URL: core.url}), name: "w"}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if deliveries, err := w.ask(ctx, &triggerspb.PullRequest{Name: "w", PullId: "one"}); deliveries != nil || err != nil {
		t.Fatalf("%v, %v", deliveries, err)
	}
	core.waitForRequest(t)
	core.waitForRequest(t)
	expectReleased(t, core)
}
