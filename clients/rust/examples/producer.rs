//! Creates three events and prints their ids.

use triggers::{Client, CreateEventRequest, DEFAULT_URL, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let core = std::env::var("TRIGGERS_CORE").unwrap_or(DEFAULT_URL.to_owned());
    let mut builder = Client::builder().url(core);
    if let Ok(key) = std::env::var("TRIGGERS_API_KEY") {
        builder = builder.api_key(key);
    }
    let client = builder.open()?;
    for number in 1..=3 {
        let payload = format!(r#"{{"lead": {number}}}"#);
        let event = CreateEventRequest::new("crm", "lead.created", payload);
        println!("{}", client.create(event).await?.event_id);
    }
    client.close().await;
    Ok(())
}
