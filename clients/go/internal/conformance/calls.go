package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"triggers.internal/triggers"
	"triggers.internal/triggers/healthpb"
	"triggers.internal/triggers/statspb"
	"triggers.internal/triggers/triggerspb"
)

// The scenarios' calls, made through the client, and their outcomes as scenarios see them.

// fields are a request's, or a client's options.
type fields map[string]any

func (f fields) text(name string) string {
	text, _ := f[name].(string)
	return text
}

func (f fields) number(name string) int64 {
	number, _ := f[name].(float64)
	return int64(number)
}

func (f fields) texts(name string) []string {
	list, _ := f[name].([]any)
	texts := make([]string, len(list))
	for i, element := range list {
		texts[i], _ = element.(string)
	}
	return texts
}

var methods = map[string]func(context.Context, *triggers.Client, fields) (any, error){
	"create": create, "create_batch": createBatch, "get": get, "list": list, "list_all": listAll,
	"list_events": listEvents, "follow": follow, "work": work, "list_kinds": listKinds,
	"ack": ack, "ack_batch": ackBatch, "erase": erase,
	"health": health, "check": check, "stats": stats,
}

func init() {
	addAny[*triggerspb.PutSubscriptionRequest, *triggerspb.PutSubscriptionResponse]("SubscriptionService/PutSubscription")
	addAny[*triggerspb.GetSubscriptionRequest, *triggerspb.GetSubscriptionResponse]("SubscriptionService/GetSubscription")
	addAny[*triggerspb.ListSubscriptionsRequest, *triggerspb.ListSubscriptionsResponse]("SubscriptionService/ListSubscriptions")
	addAny[*triggerspb.DeleteSubscriptionRequest, *triggerspb.DeleteSubscriptionResponse]("SubscriptionService/DeleteSubscription")
	addAny[*triggerspb.PullRequest, *triggerspb.PullResponse]("SubscriptionService/Pull")
	addAny[*triggerspb.AckRequest, *triggerspb.AckResponse]("SubscriptionService/Ack")
	addAny[*triggerspb.NackRequest, *triggerspb.NackResponse]("SubscriptionService/Nack")
	addAny[*triggerspb.ExtendRequest, *triggerspb.ExtendResponse]("SubscriptionService/Extend")
	addAny[*triggerspb.ReleaseRequest, *triggerspb.ReleaseResponse]("SubscriptionService/Release")
	addAny[*triggerspb.SeekRequest, *triggerspb.SeekResponse]("SubscriptionService/Seek")
	addAny[*triggerspb.ListDeadLettersRequest, *triggerspb.ListDeadLettersResponse]("SubscriptionService/ListDeadLetters")
	addAny[*triggerspb.RedriveDeadLettersRequest, *triggerspb.RedriveDeadLettersResponse]("SubscriptionService/RedriveDeadLetters")
	addAny[*triggerspb.DeleteDeadLettersRequest, *triggerspb.DeleteDeadLettersResponse]("SubscriptionService/DeleteDeadLetters")
	addAny[*triggerspb.PutTenantRequest, *triggerspb.PutTenantResponse]("AccessService/PutTenant")
	addAny[*triggerspb.GetTenantRequest, *triggerspb.GetTenantResponse]("AccessService/GetTenant")
	addAny[*triggerspb.ListTenantsRequest, *triggerspb.ListTenantsResponse]("AccessService/ListTenants")
	addAny[*triggerspb.SuspendTenantRequest, *triggerspb.SuspendTenantResponse]("AccessService/SuspendTenant")
	addAny[*triggerspb.ResumeTenantRequest, *triggerspb.ResumeTenantResponse]("AccessService/ResumeTenant")
	addAny[*triggerspb.DeleteTenantRequest, *triggerspb.DeleteTenantResponse]("AccessService/DeleteTenant")
	addAny[*triggerspb.CreateKeyRequest, *triggerspb.CreateKeyResponse]("AccessService/CreateKey")
	addAny[*triggerspb.GetKeyRequest, *triggerspb.GetKeyResponse]("AccessService/GetKey")
	addAny[*triggerspb.ListKeysRequest, *triggerspb.ListKeysResponse]("AccessService/ListKeys")
	addAny[*triggerspb.RotateKeyRequest, *triggerspb.RotateKeyResponse]("AccessService/RotateKey")
	addAny[*triggerspb.RevokeKeyRequest, *triggerspb.RevokeKeyResponse]("AccessService/RevokeKey")
	addAny[*triggerspb.ListAuditRecordsRequest, *triggerspb.ListAuditRecordsResponse]("AccessService/ListAuditRecords")
}

// addAny adds a generic call, with the JSON of protobuf.
func addAny[Q, R proto.Message](name string) {
	methods[name] = func(ctx context.Context, client *triggers.Client, f fields) (any, error) {
		var none Q
		request := none.ProtoReflect().New().Interface()
		given, err := json.Marshal(f)
		if err == nil {
			err = protojson.Unmarshal(given, request)
		}
		if err != nil {
			return nil, err
		}
		response, err := triggers.Call[R](ctx, client, "triggers.v1."+name, request)
		if err != nil {
			return nil, err
		}
		var found any
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(response)
		if err == nil {
			err = json.Unmarshal(text, &found)
		}
		return found, err
	}
}

// outcome makes a call, with a deadline of its own when timeoutMS is not 0.
func outcome(call func(context.Context) (any, error), timeoutMS int64) map[string]any {
	ctx := context.Background()
	if timeoutMS > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(timeoutMS)*time.Millisecond)
		defer cancel()
	}
	begin := time.Now()
	response, err := call(ctx)
	found := map[string]any{"code": "OK", "response": response}
	if err != nil {
		found = failed(err)
	}
	found["elapsed_ms"] = float64(time.Since(begin).Milliseconds())
	return found
}

func failed(err error) map[string]any {
	var e *triggers.Error
	if !errors.As(err, &e) {
		return map[string]any{"code": "not an Error", "message": err.Error()}
	}
	names := make([]any, len(e.Violations))
	for i, violation := range e.Violations {
		names[i] = violation.GetField()
	}
	return map[string]any{
		"code": e.Code.String(), "reason": e.Reason, "message": e.Message, "fields": names,
		"retry_delay_ms": float64(e.RetryDelay.Milliseconds()), "retryable": e.Retryable(),
		"first_sequence": float64(e.FirstSequence),
	}
}

// micros is nil for an unset time.
func micros(at *timestamppb.Timestamp) any {
	if at == nil {
		return nil
	}
	return float64(at.AsTime().UnixMicro()) // exact: below 2^53 for centuries
}

func newEvent(f fields) *triggerspb.CreateEventRequest {
	event := &triggerspb.CreateEventRequest{
		EventId: f.text("event_id"), Source: f.text("source"), EventType: f.text("event_type"),
		Payload: []byte(f.text("payload")), IdempotencyKey: f.text("idempotency_key"),
		OrderingKey: f.text("ordering_key"),
	}
	if f["deliver_at"] != nil {
		event.Delivery = triggers.At(time.UnixMicro(f.number("deliver_at")))
	}
	if f["delay_seconds"] != nil {
		event.Delivery = triggers.After(time.Duration(f.number("delay_seconds")) * time.Second)
	}
	return event
}

func created(response *triggerspb.CreateEventResponse) map[string]any {
	return map[string]any{
		"event_id": response.GetEventId(), "created_at": micros(response.GetCreatedAt()),
		"sequence": float64(response.GetSequence()),
	}
}

func acked(response *triggerspb.AckEventResponse) map[string]any {
	return map[string]any{"event_id": response.GetEventId(), "acknowledged_at": micros(response.GetAcknowledgedAt())}
}

func eventOf(event *triggerspb.Event) map[string]any {
	return map[string]any{
		"event_id": event.GetEventId(), "source": event.GetSource(), "event_type": event.GetEventType(),
		"payload": string(event.GetPayload()), "status": strings.TrimPrefix(event.GetStatus().String(), "EVENT_STATUS_"),
		"created_at": micros(event.GetCreatedAt()), "acknowledged_at": micros(event.GetAcknowledgedAt()),
		"sequence": float64(event.GetSequence()), "payload_erased": event.GetPayloadErased(),
		"ordering_key": event.GetOrderingKey(), "deliver_at": micros(event.GetDeliverAt()),
	}
}

func eventsOf(list []*triggerspb.Event) []any {
	events := make([]any, len(list))
	for i, event := range list {
		events[i] = eventOf(event)
	}
	return events
}

func create(ctx context.Context, client *triggers.Client, f fields) (any, error) {
	response, err := client.Create(ctx, newEvent(f))
	return created(response), err
}

func createBatch(ctx context.Context, client *triggers.Client, f fields) (any, error) {
	list, _ := f["events"].([]any)
	events := make([]*triggerspb.CreateEventRequest, len(list))
	for i, element := range list {
		events[i] = newEvent(element.(map[string]any))
	}
	answer, err := client.CreateBatch(ctx, events)
	results := make([]any, len(answer))
	for i, result := range answer {
		results[i] = created(result.GetCreated())
		if err := triggers.ItemError(result.GetError()); err != nil {
			results[i] = map[string]any{"error": failed(err)}
		}
	}
	return map[string]any{"results": results}, err
}

func get(ctx context.Context, client *triggers.Client, f fields) (any, error) {
	event, err := client.Get(ctx, f.text("event_id"))
	return eventOf(event), err
}

func listRequest(f fields) *triggerspb.ListInboxRequest {
	return &triggerspb.ListInboxRequest{
		Status:    triggerspb.EventStatus(triggerspb.EventStatus_value["EVENT_STATUS_"+f.text("status")]),
		Order:     triggerspb.SortOrder(triggerspb.SortOrder_value["SORT_ORDER_"+f.text("order")]),
		PageSize:  int32(f.number("page_size")),
		PageToken: f.text("page_token"),
		Filter:    f.filter(),
	}
}

// filter is nil when there is none.
func (f fields) filter() *triggerspb.EventFilter {
	given, ok := f["filter"].(map[string]any)
	if !ok {
		return nil
	}
	filter := fields(given)
	return &triggerspb.EventFilter{
		Sources: filter.texts("sources"), EventTypes: filter.texts("event_types"),
		FromTime: filter.time("from_time"), UntilTime: filter.time("until_time"),
	}
}

func (f fields) time(name string) *timestamppb.Timestamp {
	if f[name] == nil {
		return nil
	}
	return timestamppb.New(time.UnixMicro(f.number(name)))
}

func logRequest(f fields) *triggerspb.ListEventsRequest {
	return &triggerspb.ListEventsRequest{
		AfterSequence: f.number("after"), PageSize: int32(f.number("page_size")),
		WaitMs: uint32(f.number("wait_ms")), Filter: f.filter(),
	}
}

func listEvents(ctx context.Context, client *triggers.Client, f fields) (any, error) {
	page, err := client.ListEvents(ctx, logRequest(f))
	return map[string]any{
		"events": eventsOf(page.GetEvents()), "next_after": float64(page.GetNextAfter()),
		"first_sequence": float64(page.GetFirstSequence()),
	}, err
}

func follow(ctx context.Context, client *triggers.Client, f fields) (any, error) {
	follower := client.Follow(logRequest(f))
	var events []*triggerspb.Event
	for event, err := range follower.Events(ctx) {
		if err != nil {
			return nil, err
		}
		if events = append(events, event); int64(len(events)) == f.number("count") {
			break
		}
	}
	return map[string]any{"events": eventsOf(events), "next_after": float64(follower.NextAfter())}, nil
}

// work works until "count" handlers have ended.
func work(ctx context.Context, client *triggers.Client, f fields) (any, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var mutex sync.Mutex
	begun := []any{}
	left := f.number("count")
	handle := func(ctx context.Context, delivery *triggerspb.Delivery) error {
		found := map[string]any{
			"event_id": delivery.GetEvent().GetEventId(), "attempt": float64(delivery.GetDeliveryAttempt()), "lost": false,
		}
		mutex.Lock()
		begun = append(begun, found)
		mutex.Unlock()
		select {
		case <-time.After(time.Duration(f.number("handle_ms")) * time.Millisecond):
		case <-ctx.Done():
		}
		mutex.Lock()
		defer mutex.Unlock()
		found["lost"] = ctx.Err() != nil
		if left--; left == 0 {
			stop()
		}
		if text := f.text("fail"); text != "" {
			return errors.New(text)
		}
		return nil
	}
	options := triggers.WorkOptions{
		Concurrency: int(f.number("concurrency")), Lease: time.Duration(f.number("lease_seconds")) * time.Second,
	}
	ends := make(chan error)
	workers := max(f.number("workers"), 1)
	for range workers {
		go func() { ends <- client.Work(ctx, f.text("subscription"), handle, options) }()
	}
	var failed error
	for range workers {
		if err := <-ends; err != nil {
			failed = err
		}
	}
	return map[string]any{"deliveries": begun}, failed
}

func listKinds(ctx context.Context, client *triggers.Client, f fields) (any, error) {
	page, err := client.ListKinds(ctx, &triggerspb.ListKindsRequest{
		PageSize: int32(f.number("page_size")), PageToken: f.text("page_token"),
	})
	kinds := make([]any, len(page.GetKinds()))
	for i, kind := range page.GetKinds() {
		kinds[i] = map[string]any{"source": kind.GetSource(), "event_type": kind.GetEventType()}
	}
	return map[string]any{"kinds": kinds, "next_page_token": page.GetNextPageToken()}, err
}

func list(ctx context.Context, client *triggers.Client, f fields) (any, error) {
	page, err := client.List(ctx, listRequest(f))
	return map[string]any{"events": eventsOf(page.GetEvents()), "next_page_token": page.GetNextPageToken()}, err
}

func listAll(ctx context.Context, client *triggers.Client, f fields) (any, error) {
	events := []any{}
	for event, err := range client.Events(ctx, listRequest(f)) {
		if err != nil {
			return nil, err
		}
		events = append(events, eventOf(event))
	}
	return map[string]any{"events": events}, nil
}

func ack(ctx context.Context, client *triggers.Client, f fields) (any, error) {
	response, err := client.Ack(ctx, f.text("event_id"))
	return acked(response), err
}

func ackBatch(ctx context.Context, client *triggers.Client, f fields) (any, error) {
	answer, err := client.AckBatch(ctx, f.texts("event_ids"))
	results := make([]any, len(answer))
	for i, result := range answer {
		results[i] = acked(result.GetAcknowledged())
		if err := triggers.ItemError(result.GetError()); err != nil {
			results[i] = map[string]any{"error": failed(err)}
		}
	}
	return map[string]any{"results": results}, err
}

func erase(ctx context.Context, client *triggers.Client, f fields) (any, error) {
	response, err := client.Erase(ctx, f.text("event_id"))
	return map[string]any{"event_id": response.GetEventId(), "sequence": float64(response.GetSequence())}, err
}

func health(ctx context.Context, client *triggers.Client, _ fields) (any, error) {
	response, err := client.Health(ctx)
	return healthOf(response), err
}

func healthOf(response *healthpb.HealthCheckResponse) map[string]any {
	return map[string]any{
		"status": response.GetStatus().String(), "version": response.GetVersion(), "store": response.GetStore(),
	}
}

func check(ctx context.Context, client *triggers.Client, f fields) (any, error) {
	request := &healthpb.HealthCheckRequest{Service: f.text("service")}
	response, err := triggers.Call[*healthpb.HealthCheckResponse](ctx, client, "triggers.health.v1.Health/Check", request)
	return healthOf(response), err
}

func stats(ctx context.Context, client *triggers.Client, _ fields) (any, error) {
	const method = "triggers.stats.v1.StatsService/GetStats"
	response, err := triggers.Call[*statspb.GetStatsResponse](ctx, client, method, &statspb.GetStatsRequest{})
	return map[string]any{"text": response.GetText()}, err
}
