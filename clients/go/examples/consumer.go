//go:build ignore

// Takes every pending event, oldest first, and acknowledges it.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"triggers.internal/triggers"
	"triggers.internal/triggers/triggerspb"
)

func main() {
	key := triggers.Key(os.Getenv("TRIGGERS_API_KEY"))
	client, err := triggers.Open(triggers.Options{URL: os.Getenv("TRIGGERS_CORE"), APIKey: key})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	oldest := &triggerspb.ListInboxRequest{Order: triggerspb.SortOrder_SORT_ORDER_OLDEST_FIRST}
	for event, err := range client.Events(context.Background(), oldest) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s %s\n", event.EventId, event.EventType, event.Payload)
		if _, err := client.Ack(context.Background(), event.EventId); err != nil {
			log.Fatal(err)
		}
	}
}
