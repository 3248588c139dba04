//! Takes every pending event, oldest first, and acknowledges it.

use triggers::{Client, DEFAULT_URL, Error, ListInboxRequest, SortOrder};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let core = std::env::var("TRIGGERS_CORE").unwrap_or(DEFAULT_URL.to_owned());
    let mut builder = Client::builder().url(core);
    if let Ok(key) = std::env::var("TRIGGERS_API_KEY") {
        builder = builder.api_key(key);
    }
    let client = builder.open()?;
    let mut pending = client.list_all(ListInboxRequest {
        order: SortOrder::OldestFirst.into(),
        ..Default::default()
    });
    while let Some(event) = pending.next().await {
        let event = event?;
        let payload = String::from_utf8_lossy(&event.payload);
        println!("{} {} {payload}", event.event_id, event.event_type);
        client.ack(event.event_id).await?;
    }
    client.close().await;
    Ok(())
}
