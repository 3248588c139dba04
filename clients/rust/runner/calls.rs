//! The methods of the scenarios as calls of the client, and what came of them as JSON.

use std::time::Instant;

use data_encoding::BASE64;
use serde_json::{Value, json};
use triggers::proto::health::{Check, HealthCheckRequest};
use triggers::proto::stats::{GetStats, GetStatsRequest};
use triggers::{
    AckEventResponse, Client, CreateEventRequest, CreateEventResponse, Error, Event, EventStatus,
    HealthCheckResponse, ListInboxRequest, SortOrder, Timestamp,
};

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
        "ack" => acked_json(&client.ack(id).await?),
        "ack_batch" => {
            let ids = elements(request, "event_ids").map(|id| id.as_str().unwrap_or_default());
            results_json(client.ack_batch(ids).await?, acked_json)
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
        _ => json!({"no such method": method}),
    })
}

fn text(request: &Value, name: &str) -> String {
    request[name].as_str().unwrap_or_default().to_owned()
}

fn elements<'a>(request: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    request[name].as_array().into_iter().flatten()
}

fn new_event(request: &Value) -> CreateEventRequest {
    let payload = match request["payload"]["$base64"].as_str() {
        Some(bytes) => BASE64.decode(bytes.as_bytes()).unwrap_or_default(),
        None => text(request, "payload").into_bytes(),
    };
    CreateEventRequest {
        event_id: text(request, "event_id"),
        idempotency_key: text(request, "idempotency_key"),
        ..CreateEventRequest::new(
            text(request, "source"),
            text(request, "event_type"),
            payload,
        )
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
        page_size: request["page_size"].as_i64().unwrap_or_default() as i32,
        page_token: text(request, "page_token"),
    }
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
    json!({"event_id": created.event_id, "created_at": micros(&created.created_at)})
}

fn acked_json(acked: &AckEventResponse) -> Value {
    json!({"event_id": acked.event_id, "acknowledged_at": micros(&acked.acknowledged_at)})
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
    })
}
