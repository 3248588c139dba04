//! Following the log: events one after another, and calls that wait when there are none.

use std::collections::VecDeque;

use crate::client::Client;
use crate::error::Error;
use crate::proto::events::{Event, ListEventsRequest};

/// Walks through the log, and waits at its end for more: each event once, in order. Made by
/// [`Client::follow`].
pub struct Follower {
    client: Client,
    /// Its position: everything up to there was read.
    request: ListEventsRequest,
    /// What was read and not given yet.
    events: VecDeque<Event>,
    after: i64,
}

impl Follower {
    pub(crate) fn new(client: Client, request: ListEventsRequest) -> Self {
        Self {
            client,
            after: request.after_sequence,
            request,
            events: VecDeque::new(),
        }
    }

    /// The position after the event that was given last: save it, and follow from there the next
    /// time.
    pub fn next_after(&self) -> i64 {
        self.after
    }

    /// Waits for the next event. After an error, and when its future is dropped, the follower goes
    /// on where it was.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.events.pop_front() {
                self.after = match self.events.is_empty() {
                    true => self.request.after_sequence,
                    false => event.sequence,
                };
                return Ok(event);
            }
            let page = self.client.list_events(self.request.clone()).await?;
            self.request.after_sequence = page.next_after;
            self.events = page.events.into();
            if self.events.is_empty() {
                self.after = page.next_after;
            }
        }
    }
}
