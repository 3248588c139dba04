package triggers

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/coder/websocket"
)

// The SP mappings of nanomsg, as a REQ speaks them: one connection, whole messages.

const (
	// The largest answer is a page of 8 MiB of payloads with what belongs to them.
	maxReceived = 16 << 20
	// What a dial may take, all handshakes included.
	dialTimeout = 10 * time.Second
	// As a dialer names its peer.
	subprotocol = "rep.sp.nanomsg.org"
)

// wire carries messages. send and receive each run in one goroutine at a time; close ends both and may
// come at any time, more than once.
type wire interface {
	send(message []byte) error
	receive() ([]byte, error)
	close()
}

func dial(ctx context.Context, to address) (wire, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	switch to.url.Scheme {
	case "ws", "wss":
		return dialWebSocket(ctx, to)
	default:
		return dialStream(ctx, to)
	}
}

// webSocket has a binary frame for each message.
type webSocket struct{ connection *websocket.Conn }

func dialWebSocket(ctx context.Context, to address) (wire, error) {
	connection, response, peer, err := upgrade(ctx, to, "")
	if err != nil && response != nil && response.StatusCode == http.StatusNotFound {
		// nng that listens on an IP address knows no other Host, so not localhost, for example.
		connection, _, _, err = upgrade(ctx, to, peer)
	}
	if err != nil {
		return nil, err
	}
	if connection.Subprotocol() != subprotocol {
		_ = connection.CloseNow()
		return nil, fmt.Errorf("the server does not speak %s", subprotocol)
	}
	connection.SetReadLimit(maxReceived)
	return webSocket{connection}, nil
}

// upgrade says also what the server answered, if it did, and the IP address and port it has. host is
// sent as the Host; "" is the URL's.
func upgrade(ctx context.Context, to address, host string) (
	connection *websocket.Conn, response *http.Response, peer string, err error,
) {
	transport := &http.Transport{TLSClientConfig: to.tls, DisableCompression: true}
	defer transport.CloseIdleConnections() // of refused upgrades
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { peer = info.Conn.RemoteAddr().String() },
	})
	connection, response, err = websocket.Dial(ctx, to.url.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		Host:         host,
		Subprotocols: []string{subprotocol},
	})
	return connection, response, peer, err
}

func (w webSocket) send(message []byte) error {
	return w.connection.Write(context.Background(), websocket.MessageBinary, message)
}

func (w webSocket) receive() ([]byte, error) {
	kind, message, err := w.connection.Read(context.Background())
	if err == nil && kind != websocket.MessageBinary {
		err = fmt.Errorf("the server sent a text message")
	}
	return message, err
}

// All calls have ended, so nothing is lost without a closing handshake, which a dead peer would delay.
func (w webSocket) close() { _ = w.connection.CloseNow() }

// stream is TCP, or TLS over it: a 64-bit big-endian length before each message.
type stream struct {
	connection net.Conn
	reader     *bufio.Reader
}

// What each side sends first: a REQ (0x30) and a REP (0x31).
var (
	greeting = [8]byte{0, 'S', 'P', 0, 0, 0x30, 0, 0}
	greeted  = [8]byte{0, 'S', 'P', 0, 0, 0x31, 0, 0}
)

func dialStream(ctx context.Context, to address) (wire, error) {
	connection, err := dialTCP(ctx, to)
	if err != nil {
		return nil, err
	}
	s := &stream{connection: connection, reader: bufio.NewReaderSize(connection, 64<<10)}
	if err := s.greet(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func dialTCP(ctx context.Context, to address) (net.Conn, error) {
	if to.tls != nil {
		dialer := tls.Dialer{Config: to.tls}
		return dialer.DialContext(ctx, "tcp", to.url.Host)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", to.url.Host)
}

func (s *stream) greet(ctx context.Context) error {
	// A server that accepts and says nothing must not outlive ctx.
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	if _, err := s.connection.Write(greeting[:]); err != nil {
		return err
	}
	var answer [8]byte
	if _, err := io.ReadFull(s.reader, answer[:]); err != nil {
		return err
	}
	if answer != greeted {
		return fmt.Errorf("the server does not speak SP as a REP: its greeting is % x", answer)
	}
	return nil
}

func (s *stream) send(message []byte) error {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(message)))
	buffers := net.Buffers{size[:], message}
	_, err := buffers.WriteTo(s.connection)
	return err
}

func (s *stream) receive() ([]byte, error) {
	var header [8]byte
	if _, err := io.ReadFull(s.reader, header[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint64(header[:])
	if size > maxReceived {
		return nil, fmt.Errorf("the server sent a message of %d bytes; accepted are up to %d", size, maxReceived)
	}
	message := make([]byte, size)
	_, err := io.ReadFull(s.reader, message)
	return message, err
}

func (s *stream) close() { _ = s.connection.Close() }
