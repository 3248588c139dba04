package triggers

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"triggers.internal/triggers/healthpb"
	"triggers.internal/triggers/rpcpb"
	"triggers.internal/triggers/triggerspb"
)

func TestCallTakesTheMethodsMessagesAlone(t *testing.T) {
	core := startCore(t, healthy)
	client := open(t, Options{URL: core.url})
	ctx, right := context.Background(), &healthpb.HealthCheckRequest{}
	for _, wrong := range []struct {
		method  string
		request proto.Message
		reason  string
	}{
		{"triggers.health.v1.Health/Unheard", right, "METHOD_UNKNOWN"},
		{"triggers.health.v1.Health.Check", right, "METHOD_UNKNOWN"},
		{"triggers.health.v1.HealthCheckRequest/Check", right, "METHOD_UNKNOWN"},
		{"", right, "METHOD_UNKNOWN"},
		{healthCheck, nil, "REQUEST_INVALID"},
		{healthCheck, &triggerspb.GetEventRequest{}, "REQUEST_INVALID"},
	} {
		_, err := Call[*healthpb.HealthCheckResponse](ctx, client, wrong.method, wrong.request)
		expect(t, err, rpcpb.Code_INVALID_ARGUMENT, wrong.reason)
	}
	_, err := Call[*triggerspb.GetEventResponse](ctx, client, healthCheck, right)
	expect(t, err, rpcpb.Code_INVALID_ARGUMENT, "RESPONSE_INVALID")
	if requests, _ := core.seen(); len(requests) != 0 {
		t.Fatalf("%d requests", len(requests))
	}
	response, err := Call[proto.Message](ctx, client, healthCheck, right)
	if health, is := response.(*healthpb.HealthCheckResponse); !is || health.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("%v, %v", response, err)
	}
}

func TestWhatMayNotBeRepeatedIsSentOnce(t *testing.T) {
	core := startCore(t, silent)
	client := open(t, Options{URL: core.url})
	go func() {
		<-core.received
		core.drop()
	}()
	var response healthpb.HealthCheckResponse
	err := client.call(context.Background(), method{name: healthCheck}, &healthpb.HealthCheckRequest{}, &response)
	expect(t, err, rpcpb.Code_UNAVAILABLE, "CONNECTION_LOST")
	if requests, _ := core.seen(); len(requests) != 1 {
		t.Fatalf("%d requests", len(requests))
	}
}

func TestWhatMayNotBeRepeatedIsNotTriedAgain(t *testing.T) {
	core := startCore(t, func(*rpcpb.Request) *rpcpb.Response {
		return &rpcpb.Response{Code: rpcpb.Code_UNAVAILABLE, Details: &rpcpb.ErrorDetails{Reason: "STORE_UNAVAILABLE"}}
	})
	client := open(t, Options{URL: core.url})
	var response healthpb.HealthCheckResponse
	err := client.call(context.Background(), method{name: healthCheck}, &healthpb.HealthCheckRequest{}, &response)
	expect(t, err, rpcpb.Code_UNAVAILABLE, "STORE_UNAVAILABLE")
	if requests, _ := core.seen(); len(requests) != 1 {
		t.Fatalf("%d requests", len(requests))
	}
}

func TestACallThatWaitsIsNotSentAgainForItsSilence(t *testing.T) {
	core := startCore(t, silent)
	client := open(t, Options{URL: core.url})
	client.resendAfter = 10 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	waiting := method{name: healthCheck, repeatable: true, waits: true}
	var response healthpb.HealthCheckResponse
	err := client.call(ctx, waiting, &healthpb.HealthCheckRequest{}, &response)
	expect(t, err, rpcpb.Code_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
	if requests, _ := core.seen(); len(requests) != 1 {
		t.Fatalf("%d requests", len(requests))
	}
}

func TestAConnectionThatIsSilentAtADeadlineIsReplaced(t *testing.T) {
	var asked atomic.Int32
	core := startCore(t, func(request *rpcpb.Request) *rpcpb.Response {
		if asked.Add(1) == 1 {
			return nil
		}
		return healthy(request)
	})
	client := open(t, Options{URL: core.url})
	client.silence = 10 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	waiting := method{name: healthCheck, repeatable: true, waits: true}
	var response healthpb.HealthCheckResponse
	err := client.call(ctx, waiting, &healthpb.HealthCheckRequest{}, &response)
	expect(t, err, rpcpb.Code_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
	for connections := 0; connections < 2; _, connections = core.seen() {
		if _, err := client.Health(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}
