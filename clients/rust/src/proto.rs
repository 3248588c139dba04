//! The messages of the protocol, generated from `proto/` by `generate/run`; beside them only what
//! makes them handy.
// What generators write is not ours to lint.
#![allow(clippy::all)]

/// Package `triggers.v1`: events.
pub mod events {
    include!("proto/triggers.v1.rs");
}

/// Package `triggers.rpc.v1`: the envelope around every call, and its codes.
pub mod rpc {
    /// The path by which the other packages refer to this one.
    #[doc(hidden)]
    pub mod v1 {
        include!("proto/triggers.rpc.v1.rs");
    }
    pub use v1::*;
}

/// Package `triggers.health.v1`.
pub mod health {
    include!("proto/triggers.health.v1.rs");
}

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
