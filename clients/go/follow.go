package triggers

import (
	"context"
	"iter"

	"triggers.internal/triggers/triggerspb"
)

// Follower reads the log, and waits at its end for more: each event once, in order. One goroutine uses
// it at a time.
type Follower struct {
	client *Client
	next   *triggerspb.ListEventsRequest // its position: everything up to there was read
	events []*triggerspb.Event           // that were read and not given yet
	after  int64
}

// NextAfter is the position after the event that was given last: save it, and Follow from there the
// next time.
func (f *Follower) NextAfter() int64 { return f.after }

// Next waits for the next event. After an error it goes on where it was.
func (f *Follower) Next(ctx context.Context) (*triggerspb.Event, error) {
	for len(f.events) == 0 {
		page, err := f.client.ListEvents(ctx, f.next)
		if err != nil {
			return nil, err
		}
		f.events, f.next.AfterSequence = page.GetEvents(), page.GetNextAfter()
		if len(f.events) == 0 {
			f.after = f.next.GetAfterSequence()
		}
	}
	event := f.events[0]
	f.events = f.events[1:]
	f.after = event.GetSequence()
	if len(f.events) == 0 {
		f.after = f.next.GetAfterSequence()
	}
	return event, nil
}

// Events iterates over what Next gives, and ends after the first error, such as that of a cancelled
// ctx. Another iteration goes on where it was.
func (f *Follower) Events(ctx context.Context) iter.Seq2[*triggerspb.Event, error] {
	return func(yield func(*triggerspb.Event, error) bool) {
		for {
			event, err := f.Next(ctx)
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}
