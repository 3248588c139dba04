//! The methods of the scenarios as calls of the client, and what came of them as JSON.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use triggers::proto::health::{Check, HealthCheckRequest};
use triggers::proto::stats::{GetStats, GetStatsRequest};
use triggers::{
    AckEventResponse, CancellationToken, Client, CreateEventRequest, CreateEventResponse, Delivery,
    Error, Event, EventFilter, EventKind, EventStatus, HealthCheckResponse, ListEventsRequest,
    ListInboxRequest, ListKindsRequest, SortOrder, Timestamp,
};

use crate::any_call::call_any;

/// Makes one call and gives its outcome.
pub async fn make_call(client: &Client, method: &str, request: &Value) -> Value {
    let start = Instant::now();
    let mut outcome = match call(client, method, request).await {
        Ok(response) => json!({"code": "OK", "response": response}),
        Err(error) => error_json(&error),
    };
    outcome["elapsed_ms"] = json!(start.elapsed().as_millis() as u64);
    outcome
}

async fn call(client: &Client, method: &str, request: &Value) -> Result<Value, Error> {
    let id = text(request, "event_id");
    Ok(match method {
        "create" => created_json(&client.create(new_event(request)).await?),
        "create_batch" => {
            let events = elements(request, "events").map(new_event).collect();
            results_json(client.create_batch(events).await?, created_json)
        }
        "get" => event_json(&client.get(id).await?),
        "list" => {
            let page = client.list(list_request(request)).await?;
            let events: Value = page.events.iter().map(event_json).collect();
            json!({"events": events, "next_page_token": page.next_page_token})
        }
        "list_all" => {
            let mut all = client.list_all(list_request(request));
            let mut events = Vec::new();
            while let Some(event) = all.next().await {
                events.push(event_json(&event?));
            }
            json!({ "events": events })
        }
        "list_events" => {
            let page = client.list_events(log_request(request)).await?;
            let events: Value = page.events.iter().map(event_json).collect();
            json!({"events": events, "next_after": page.next_after,
                   "first_sequence": page.first_sequence})
        }
        "follow" => {
            let mut follower = client.follow(log_request(request));
            let mut events = Vec::new();
            for _ in 0..number(request, "count") {
                events.push(event_json(&follower.next().await?));
            }
            json!({"events": events, "next_after": follower.next_after()})
        }
        "work" => work(client, request).await?,
        "list_kinds" => {
            let page = client
                .list_kinds(ListKindsRequest {
                    page_size: number(request, "page_size") as i32,
                    page_token: text(request, "page_token"),
                })
                .await?;
            let kinds: Value = page.kinds.iter().map(kind_json).collect();
            json!({"kinds": kinds, "next_page_token": page.next_page_token})
        }
        "ack" => acked_json(&client.ack(id).await?),
        "ack_batch" => {
            let ids = elements(request, "event_ids").map(|id| id.as_str().unwrap_or_default());
            results_json(client.ack_batch(ids).await?, acked_json)
        }
        "erase" => {
            let erased = client.erase(id).await?;
            json!({"event_id": erased.event_id, "sequence": erased.sequence})
        }
        "health" => health_json(&client.health().await?),
        "check" => {
            let service = text(request, "service");
            health_json(
                &client
                    .call::<Check>(&HealthCheckRequest { service })
                    .await?,
            )
        }
        "stats" => json!({"text": client.call::<GetStats>(&GetStatsRequest {}).await?.text}),
        _ => call_any(client, method, request).await?,
    })
}

/// What the handlers of one call of `work` share.
struct Work {
    begun: Mutex<Vec<Value>>,
    left: Mutex<i64>,
    stop: CancellationToken,
    handling: Duration,
    fail: String,
}

impl Work {
    async fn handle(self: Arc<Self>, delivery: Delivery) -> Result<(), String> {
        let place = {
            let mut begun = lock(&self.begun);
            begun.push(json!({"event_id": delivery.event.event_id,
                              "attempt": delivery.attempt, "lost": false}));
            begun.len() - 1
        };
        tokio::select! {
            () = sleep(self.handling) => {}
            () = delivery.lost.cancelled() => lock(&self.begun)[place]["lost"] = json!(true),
        }
        let mut left = lock(&self.left);
        *left -= 1;
        if *left == 0 {
            self.stop.cancel();
        }
        match self.fail.is_empty() {
            true => Ok(()),
            false => Err(self.fail.clone()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Works until `count` handlers have ended.
async fn work(client: &Client, request: &Value) -> Result<Value, Error> {
    let shared = Arc::new(Work {
        begun: Mutex::default(),
        left: Mutex::new(number(request, "count")),
        stop: CancellationToken::new(),
        handling: Duration::from_millis(number(request, "handle_ms") as u64),
        fail: text(request, "fail"),
    });
    let mut workers = JoinSet::new();
    for _ in 0..number(request, "workers").max(1) {
        let mut worker = client
            .worker(text(request, "subscription"))
            .concurrency(number(request, "concurrency").max(1) as usize);
        if let Some(seconds) = request["lease_seconds"].as_u64() {
            worker = worker.lease(Duration::from_secs(seconds));
        }
        let (shared, stop) = (shared.clone(), shared.stop.clone());
        let handle = move |delivery| shared.clone().handle(delivery);
        workers.spawn(async move { worker.run(handle, stop.cancelled()).await });
    }
    for ended in workers.join_all().await {
        ended?;
    }
    let deliveries = lock(&shared.begun).clone();
    Ok(json!({ "deliveries": deliveries }))
}

fn text(request: &Value, name: &str) -> String {
    request[name].as_str().unwrap_or_default().to_owned()
}

fn number(request: &Value, name: &str) -> i64 {
    request[name].as_i64().unwrap_or_default()
}

fn texts(request: &Value, name: &str) -> Vec<String> {
    elements(request, name)
        .map(|each| each.as_str().unwrap_or_default().to_owned())
        .collect()
}

fn elements<'a>(request: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    request[name].as_array().into_iter().flatten()
}

fn new_event(request: &Value) -> CreateEventRequest {
    let payload = match request["payload"]["$base64"].as_str() {
        Some(bytes) => BASE64.decode(bytes.as_bytes()).unwrap_or_default(),
        None => text(request, "payload").into_bytes(),
    };
    let event = CreateEventRequest {
        event_id: text(request, "event_id"),
        idempotency_key: text(request, "idempotency_key"),
        ..CreateEventRequest::new(
            text(request, "source"),
            text(request, "event_type"),
            payload,
        )
    }
    .with_ordering_key(text(request, "ordering_key"));
    if let Some(micros) = request["deliver_at"].as_u64() {
        return event.with_deliver_at(UNIX_EPOCH + Duration::from_micros(micros));
    }
    match request["delay_seconds"].as_u64() {
        Some(seconds) => event.with_delay(Duration::from_secs(seconds)),
        None => event,
    }
}

fn list_request(request: &Value) -> ListInboxRequest {
    let status = format!("EVENT_STATUS_{}", text(request, "status"));
    let order = format!("SORT_ORDER_{}", text(request, "order"));
    ListInboxRequest {
        status: EventStatus::from_str_name(&status)
            .unwrap_or_default()
            .into(),
        order: SortOrder::from_str_name(&order).unwrap_or_default().into(),
        page_size: number(request, "page_size") as i32,
        page_token: text(request, "page_token"),
        filter: filter(request),
    }
}

fn log_request(request: &Value) -> ListEventsRequest {
    ListEventsRequest {
        after_sequence: number(request, "after"),
        filter: filter(request),
        page_size: number(request, "page_size") as i32,
        wait_ms: number(request, "wait_ms") as u32,
    }
}

fn filter(request: &Value) -> Option<EventFilter> {
    let given = request.get("filter")?;
    Some(EventFilter {
        sources: texts(given, "sources"),
        event_types: texts(given, "event_types"),
        from_time: timestamp(&given["from_time"]),
        until_time: timestamp(&given["until_time"]),
    })
}

fn timestamp(micros: &Value) -> Option<Timestamp> {
    let micros = micros.as_i64()?;
    Some(Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: micros.rem_euclid(1_000_000) as i32 * 1000,
    })
}

fn micros(time: &Option<Timestamp>) -> Value {
    match time {
        Some(time) => json!(time.seconds * 1_000_000 + i64::from(time.nanos) / 1000),
        None => Value::Null,
    }
}

fn health_json(health: &HealthCheckResponse) -> Value {
    json!({"status": health.status().as_str_name(),
           "version": health.version, "store": health.store})
}

fn created_json(created: &CreateEventResponse) -> Value {
    json!({"event_id": created.event_id, "created_at": micros(&created.created_at),
           "sequence": created.sequence})
}

fn acked_json(acked: &AckEventResponse) -> Value {
    json!({"event_id": acked.event_id, "acknowledged_at": micros(&acked.acknowledged_at)})
}

fn kind_json(kind: &EventKind) -> Value {
    json!({"source": kind.source, "event_type": kind.event_type})
}

fn event_json(event: &Event) -> Value {
    json!({
        "event_id": event.event_id,
        "source": event.source,
        "event_type": event.event_type,
        "payload": String::from_utf8_lossy(&event.payload),
        "status": event.status().as_str_name().trim_start_matches("EVENT_STATUS_"),
        "created_at": micros(&event.created_at),
        "acknowledged_at": micros(&event.acknowledged_at),
        "sequence": event.sequence,
        "payload_erased": event.payload_erased,
        "ordering_key": event.ordering_key,
        "deliver_at": micros(&event.deliver_at),
    })
}

fn results_json<T>(results: Vec<Result<T, Error>>, item_json: fn(&T) -> Value) -> Value {
    let results: Value = results
        .iter()
        .map(|result| match result {
            Ok(item) => item_json(item),
            Err(error) => json!({"error": error_json(error)}),
        })
        .collect();
    json!({ "results": results })
}

fn error_json(error: &Error) -> Value {
    let fields: Vec<_> = error.violations.iter().map(|each| &each.field).collect();
    let delay = error.retry_delay.unwrap_or_default();
    json!({
        "code": error.code.as_str_name(),
        "reason": error.reason,
        "message": error.message,
        "fields": fields,
        "retry_delay_ms": delay.as_millis() as u64,
        "retryable": error.is_retryable(),
        "first_sequence": error.first_sequence,
    })
}
