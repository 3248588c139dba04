//! What tests/bench/run measures: bench URL IN_FLIGHT SECONDS PAYLOAD; see clients/conformance.

use std::env;
use std::time::{Duration, Instant};

use triggers::{Client, CreateEventRequest, Error};

/// Creates one event after another until `end`: the latencies of calls begun after `begin`.
async fn create_until(
    client: Client,
    event: CreateEventRequest,
    begin: Instant,
    end: Instant,
) -> Result<Vec<Duration>, Error> {
    let mut latencies = Vec::new();
    let mut started = Instant::now();
    while started < end {
        client.create(event.clone()).await?;
        let done = Instant::now();
        if started >= begin && done <= end {
            latencies.push(done - started);
        }
        started = done;
    }
    Ok(latencies)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().collect();
    let (in_flight, seconds): (u32, u64) = (arguments[2].parse()?, arguments[3].parse()?);
    let client = Client::open(&arguments[1])?;
    client.health().await?;
    let event = CreateEventRequest::new("billing", "invoice.paid", arguments[4].clone());
    let begin = Instant::now() + Duration::from_secs(1);
    let end = begin + Duration::from_secs(seconds);
    let lane = |_| tokio::spawn(create_until(client.clone(), event.clone(), begin, end));
    for lane in (0..in_flight).map(lane).collect::<Vec<_>>() {
        for latency in lane.await?? {
            println!("{}", latency.as_micros());
        }
    }
    Ok(())
}
