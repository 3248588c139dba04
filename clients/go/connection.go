package triggers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// A dial that failed, or a connection that broke before any answer, is tried again after this long,
	// doubling to the maximum.
	minReconnect = 50 * time.Millisecond
	maxReconnect = time.Second
	// Messages that wait for a connection's writer before callers do.
	queuedMessages = 16
)

// connection is a live connection to a core.
type connection struct {
	wire     wire
	outgoing chan []byte
	lost     chan struct{} // closed when it broke
	heard    atomic.Int64  // messages that came
}

// write sends what callers queue, so that a peer that does not read holds up no caller past its deadline.
func (c *connection) write() {
	for {
		select {
		case message := <-c.outgoing:
			if err := c.wire.send(message); err != nil {
				c.wire.close() // the reader notices
				return
			}
		case <-c.lost:
			return
		}
	}
}

// link keeps one address connected.
type link struct {
	to      address
	pool    *pool
	deliver func(message []byte) error // called for each message, by one goroutine
}

// run ends when ctx does.
func (l *link) run(ctx context.Context) {
	for wait := minReconnect; ctx.Err() == nil; {
		answered, err := l.connect(ctx)
		l.pool.failed(fmt.Errorf("%s: %w", l.to.url, err))
		if answered {
			wait = minReconnect
		}
		sleep(ctx, jitter(wait))
		wait = min(2*wait, maxReconnect)
	}
}

// connect serves one connection until it breaks or ctx ends, and says why and whether the server
// answered anything over it.
func (l *link) connect(ctx context.Context) (answered bool, err error) {
	wire, err := dial(ctx, l.to)
	if err != nil {
		return false, err
	}
	connection := &connection{
		wire: wire, outgoing: make(chan []byte, queuedMessages), lost: make(chan struct{}),
	}
	stop := context.AfterFunc(ctx, wire.close)
	defer stop()
	var writer sync.WaitGroup
	writer.Add(1)
	go func() {
		defer writer.Done()
		connection.write()
	}()
	l.pool.add(connection)
	for err == nil {
		var message []byte
		if message, err = wire.receive(); err == nil {
			answered = true
			connection.heard.Add(1)
			err = l.deliver(message)
		}
	}
	l.pool.remove(connection)
	close(connection.lost)
	wire.close()
	writer.Wait()
	return answered, err
}

// pool has the connections that stand. Its methods may be called by any goroutine.
type pool struct {
	mutex     sync.Mutex
	live      []*connection
	next      int
	added     chan struct{} // closed, and made anew, when a connection is added
	lastError error
}

func newPool() *pool { return &pool{added: make(chan struct{})} }

func (p *pool) add(connection *connection) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.live = append(p.live, connection)
	close(p.added)
	p.added = make(chan struct{})
}

func (p *pool) remove(connection *connection) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if i := slices.Index(p.live, connection); i >= 0 {
		p.live = slices.Delete(p.live, i, i+1)
	}
}

// failed notes why there is no connection to some address.
func (p *pool) failed(err error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.lastError = err
}

// why is the last of those errors; nil while the first dials go on.
func (p *pool) why() error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.lastError
}

// pick gives the connections in turn; without any, nil and what is closed when there is one.
func (p *pool) pick() (*connection, <-chan struct{}) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if len(p.live) == 0 {
		return nil, p.added
	}
	p.next = (p.next + 1) % len(p.live)
	return p.live[p.next], nil
}

// jitter draws evenly from the upper half of d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// sleep returns early when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
