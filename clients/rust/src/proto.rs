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

use events::create_event_request::Delivery;
use std::time::{Duration, SystemTime};

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

    /// Subscriptions that order by key give out one event of a key at a time; at most 255 bytes. Not
    /// together with a delay.
    pub fn with_ordering_key(self, ordering_key: impl Into<String>) -> Self {
        Self {
            ordering_key: ordering_key.into(),
            ..self
        }
    }

    /// Subscriptions give it out so long after it is stored, at most 31 days, in whole seconds: a
    /// part of one counts as one. The inbox and the log show it at once.
    pub fn with_delay(self, delay: Duration) -> Self {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        Self {
            delivery: Some(Delivery::DelaySeconds(seconds)),
            ..self
        }
    }

    /// Subscriptions give it out at this time, at most 31 days from now.
    pub fn with_deliver_at(self, time: SystemTime) -> Self {
        Self {
            delivery: Some(Delivery::DeliverAt(time.into())),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::events::CreateEventRequest;
    use super::{Delivery, Duration};

    #[test]
    fn a_delay_is_whole_seconds() {
        let given = [(0, 0), (1, 1), (1000, 1), (1001, 2), (u64::MAX, u32::MAX)];
        for (millis, seconds) in given {
            let event = CreateEventRequest::new("s", "t", "{}");
            let event = event.with_delay(Duration::from_millis(millis));
            assert_eq!(event.delivery, Some(Delivery::DelaySeconds(seconds)));
        }
    }
}
