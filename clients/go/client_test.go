package triggers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"triggers.internal/triggers/healthpb"
	"triggers.internal/triggers/rpcpb"
	"triggers.internal/triggers/triggerspb"
)

func createdAsSent(request *rpcpb.Request) *rpcpb.Response {
	var event triggerspb.CreateEventRequest
	if err := proto.Unmarshal(request.GetBody(), &event); err != nil {
		panic(err)
	}
	return ok(&triggerspb.CreateEventResponse{EventId: event.GetEventId()})
}

func healthy(*rpcpb.Request) *rpcpb.Response {
	return ok(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING})
}

func TestCreateLeavesTheEventAlone(t *testing.T) {
	client := open(t, Options{URL: startCore(t, createdAsSent).url})
	event := &triggerspb.CreateEventRequest{Source: "crm", EventType: "t", Payload: []byte("{}")}
	first, err := client.Create(context.Background(), event)
	if err != nil {
		t.Fatal(err)
	}
	second, err := client.Create(context.Background(), event)
	if err != nil {
		t.Fatal(err)
	}
	if event.GetEventId() != "" || first.GetEventId() == second.GetEventId() {
		t.Fatalf("the event has id %q; created were %s and %s", event.GetEventId(), first.GetEventId(), second.GetEventId())
	}
}

func TestManyGoroutinesShareOneConnection(t *testing.T) {
	core := startCore(t, createdAsSent)
	client := open(t, Options{URL: core.url})
	var group sync.WaitGroup
	for range 32 {
		group.Add(1)
		go func() {
			defer group.Done()
			for range 20 {
				id := NewEventID()
				created, err := client.Create(context.Background(), &triggerspb.CreateEventRequest{EventId: id})
				if err != nil || created.GetEventId() != id {
					t.Errorf("created %q instead of %q: %v", created.GetEventId(), id, err)
				}
			}
		}()
	}
	group.Wait()
	if requests, connections := core.seen(); connections != 1 || len(requests) != 640 {
		t.Fatalf("%d connections and %d requests", connections, len(requests))
	}
}

func TestCancelEndsACall(t *testing.T) {
	core := startCore(t, silent)
	client := open(t, Options{URL: core.url})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-core.received
		cancel()
	}()
	_, err := client.Health(ctx)
	expect(t, err, rpcpb.Code_CANCELLED, "CANCELLED")
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v does not wrap context.Canceled", err)
	}
}

func TestNothingIsSentForACancelledCall(t *testing.T) {
	core := startCore(t, healthy)
	client := open(t, Options{URL: core.url})
	if _, err := client.Health(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := client.Health(ctx)
	expect(t, err, rpcpb.Code_CANCELLED, "CANCELLED")
	if requests, _ := core.seen(); len(requests) != 1 {
		t.Fatalf("%d requests", len(requests))
	}
}

func TestDeadlineWrapsTheContexts(t *testing.T) {
	client := open(t, Options{URL: startCore(t, silent).url})
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := client.Health(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v does not wrap context.DeadlineExceeded", err)
	}
}

func TestCloseEndsCallsInFlight(t *testing.T) {
	before := runtime.NumGoroutine()
	core := startCore(t, silent)
	client := open(t, Options{URL: core.url})
	ended := make(chan error)
	go func() {
		_, err := client.Health(context.Background())
		ended <- err
	}()
	core.waitForRequest(t)
	_ = client.Close()
	expect(t, <-ended, rpcpb.Code_CANCELLED, "CLIENT_CLOSED")
	_, err := client.Health(context.Background())
	expect(t, err, rpcpb.Code_CANCELLED, "CLIENT_CLOSED")
	_ = client.Close()
	core.drop()
	core.server.Close()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func TestTwoAddressesShareTheCalls(t *testing.T) {
	one, two := startCore(t, healthy), startCore(t, healthy)
	client := open(t, Options{URL: one.url + ", " + two.url})
	for end := time.Now().Add(patience); ; {
		if _, err := client.Health(context.Background()); err != nil {
			t.Fatal(err)
		}
		first, _ := one.seen()
		second, _ := two.seen()
		if len(first) > 2 && len(second) > 2 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d calls went to one, %d to the other", len(first), len(second))
		}
	}
}

// Whichever core gets the call loses its connection, and neither the call nor its id is lost.
func TestALostCallMovesOn(t *testing.T) {
	var one, two *core
	var mutex sync.Mutex
	dropped := false
	dropOnce := func(self **core) func(*rpcpb.Request) *rpcpb.Response {
		return func(request *rpcpb.Request) *rpcpb.Response {
			mutex.Lock()
			defer mutex.Unlock()
			if dropped {
				return createdAsSent(request)
			}
			dropped = true
			go (*self).drop()
			return nil
		}
	}
	one = startCore(t, dropOnce(&one))
	two = startCore(t, dropOnce(&two))
	client := open(t, Options{URL: one.url + "," + two.url})
	if _, err := client.Create(context.Background(), &triggerspb.CreateEventRequest{}); err != nil {
		t.Fatal(err)
	}
	first, _ := one.seen()
	second, _ := two.seen()
	sent := append(first, second...)
	if len(sent) != 2 || string(sent[0].GetBody()) != string(sent[1].GetBody()) {
		t.Fatalf("sent were %v", sent)
	}
}

func TestACoreThatGoesForGood(t *testing.T) {
	var core *core
	core = startCore(t, func(*rpcpb.Request) *rpcpb.Response {
		_ = core.server.Listener.Close()
		go core.drop()
		return nil
	})
	client := open(t, Options{URL: core.url, Timeout: 500 * time.Millisecond})
	_, err := client.Health(context.Background())
	expect(t, err, rpcpb.Code_UNAVAILABLE, "CONNECTION_LOST")
}

// A peer that vanished without closing gives no answer; the request goes out again.
func TestASilentCallIsSentAgain(t *testing.T) {
	asked := 0 // under the core's mutex
	core := startCore(t, func(request *rpcpb.Request) *rpcpb.Response {
		if asked++; asked < 3 {
			return nil
		}
		return healthy(request)
	})
	client := open(t, Options{URL: core.url})
	client.resendAfter = 50 * time.Millisecond
	if _, err := client.Health(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestMetadata(t *testing.T) {
	core := startCore(t, healthy)
	client := open(t, Options{URL: core.url, Name: "importer/1.2"})
	ctx := WithMetadata(WithMetadata(context.Background(), "request-id", "r-1"), "traceparent", "00-ab-cd-01")
	if _, err := client.Health(ctx); err != nil {
		t.Fatal(err)
	}
	requests, _ := core.seen()
	want := map[string]string{
		"request-id": "r-1", "traceparent": "00-ab-cd-01", "client": "importer/1.2 triggers-go/" + Version,
	}
	if got := requests[0].GetMetadata(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%v instead of %v", got, want)
	}
}

// pages answers a list with a page of two events each, without end.
func pages(*rpcpb.Request) *rpcpb.Response {
	return ok(&triggerspb.ListInboxResponse{Events: []*triggerspb.Event{{}, {}}, NextPageToken: "more"})
}

func TestEventsStopsWhenTold(t *testing.T) {
	core := startCore(t, pages)
	client := open(t, Options{URL: core.url})
	seen := 0
	for _, err := range client.Events(context.Background(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 3 {
			break
		}
	}
	if requests, _ := core.seen(); len(requests) != 2 {
		t.Fatalf("%d pages were fetched", len(requests))
	}
}

func TestEventsEndsWithItsError(t *testing.T) {
	client := open(t, Options{URL: startCore(t, func(*rpcpb.Request) *rpcpb.Response {
		return &rpcpb.Response{
			Code: rpcpb.Code_INVALID_ARGUMENT, Metadata: map[string]string{"request-id": "r-9"},
			Details: &rpcpb.ErrorDetails{Reason: "PAGE_SIZE_INVALID"},
		}
	}).url})
	count := 0
	for _, err := range client.Events(context.Background(), &triggerspb.ListInboxRequest{PageSize: -1}) {
		count++
		expect(t, err, rpcpb.Code_INVALID_ARGUMENT, "PAGE_SIZE_INVALID")
		if id := err.(*Error).RequestID; id != "r-9" {
			t.Fatalf("request id %q", id)
		}
	}
	if count != 1 {
		t.Fatalf("%d errors", count)
	}
}

func TestResultsMustFitTheBatch(t *testing.T) {
	client := open(t, Options{URL: startCore(t, func(request *rpcpb.Request) *rpcpb.Response {
		if strings.HasSuffix(request.GetMethod(), "/BatchAckEvents") {
			return ok(&triggerspb.BatchAckEventsResponse{Results: []*triggerspb.AckEventResult{{}}})
		}
		return ok(&triggerspb.BatchCreateEventsResponse{})
	}).url})
	_, err := client.CreateBatch(context.Background(), []*triggerspb.CreateEventRequest{{}})
	expect(t, err, rpcpb.Code_INTERNAL, "ANSWER_MALFORMED")
	_, err = client.AckBatch(context.Background(), []string{"evt_1"})
	expect(t, err, rpcpb.Code_INTERNAL, "ANSWER_MALFORMED")
}

func TestTextThatIsNotUTF8IsRefused(t *testing.T) {
	client := open(t, Options{URL: startCore(t, createdAsSent).url})
	_, err := client.Create(context.Background(), &triggerspb.CreateEventRequest{Source: "\xff"})
	expect(t, err, rpcpb.Code_INVALID_ARGUMENT, "REQUEST_MALFORMED")
	_, err = client.Health(WithMetadata(context.Background(), "request-id", "\xff"))
	expect(t, err, rpcpb.Code_INVALID_ARGUMENT, "REQUEST_MALFORMED")
}

// Whoever has no core is told why: unreachable calls the URL and expects that text in the error.
func unreachableBecause(t *testing.T, url, why string) {
	t.Helper()
	client := open(t, Options{URL: url, Timeout: 500 * time.Millisecond})
	_, err := client.Health(context.Background())
	expect(t, err, rpcpb.Code_UNAVAILABLE, "CORE_UNREACHABLE")
	if !strings.Contains(err.Error(), why) {
		t.Fatalf("%q does not say %q", err, why)
	}
}

func TestServersThatAreNoCores(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(http.NotFound))
	defer plain.Close()
	unreachableBecause(t, "ws"+strings.TrimPrefix(plain.URL, "http"), "404")

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = connection.Write([]byte("220 mail.example ESMTP\r\n"))
			_ = connection.Close()
		}
	}()
	unreachableBecause(t, "tcp://"+listener.Addr().String(), "does not speak SP")
}

// nng that listens on an IP address answers 404 to any Host but that.
func TestANameReachesAVirtualHostOfAnAddress(t *testing.T) {
	core := startCore(t, healthy)
	core.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Host, "127.0.0.1:") {
			http.NotFound(w, r)
			return
		}
		core.serve(w, r)
	})
	client := open(t, Options{URL: strings.Replace(core.url, "127.0.0.1", "localhost", 1)})
	if _, err := client.Health(context.Background()); err != nil {
		t.Fatal(err)
	}
}
