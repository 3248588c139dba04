//! The messages of the protocol, generated from `proto/` by `generate/run`; beside them only what
//! makes them handy.
// What generators write is not ours to lint.
#![allow(clippy::all)]

#[allow(missing_docs)]
#[path = "proto/packages.rs"]
mod packages;

/// All packages by their own names, such as `triggers::stats::v1`. For each method there is a type
/// of its name, which [`Client::call`](crate::Client::call) takes.
pub use packages::triggers;

pub use triggers::{health::v1 as health, rpc::v1 as rpc, stats::v1 as stats, v1 as events};

impl events::CreateEventRequest {
    /// An event to create; `payload` is one JSON object. It gets an id when it is sent, unless
    /// `event_id` or `idempotency_key` is set.
    pub fn new(
        source: impl Into<String>,
        event_type: impl Into<String>,
        payload: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            source: source.into(),
            event_type: event_type.into(),
            payload: payload.into(),
            ..Self::default()
        }
    }
}
