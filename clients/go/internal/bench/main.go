// Command bench is what tests/bench/run measures: bench URL IN_FLIGHT SECONDS PAYLOAD; see
// clients/conformance.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"triggers.internal/triggers"
	"triggers.internal/triggers/triggerspb"
)

func main() {
	client, err := triggers.Open(triggers.Options{URL: os.Args[1]})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Health(context.Background()); err != nil {
		log.Fatal(err)
	}
	event := &triggerspb.CreateEventRequest{
		Source: "billing", EventType: "invoice.paid", Payload: []byte(os.Args[4]),
	}
	inFlight, seconds := number(os.Args[2]), number(os.Args[3])
	begin := time.Now().Add(time.Second)
	end := begin.Add(time.Duration(seconds) * time.Second)
	lanes := make(chan []time.Duration)
	for range inFlight {
		go func() { lanes <- createUntil(client, event, begin, end) }()
	}
	for range inFlight {
		for _, latency := range <-lanes {
			fmt.Println(latency.Microseconds())
		}
	}
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// createUntil creates one event after another and gives the latencies of calls begun after begin.
func createUntil(client *triggers.Client, event *triggerspb.CreateEventRequest, begin, end time.Time) []time.Duration {
	var latencies []time.Duration
	for started := time.Now(); started.Before(end); {
		if _, err := client.Create(context.Background(), event); err != nil {
			log.Fatal(err)
		}
		done := time.Now()
		if !started.Before(begin) && !done.After(end) {
			latencies = append(latencies, done.Sub(started))
		}
		started = done
	}
	return latencies
}
