package triggers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"triggers.internal/triggers/rpcpb"
	"triggers.internal/triggers/triggerspb"
)

const testKey = "trg_0123456789ab_kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"

// authorizations gives what each request said of its key.
func authorizations(core *core) string {
	requests, _ := core.seen()
	said := make([]string, len(requests))
	for i, request := range requests {
		said[i] = request.GetMetadata()["authorization"]
	}
	return strings.Join(said, ",")
}

func TestAKeyGoesWithEachCallAndIsNotPrinted(t *testing.T) {
	core := startCore(t, healthy)
	options := Options{URL: core.url, APIKey: Key(testKey)}
	client := open(t, options)
	for _, ctx := range []context.Context{
		context.Background(), WithMetadata(context.Background(), "authorization", "another"),
	} {
		if _, err := client.Health(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if found := authorizations(core); found != "Bearer "+testKey+",Bearer "+testKey {
		t.Fatalf("sent were %s", found)
	}
	if shown := fmt.Sprintf("%+v %#v", options, options); strings.Contains(shown, testKey) {
		t.Fatal(shown)
	}
}

func TestAFunctionIsAskedForTheKeyOfEachCall(t *testing.T) {
	answers := 0
	core := startCore(t, func(request *rpcpb.Request) *rpcpb.Response {
		if answers++; answers == 1 {
			return &rpcpb.Response{Code: rpcpb.Code_UNAVAILABLE}
		}
		return healthy(request)
	})
	calls := 0
	client := open(t, Options{URL: core.url, APIKey: func(context.Context) (string, error) {
		calls++
		return fmt.Sprint("key-", calls), nil
	}})
	for range 2 {
		if _, err := client.Health(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if found := authorizations(core); found != "Bearer key-1,Bearer key-1,Bearer key-2" {
		t.Fatalf("sent were %s", found)
	}
}

func TestNoKeyIsSentForNone(t *testing.T) {
	core := startCore(t, healthy)
	client := open(t, Options{URL: core.url, APIKey: Key("")})
	if _, err := client.Health(context.Background()); err != nil {
		t.Fatal(err)
	}
	requests, _ := core.seen()
	if _, sent := requests[0].GetMetadata()["authorization"]; sent {
		t.Fatal(authorizations(core))
	}
}

func TestWhatIsNoKeyIsRefusedAndNotShown(t *testing.T) {
	core := startCore(t, healthy)
	for _, text := range []string{"", testKey + "\n", testKey + "\xff", "two words"} {
		client := open(t, Options{URL: core.url, APIKey: func(context.Context) (string, error) { return text, nil }})
		_, err := client.Health(context.Background())
		expect(t, err, rpcpb.Code_INVALID_ARGUMENT, "API_KEY_INVALID")
		if strings.Contains(err.Error(), testKey) {
			t.Fatal(err)
		}
	}
	if found := authorizations(core); found != "" {
		t.Fatalf("sent were %s", found)
	}
}

func TestAFunctionThatFailsFailsTheCall(t *testing.T) {
	gone := errors.New("gone")
	core := startCore(t, healthy)
	client := open(t, Options{URL: core.url, APIKey: func(ctx context.Context) (string, error) {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", gone
	}})
	_, err := client.Health(context.Background())
	expect(t, err, rpcpb.Code_UNAUTHENTICATED, "KEY_UNAVAILABLE")
	if !errors.Is(err, gone) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = client.Health(ctx)
	expect(t, err, rpcpb.Code_CANCELLED, "CANCELLED")
	work := client.Work(context.Background(), "inbox",
		func(context.Context, *triggerspb.Delivery) error { return nil }, WorkOptions{})
	expect(t, work, rpcpb.Code_UNAUTHENTICATED, "KEY_UNAVAILABLE")
}
