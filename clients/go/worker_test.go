package triggers

import (
	"context"
	"testing"
	"time"

	"triggers.internal/triggers/rpcpb"
)

func TestAWorkersNumbers(t *testing.T) {
	client := open(t, Options{URL: "tcp://127.0.0.1:1"})
	for reason, options := range map[string]WorkOptions{
		"CONCURRENCY_INVALID": {Concurrency: 1001}, "LEASE_INVALID": {Lease: 1500 * time.Millisecond},
	} {
		expect(t, client.Work(context.Background(), "w", nil, options), rpcpb.Code_INVALID_ARGUMENT, reason)
	}
}
