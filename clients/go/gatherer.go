package triggers

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	"triggers.internal/triggers/triggerspb"
)

// Settling deliveries: those that are settled alike while a call is under way go together in the next.

const maxSettled = 1000 // in a call

// gatherKey is what makes settlements alike.
type gatherKey struct{ method, reason string }

type settlement struct {
	ackID  string
	result chan *Error
}

type gatherer struct {
	worker *worker
	key    gatherKey

	mutex   sync.Mutex
	waiting []settlement
	sending bool
}

func (w *worker) gatherer(method, reason string) *gatherer {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	key := gatherKey{method, reason}
	found := w.gatherers[key]
	if found == nil {
		if len(w.gatherers) > maxConcurrency {
			clear(w.gatherers) // whoever waits in one has it
		}
		found = &gatherer{worker: w, key: key}
		w.gatherers[key] = found
	}
	return found
}

// settle gives nil when it was done; else why it was not, be it the call that failed.
func (g *gatherer) settle(ackID string) *Error {
	result := make(chan *Error, 1)
	g.mutex.Lock()
	g.waiting = append(g.waiting, settlement{ackID, result})
	if !g.sending {
		g.sending = true
		go g.sendAll()
	}
	g.mutex.Unlock()
	return <-result
}

func (g *gatherer) sendAll() {
	for {
		g.mutex.Lock()
		count := min(len(g.waiting), maxSettled)
		batch := g.waiting[:count:count]
		g.waiting = g.waiting[count:]
		g.sending = count > 0
		g.mutex.Unlock()
		if count == 0 {
			return
		}
		g.send(batch)
	}
}

func (g *gatherer) send(batch []settlement) {
	ids := make([]string, len(batch))
	for i, each := range batch {
		ids[i] = each.ackID
	}
	results, err := g.call(ids)
	if err == nil && len(results) != len(batch) {
		err = malformed("has another number of results")
	}
	for i, each := range batch {
		if item := err; item == nil && results[i].GetError() != nil {
			failed := results[i].GetError()
			each.result <- newError(failed.GetCode(), failed.GetMessage(), failed.GetDetails())
		} else {
			each.result <- item
		}
	}
}

func (g *gatherer) call(ids []string) ([]*triggerspb.SettleResult, *Error) {
	w := g.worker
	var request proto.Message
	var response interface {
		proto.Message
		GetResults() []*triggerspb.SettleResult
	}
	switch g.key.method {
	case "Ack":
		request, response = &triggerspb.AckRequest{Name: w.name, AckIds: ids}, &triggerspb.AckResponse{}
	case "Nack":
		request = &triggerspb.NackRequest{Name: w.name, AckIds: ids, Reason: g.key.reason}
		response = &triggerspb.NackResponse{}
	default: // Extend
		request = &triggerspb.ExtendRequest{Name: w.name, AckIds: ids, LeaseSeconds: w.seconds()}
		response = &triggerspb.ExtendResponse{}
	}
	err := w.call(context.Background(), g.key.method, max(w.client.timeout, w.lease), request, response)
	return response.GetResults(), err
}
