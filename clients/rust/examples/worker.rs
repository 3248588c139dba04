//! Works on the inbox until Ctrl-C, four events at once.

use triggers::{Client, DEFAULT_URL, Delivery, Error};

/// Is done with an event when it gives Ok; with an error it comes again.
async fn handle(delivery: Delivery) -> Result<(), Error> {
    let event = delivery.event;
    let payload = String::from_utf8_lossy(&event.payload);
    println!("{} {} {payload}", event.event_id, event.event_type);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let core = std::env::var("TRIGGERS_CORE").unwrap_or(DEFAULT_URL.to_owned());
    let mut builder = Client::builder().url(core);
    if let Ok(key) = std::env::var("TRIGGERS_API_KEY") {
        builder = builder.api_key(key);
    }
    let client = builder.open()?;
    let stop = async {
        tokio::signal::ctrl_c().await.expect("signals can be had");
    };
    client
        .worker("inbox")
        .concurrency(4)
        .run(handle, stop)
        .await?;
    client.close().await;
    Ok(())
}
