//go:build ignore

// Creates three events and prints their ids.
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
	for n := range 3 {
		created, err := client.Create(context.Background(), &triggerspb.CreateEventRequest{
			Source: "crm", EventType: "lead.created", Payload: fmt.Appendf(nil, `{"lead":%d}`, n),
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(created.EventId)
	}
}
