//go:build ignore

// Works on the inbox until Ctrl-C, four events at once.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"triggers.internal/triggers"
	"triggers.internal/triggers/triggerspb"
)

// handle is done with an event when it returns nil; with an error it comes again.
func handle(_ context.Context, delivery *triggerspb.Delivery) error {
	event := delivery.Event
	fmt.Printf("%s %s %s\n", event.EventId, event.EventType, event.Payload)
	return nil
}

func main() {
	key := triggers.Key(os.Getenv("TRIGGERS_API_KEY"))
	client, err := triggers.Open(triggers.Options{URL: os.Getenv("TRIGGERS_CORE"), APIKey: key})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := client.Work(ctx, "inbox", handle, triggers.WorkOptions{Concurrency: 4}); err != nil {
		log.Fatal(err)
	}
}
