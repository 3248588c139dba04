//! Client of triggersd, an event inbox: create events, list the inbox, acknowledge.
//!
//! ```no_run
//! # async fn run() -> Result<(), triggers::Error> {
//! use triggers::{Client, CreateEventRequest};
//!
//! let client = Client::open("ws://127.0.0.1:7300/rpc")?;
//! let event = CreateEventRequest::new("crm", "lead.created", r#"{"id": 1}"#);
//! println!("{}", client.create(event).await?.event_id);
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! The messages are those of the protocol; see [`proto`]. [`Client`] says how calls behave.

mod address;
mod client;
mod connection;
mod credentials;
mod error;
pub mod event_id;
mod events;
mod follower;
mod method;
mod pool;
pub mod proto;
mod random;
mod settler;
mod tls;
mod transport;
mod worker;

pub use client::{Client, ClientBuilder, DEFAULT_URL, MAX_MESSAGE};
pub use error::{Code, Error, FieldViolation};
pub use events::Events;
pub use follower::Follower;
pub use method::Method;
pub use prost_types::Timestamp;
pub use proto::events::{
    AckEventResponse, CreateEventRequest, CreateEventResponse, EraseEventResponse, Event,
    EventFilter, EventKind, EventStatus, ListEventsRequest, ListEventsResponse, ListInboxRequest,
    ListInboxResponse, ListKindsRequest, ListKindsResponse, SortOrder,
};
pub use proto::health::{HealthCheckResponse, health_check_response::ServingStatus};
pub use tokio_util::sync::CancellationToken;
pub use worker::{Delivery, Worker};

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
