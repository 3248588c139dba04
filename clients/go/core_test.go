package triggers

import (
	"context"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"triggers.internal/triggers/rpcpb"
)

// patience is far more than anything here takes.
const patience = 20 * time.Second

// core is a peer whose answers a test decides. That the client understands a real one, the conformance
// runner shows.
type core struct {
	server *httptest.Server
	url    string

	mutex       sync.Mutex
	answer      func(*rpcpb.Request) *rpcpb.Response // nil: none
	requests    []*rpcpb.Request
	connections []*websocket.Conn
	received    chan struct{} // one for each request, as long as there is room
}

func startCore(t *testing.T, answer func(*rpcpb.Request) *rpcpb.Response) *core {
	t.Helper()
	c := &core{answer: answer, received: make(chan struct{}, 1024)}
	c.server = httptest.NewServer(http.HandlerFunc(c.serve))
	c.url = "ws" + strings.TrimPrefix(c.server.URL, "http") + "/rpc"
	t.Cleanup(func() {
		c.drop()
		c.server.Close()
	})
	return c
}

func (c *core) serve(w http.ResponseWriter, r *http.Request) {
	connection, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
	if err != nil {
		return
	}
	connection.SetReadLimit(maxReceived)
	c.mutex.Lock()
	c.connections = append(c.connections, connection)
	c.mutex.Unlock()
	for {
		_, message, err := connection.Read(context.Background())
		if err != nil {
			return
		}
		if reply := c.reply(message); reply != nil {
			_ = connection.Write(context.Background(), websocket.MessageBinary, reply)
		}
	}
}

func (c *core) reply(message []byte) []byte {
	request := &rpcpb.Request{}
	if binary.BigEndian.Uint32(message)&requestBit == 0 || proto.Unmarshal(message[4:], request) != nil {
		panic("the client sent something else than a request")
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.requests = append(c.requests, request)
	select {
	case c.received <- struct{}{}:
	default:
	}
	response := c.answer(request)
	if response == nil {
		return nil
	}
	body, err := proto.Marshal(response)
	if err != nil {
		panic(err)
	}
	return append(message[:4:4], body...)
}

// drop breaks all connections.
func (c *core) drop() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, each := range c.connections {
		_ = each.CloseNow()
	}
}

func (c *core) seen() (requests []*rpcpb.Request, connections int) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return append(requests, c.requests...), len(c.connections)
}

func (c *core) waitForRequest(t *testing.T) {
	t.Helper()
	select {
	case <-c.received:
	case <-time.After(patience):
		t.Fatal("no request came")
	}
}

func silent(*rpcpb.Request) *rpcpb.Response { return nil }

func ok(body proto.Message) *rpcpb.Response {
	encoded, err := proto.Marshal(body)
	if err != nil {
		panic(err)
	}
	return &rpcpb.Response{Body: encoded}
}

func open(t *testing.T, options Options) *Client {
	t.Helper()
	if options.Timeout == 0 {
		options.Timeout = patience
	}
	client, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// expect fails unless err is an Error of that code and reason.
func expect(t *testing.T, err error, code rpcpb.Code, reason string) {
	t.Helper()
	failed, is := err.(*Error)
	if !is || failed.Code != code || failed.Reason != reason {
		t.Fatalf("%v instead of %s (%s)", err, code, reason)
	}
}
