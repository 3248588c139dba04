// Command jetstream is NATS JetStream as a contender of the benchmark: a server whose streams are files,
// or workers of a durable consumer that fetch messages and acknowledge each.
//
//	jetstream serve ADDRESS FOLDER
//	jetstream fill ADDRESS COUNT PAYLOAD
//	jetstream work ADDRESS BATCH WORKERS SECONDS [confirmed]
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	stream  = "events"
	subject = "billing.invoice.paid" // the source and the type of the events
)

var ctx = context.Background()

func main() {
	log.SetFlags(0)
	log.SetPrefix("jetstream: ")
	verb, arguments := os.Args[1], os.Args[2:]
	switch verb {
	case "serve":
		serve(arguments[0], arguments[1])
	case "fill":
		fill(arguments[0], number(arguments[1]), []byte(arguments[2]))
	case "work":
		work(arguments[0], number(arguments[1]), number(arguments[2]), number(arguments[3]), len(arguments) > 4)
	}
}

// serve runs a server as it is by default but for its address and folder, until it is told to end.
func serve(address, folder string) {
	host, port, err := net.SplitHostPort(address)
	must(err)
	options := &server.Options{
		Host: host, Port: number(port), JetStream: true, StoreDir: folder, NoSigs: true,
		JetStreamMaxStore: 64 << 30, MaxPayload: server.MAX_PAYLOAD_SIZE,
	}
	nats, err := server.NewServer(options)
	must(err)
	nats.Start()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	nats.Shutdown()
	nats.WaitForShutdown()
}

// fill makes the stream, with so many messages.
func fill(address string, count int, payload []byte) {
	js := connect(address)
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: stream, Subjects: []string{subject}, Storage: jetstream.FileStorage,
	})
	must(err)
	for range count {
		_, err := js.PublishAsync(subject, payload, jetstream.WithStallWait(time.Minute))
		must(err)
	}
	<-js.PublishAsyncComplete()
	info, err := js.Stream(ctx, stream)
	must(err)
	if stored := info.CachedInfo().State.Msgs; stored != uint64(count) {
		log.Fatalf("%d messages of %d are stored", stored, count)
	}
}

// work measures a new durable consumer of the whole stream: each worker has a connection and fetches the
// next messages when it has acknowledged the last. An acknowledgement is sent and not answered, as the
// client does by default; when they are to be confirmed, the worker waits for the server's answer to each of
// a batch, sent together.
func work(address string, batch, workers, seconds int, confirmed bool) {
	js := connect(address)
	name := fmt.Sprintf("bench-%d", time.Now().UnixNano())
	_, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxAckPending: 10000,
	})
	must(err)
	var settled atomic.Int64
	var ready, done sync.WaitGroup
	var end time.Time
	begin := make(chan struct{})
	for range workers {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			js := connect(address)
			consumer, err := js.Consumer(ctx, stream, name)
			must(err)
			settle := acknowledge
			if confirmed {
				settle = confirmer(js.Conn())
			}
			ready.Done()
			<-begin
			for time.Now().Before(end) {
				messages := fetch(consumer, batch)
				settle(messages)
				if time.Now().Before(end) {
					settled.Add(int64(len(messages)))
				}
			}
			must(js.Conn().Flush())
		}()
	}
	ready.Wait()
	end = time.Now().Add(time.Duration(seconds) * time.Second)
	close(begin)
	done.Wait()
	must(js.DeleteConsumer(ctx, stream, name))
	must(json.NewEncoder(os.Stdout).Encode(map[string]float64{"per_second": float64(settled.Load()) / float64(seconds)}))
}

func fetch(consumer jetstream.Consumer, batch int) []jetstream.Msg {
	fetched, err := consumer.Fetch(batch, jetstream.FetchMaxWait(5*time.Second))
	must(err)
	messages := make([]jetstream.Msg, 0, batch)
	for message := range fetched.Messages() {
		messages = append(messages, message)
	}
	must(fetched.Error())
	if len(messages) == 0 {
		log.Fatal("the stream was read to its end")
	}
	return messages
}

func acknowledge(messages []jetstream.Msg) {
	for _, message := range messages {
		must(message.Ack())
	}
}

// confirmer returns a function that acknowledges and waits for the answers.
func confirmer(connection *nats.Conn) func([]jetstream.Msg) {
	inbox := nats.NewInbox()
	answers, err := connection.SubscribeSync(inbox)
	must(err)
	return func(messages []jetstream.Msg) {
		for _, message := range messages {
			must(connection.PublishRequest(message.Reply(), inbox, []byte("+ACK")))
		}
		for range messages {
			_, err := answers.NextMsg(5 * time.Second)
			must(err)
		}
	}
}

func connect(address string) jetstream.JetStream {
	connection, err := nats.Connect("nats://" + address)
	must(err)
	js, err := jetstream.New(connection, jetstream.WithPublishAsyncMaxPending(4000))
	must(err)
	return js
}

func number(word string) int {
	value, err := strconv.Atoi(word)
	must(err)
	return value
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
