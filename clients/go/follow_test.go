package triggers

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"triggers.internal/triggers/rpcpb"
	"triggers.internal/triggers/triggerspb"
)

// fiveEvents answers as a log of five events does, two in a page; who asks at its end is kept waiting.
// What was before the third was removed.
func fiveEvents(request *rpcpb.Request) *rpcpb.Response {
	var list triggerspb.ListEventsRequest
	if err := proto.Unmarshal(request.GetBody(), &list); err != nil {
		panic(err)
	}
	page := &triggerspb.ListEventsResponse{NextAfter: max(list.GetAfterSequence(), 2), FirstSequence: 3}
	switch list.GetAfterSequence() {
	case 1:
		return &rpcpb.Response{
			Code:    rpcpb.Code_OUT_OF_RANGE,
			Details: &rpcpb.ErrorDetails{Reason: "POSITION_REMOVED", FirstSequence: 3},
		}
	case 5:
		return nil
	}
	for len(page.GetEvents()) < 2 && page.GetNextAfter() < 5 {
		page.NextAfter++
		page.Events = append(page.Events, &triggerspb.Event{Sequence: page.GetNextAfter()})
	}
	return ok(page)
}

func TestAFollowerEndsWithItsContextAndGoesOn(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	core := startCore(t, func(request *rpcpb.Request) *rpcpb.Response {
		response := fiveEvents(request)
		if response == nil {
			cancel()
		}
		return response
	})
	client := open(t, Options{URL: core.url, Timeout: 10 * time.Second})
	follower := client.Follow(nil)
	var found []int64
	for event, err := range follower.Events(ctx) {
		if err != nil {
			expect(t, err, rpcpb.Code_CANCELLED, "CANCELLED")
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			break
		}
		found = append(found, event.GetSequence())
	}
	if !slices.Equal(found, []int64{3, 4, 5}) || follower.NextAfter() != 5 {
		t.Fatalf("found %v, and goes on after %d", found, follower.NextAfter())
	}
	_, err := follower.Next(ctx)
	expect(t, err, rpcpb.Code_CANCELLED, "CANCELLED")
	requests, _ := core.seen()
	for _, request := range requests {
		if left := request.GetTimeoutMs(); left <= 29000 || left > 30000 {
			t.Fatalf("a call that waits 20 s has %d ms", left)
		}
	}
}

func TestThePositionIsThatOfTheLastEventGiven(t *testing.T) {
	client := open(t, Options{URL: startCore(t, fiveEvents).url})
	request := &triggerspb.ListEventsRequest{AfterSequence: 2, WaitMs: 1}
	follower := client.Follow(request)
	for want := int64(3); want <= 5; want++ {
		if follower.NextAfter() != want-1 {
			t.Fatalf("goes on after %d, before event %d", follower.NextAfter(), want)
		}
		for event, err := range follower.Events(context.Background()) {
			if err != nil || event.GetSequence() != want {
				t.Fatalf("%v (%v) instead of event %d", event, err, want)
			}
			break
		}
	}
	if request.GetAfterSequence() != 2 {
		t.Fatalf("the request was changed: %v", request)
	}
}

func TestARemovedPositionSaysWhereTheLogBegins(t *testing.T) {
	client := open(t, Options{URL: startCore(t, fiveEvents).url})
	_, err := client.Follow(&triggerspb.ListEventsRequest{AfterSequence: 1}).Next(context.Background())
	expect(t, err, rpcpb.Code_OUT_OF_RANGE, "POSITION_REMOVED")
	if first := err.(*Error).FirstSequence; first != 3 {
		t.Fatalf("the log begins at %d", first)
	}
}
