//! Settling deliveries: those that are settled alike while a call is under way go together in the
//! next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::client::Client;
use crate::error::{Code, Error};
use crate::proto::events::{
    Ack, AckRequest, Extend, ExtendRequest, Nack, NackRequest, Release, ReleaseRequest,
    SettleResult,
};

/// In one call.
const MAX_SETTLED: usize = 1000;

/// What is told of calls that failed.
pub(crate) type OnError = Arc<dyn Fn(&Error) + Send + Sync>;

/// What becomes of a delivery; those of which it is the same go together.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Settlement {
    Ack,
    /// With the reason.
    Nack(String),
    Extend,
}

/// An ack id, and who waits for its result.
type Waiting = (String, oneshot::Sender<Result<(), Error>>);

/// Settles the deliveries of one worker.
pub(crate) struct Settler {
    pub(crate) client: Client,
    pub(crate) subscription: String,
    pub(crate) lease: Duration,
    pub(crate) on_error: OnError,
    /// What gathers for the next call; there is an entry as long as a task makes such calls.
    waiting: Mutex<HashMap<Settlement, Vec<Waiting>>>,
}

impl Settler {
    pub(crate) fn new(
        client: Client,
        subscription: String,
        lease: Duration,
        on_error: OnError,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            subscription,
            lease,
            on_error,
            waiting: Mutex::new(HashMap::new()),
        })
    }

    /// Settles one delivery; the error may be that of the whole call.
    pub(crate) async fn settle(
        self: &Arc<Self>,
        how: Settlement,
        ack_id: String,
    ) -> Result<(), Error> {
        let (tell, told) = oneshot::channel();
        if self.gather(&how, (ack_id, tell)) {
            tokio::spawn(self.clone().send_all(how));
        }
        told.await.unwrap_or_else(|_| Err(runtime_ends()))
    }

    /// True when it is the first, for which nobody makes calls yet.
    fn gather(&self, how: &Settlement, one: Waiting) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(others) = waiting.get_mut(how) {
            others.push(one);
            return false;
        }
        waiting.insert(how.clone(), vec![one]);
        true
    }

    async fn send_all(self: Arc<Self>, how: Settlement) {
        while let Some(batch) = self.next_batch(&how) {
            self.send(&how, batch).await;
        }
    }

    /// None when nothing waits, and then the next one is the first again.
    fn next_batch(&self, how: &Settlement) -> Option<Vec<Waiting>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let gathered = waiting.get_mut(how)?;
        if gathered.is_empty() {
            waiting.remove(how);
            return None;
        }
        let count = gathered.len().min(MAX_SETTLED);
        Some(gathered.drain(..count).collect())
    }

    async fn send(&self, how: &Settlement, batch: Vec<Waiting>) {
        let (ack_ids, tells): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let results = match self.call(how, ack_ids).await {
            Ok(results) if results.len() == tells.len() => {
                results.into_iter().map(result_of).collect()
            }
            Ok(_) => vec![Err(Error::malformed_answer("has not a result per ack id")); tells.len()],
            Err(error) => vec![Err(error); tells.len()],
        };
        for (tell, result) in tells.into_iter().zip(results) {
            // A handler that has ended does not wait for its extension.
            let _ = tell.send(result);
        }
    }

    async fn call(
        &self,
        how: &Settlement,
        ack_ids: Vec<String>,
    ) -> Result<Vec<SettleResult>, Error> {
        let client = self
            .client
            .with_timeout(self.client.timeout().max(self.lease));
        let name = self.subscription.clone();
        Ok(match how {
            Settlement::Ack => {
                let request = AckRequest { name, ack_ids };
                client.call::<Ack>(&request).await?.results
            }
            Settlement::Nack(reason) => {
                let request = NackRequest {
                    name,
                    ack_ids,
                    reason: reason.clone(),
                    ..Default::default()
                };
                client.call::<Nack>(&request).await?.results
            }
            Settlement::Extend => {
                let request = ExtendRequest {
                    name,
                    ack_ids,
                    lease_seconds: self.lease.as_secs() as u32,
                };
                client.call::<Extend>(&request).await?.results
            }
        })
    }

    /// Ends a pull that waits, and gives back what it got.
    pub(crate) async fn release(&self, pull_id: String) {
        let request = ReleaseRequest {
            name: self.subscription.clone(),
            pull_id,
            ..Default::default()
        };
        self.report(self.client.call::<Release>(&request).await.map(drop));
    }

    pub(crate) fn report(&self, result: Result<(), Error>) {
        if let Err(error) = result {
            (self.on_error)(&error);
        }
    }
}

fn result_of(result: SettleResult) -> Result<(), Error> {
    match result.error {
        Some(error) => Err(Error::from_item(error)),
        None => Ok(()),
    }
}

/// A task that answers has vanished, which happens at the end of a runtime only.
pub(crate) fn runtime_ends() -> Error {
    Error::new(Code::Cancelled, "CLIENT_CLOSED", "the runtime is shut down")
}
