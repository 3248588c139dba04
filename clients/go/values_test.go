package triggers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"triggers.internal/triggers/healthpb"
	"triggers.internal/triggers/rpcpb"
	"triggers.internal/triggers/triggerspb"
)

func TestVersionIsTheProjects(t *testing.T) {
	text, err := os.ReadFile("../../meson.build")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("this is the module without its project")
	}
	if err != nil || !strings.Contains(string(text), "version: '"+Version+"'") {
		t.Fatalf("meson.build has not version %s (%v)", Version, err)
	}
}

func TestMethodsAreTheProtocols(t *testing.T) {
	events := triggerspb.File_triggers_v1_events_proto.Services().ByName("EventService")
	health := healthpb.File_triggers_health_v1_health_proto.Services().ByName("Health")
	if string(events.FullName())+"/" != service || string(health.FullName())+"/Check" != healthCheck {
		t.Fatalf("%s, %s", events.FullName(), health.FullName())
	}
}

func TestEventIDsComeBack(t *testing.T) {
	comesBack := func(uuid [16]byte) bool {
		parsed, err := ParseEventID(FormatEventID(uuid))
		return err == nil && parsed == uuid
	}
	if err := quick.Check(comesBack, nil); err != nil {
		t.Fatal(err)
	}
	_, err := ParseEventID("evt_nonsense")
	expect(t, err, rpcpb.Code_INVALID_ARGUMENT, "EVENT_ID_INVALID")
}

func TestDelaysAreWholeSeconds(t *testing.T) {
	for delay, seconds := range map[time.Duration]uint32{
		-time.Second: 0, 0: 0, 1: 1, time.Second: 1, time.Second + 1: 2, 744 * time.Hour: 2678400,
		1<<63 - 1: 1<<32 - 1,
	} {
		if given := After(delay).DelaySeconds; given != seconds {
			t.Errorf("%v: %d seconds", delay, given)
		}
	}
}

func TestAddressesThatAreRefused(t *testing.T) {
	for _, url := range []string{
		"nonsense", "http://127.0.0.1:7300/rpc", "ws://", "ws://127.0.0.1:0/rpc", "ws://127.0.0.1:70000/rpc",
		"tcp://127.0.0.1", "tcp://127.0.0.1:7300/path", "ws://user:secret@127.0.0.1:7300/rpc",
		"ws://127.0.0.1:7300/rpc,", "ws://user:se cret@%zz",
	} {
		_, err := Open(Options{URL: url})
		expect(t, err, rpcpb.Code_INVALID_ARGUMENT, "URL_INVALID")
		if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "se cret") {
			t.Errorf("%v shows a password", err)
		}
	}
}

func TestCertificatesThatAreRefused(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, empty + ".missing"} {
		_, err := Open(Options{URL: "wss://localhost:7300/rpc", CAFile: file})
		expect(t, err, rpcpb.Code_INVALID_ARGUMENT, "TLS_CA_INVALID")
	}
}

func TestArgumentsThatAreRefused(t *testing.T) {
	_, err := Open(Options{Timeout: -time.Second})
	expect(t, err, rpcpb.Code_INVALID_ARGUMENT, "TIMEOUT_INVALID")
	client, err := Open(Options{URL: "ws://127.0.0.1:1/rpc"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = client.Create(context.Background(), nil)
	expect(t, err, rpcpb.Code_INVALID_ARGUMENT, "EVENT_MISSING")
	_, err = client.CreateBatch(context.Background(), []*triggerspb.CreateEventRequest{{}, nil})
	expect(t, err, rpcpb.Code_INVALID_ARGUMENT, "EVENT_MISSING")
}

func TestCodeOf(t *testing.T) {
	wrapped := fmt.Errorf("importing: %w", failure(rpcpb.Code_NOT_FOUND, "EVENT_NOT_FOUND", "Event not found"))
	for err, want := range map[error]rpcpb.Code{
		nil: rpcpb.Code_OK, wrapped: rpcpb.Code_NOT_FOUND, errors.New("other"): rpcpb.Code_UNKNOWN,
	} {
		if code := CodeOf(err); code != want {
			t.Errorf("%s instead of %s for %v", code, want, err)
		}
	}
}

func TestItemError(t *testing.T) {
	if err := ItemError(nil); err != nil {
		t.Fatal(err)
	}
	err := ItemError(&triggerspb.ItemError{
		Code: rpcpb.Code_UNAVAILABLE, Message: "the store is away",
		Details: &rpcpb.ErrorDetails{Reason: "STORE_LOST", RetryDelayMs: 70},
	})
	expect(t, err, rpcpb.Code_UNAVAILABLE, "STORE_LOST")
	if delay := err.(*Error).RetryDelay; delay != 70*time.Millisecond {
		t.Fatalf("retry delay %v", delay)
	}
	if text := err.Error(); text != "triggers: UNAVAILABLE (STORE_LOST): the store is away" {
		t.Fatal(text)
	}
}
