package triggers

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"triggers.internal/triggers/rpcpb"
)

// listenTLS gives a listener on 127.0.0.1 and a file with the certificate to trust.
func listenTLS(t *testing.T) (net.Listener, string) {
	t.Helper()
	server := httptest.NewTLSServer(nil) // for its certificate
	defer server.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: server.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return listener, file
}

// echo answers every message of one connection with itself.
func echo(listener net.Listener) {
	connection, err := listener.Accept()
	if err != nil {
		return
	}
	if _, err := connection.Write(greeted[:]); err != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, connection, int64(len(greeting))); err == nil {
		_, _ = io.Copy(connection, connection)
	}
	_ = connection.Close()
}

func TestStreamOverTLS(t *testing.T) {
	listener, file := listenTLS(t)
	go echo(listener)
	addresses, err := parseAddresses("tls+tcp://"+listener.Addr().String(), file)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := dial(context.Background(), addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	defer connection.close()
	for _, size := range []int{0, 4, 1 << 20} {
		sent := strings.Repeat("x", size)
		go func() { _ = connection.send([]byte(sent)) }()
		if got, err := connection.receive(); err != nil || string(got) != sent {
			t.Fatalf("%d bytes came back instead of %d: %v", len(got), size, err)
		}
	}
}

func TestStreamOverTLSThatIsNotTrusted(t *testing.T) {
	listener, _ := listenTLS(t)
	go echo(listener)
	client := open(t, Options{URL: "tls+tcp://" + listener.Addr().String(), Timeout: 500 * time.Millisecond})
	_, err := client.Health(context.Background())
	expect(t, err, rpcpb.Code_UNAVAILABLE, "CORE_UNREACHABLE")
}

func TestMessagesHaveALargestSize(t *testing.T) {
	near, far := net.Pipe()
	go func() { _, _ = far.Write([]byte{0, 0, 0, 1, 0, 0, 0, 0}) }()
	s := &stream{connection: near, reader: bufio.NewReader(near)}
	if _, err := s.receive(); err == nil || !strings.Contains(err.Error(), "accepted are up to") {
		t.Fatalf("4 GiB: %v", err)
	}
}
