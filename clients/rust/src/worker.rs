//! Working on a subscription's events: pulls no more than there are handlers free, keeps their
//! leases, and settles what they have done.

use std::any::Any;
use std::convert::Infallible;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::client::{Client, LONGEST_WAIT_MS, RETRY_FIRST, RETRY_LONGEST};
use crate::error::{Code, Error};
use crate::event_id;
use crate::proto::events::{
    Event, GetSubscription, GetSubscriptionRequest, Pull, PullRequest, PullResponse,
};
use crate::random::Backoff;
use crate::settler::{OnError, Settlement, Settler, runtime_ends};

/// In which a pull that is sent again gets the same events.
const SAME_PULL: Duration = Duration::from_secs(60);
/// An empty answer that came so early was not waited for: a rest follows it.
const AT_ONCE: Duration = Duration::from_millis(500);
const REST: Duration = Duration::from_secs(1);
/// Characters.
const MAX_REASON: usize = 1000;
const MAX_CONCURRENCY: usize = 1000;
const MAX_LEASE: Duration = Duration::from_secs(12 * 60 * 60);

/// An event that was given to a worker, for a time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// What happened.
    pub event: Event,
    /// How often the event was given out, this time included.
    pub attempt: u32,
    /// Cancelled when the lease is lost: somebody else may have the event, and what becomes of it
    /// here will not count. `delivery.lost.cancelled().await` waits for that, in a
    /// `tokio::select!` for instance.
    pub lost: CancellationToken,
}

/// Hands the events of a subscription to a handler; [`Client::worker`] makes one. It pulls no more
/// than it can begin, extends each lease while the handler runs, acknowledges what succeeded and
/// gives back what failed. An event may be handled more than once.
#[must_use = "a worker does nothing until it is run"]
pub struct Worker {
    client: Client,
    subscription: String,
    concurrency: usize,
    lease: Option<Duration>,
    on_error: OnError,
}

impl Worker {
    pub(crate) fn new(client: Client, subscription: String) -> Self {
        Self {
            client,
            subscription,
            concurrency: 1,
            lease: None,
            on_error: Arc::new(|_| {}),
        }
    }

    /// How many handlers run at once, 1 to 1000; 1 unless set.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers;
        self
    }

    /// After how long an event comes again when this program has vanished, in whole seconds up to
    /// 12 hours; as the subscription says unless set.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Is told of calls that failed and are made again, and of outcomes that could not be stored.
    /// Any thread may call it.
    pub fn on_error(mut self, tell: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.on_error = Arc::new(tell);
        self
    }

    /// Hands out events until `stop` is done, such as [`CancellationToken::cancelled`] or a
    /// signal. Then it begins nothing more, releases what a pull may still get, finishes and
    /// settles what runs, and returns.
    ///
    /// Each event is handled in a task of its own. It is acknowledged when `handle` gives `Ok`. With
    /// an error it is given back: it comes again after a pause and is a dead letter after the last
    /// attempt, with the error's text, cut at 1000 characters, as the reason. A panic is an error.
    ///
    /// Dropping the future drops the handlers too; their events come again when their leases are
    /// over.
    ///
    /// # Errors
    /// That of a call that failed for good, as when there is no such subscription; what runs is
    /// finished before. INVALID_ARGUMENT with the reason `CONCURRENCY_INVALID` or `LEASE_INVALID`.
    pub async fn run<H, F, E>(self, handle: H, stop: impl Future<Output = ()>) -> Result<(), Error>
    where
        H: Fn(Delivery) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + 'static,
    {
        self.check()?;
        let mut stop = pin!(stop);
        let lease = tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            lease = self.find_lease() => lease?,
        };
        let mut run = Run {
            settler: Settler::new(self.client, self.subscription, lease, self.on_error),
            handle: Arc::new(handle),
            free: Arc::new(Semaphore::new(self.concurrency)),
            running: JoinSet::new(),
            pull_id: None,
        };
        let ended = tokio::select! {
            biased;
            () = stop => Ok(()),
            ended = run.pull_all() => ended.map(|never| match never {}),
        };
        run.finish().await;
        ended
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |reason, message| Err(Error::new(Code::InvalidArgument, reason, message));
        if !(1..=MAX_CONCURRENCY).contains(&self.concurrency) {
            let message = format!(
                "the concurrency is {}; accepted is 1 to {MAX_CONCURRENCY}",
                self.concurrency
            );
            return refuse("CONCURRENCY_INVALID", message);
        }
        let lease = self.lease.unwrap_or(MAX_LEASE);
        if lease.is_zero() || lease > MAX_LEASE || lease.subsec_nanos() != 0 {
            let message = format!("the lease is {lease:?}; accepted are whole seconds, 1 to 43200");
            return refuse("LEASE_INVALID", message);
        }
        Ok(())
    }

    /// The lease stated, or else the subscription's.
    async fn find_lease(&self) -> Result<Duration, Error> {
        if let Some(lease) = self.lease {
            return Ok(lease);
        }
        let request = GetSubscriptionRequest {
            name: self.subscription.clone(),
        };
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        let answer = loop {
            match self.client.call::<GetSubscription>(&request).await {
                Ok(answer) => break answer,
                Err(error) => pause(error, &mut backoff, &self.on_error).await?,
            }
        };
        match answer.subscription.map_or(0, |each| each.lease_seconds) {
            0 => Err(Error::malformed_answer("lacks the subscription's lease")),
            seconds => Ok(Duration::from_secs(seconds.into())),
        }
    }
}

/// Waits before a call is made again; gives back an error that this does not mend.
async fn pause(error: Error, backoff: &mut Backoff, on_error: &OnError) -> Result<(), Error> {
    if !error.is_retryable() {
        return Err(error);
    }
    on_error(&error);
    let wait = backoff
        .next_wait()
        .max(error.retry_delay.unwrap_or_default());
    sleep(wait).await;
    Ok(())
}

/// A worker that runs.
struct Run<H> {
    settler: Arc<Settler>,
    handle: Arc<H>,
    /// A permit for each handler that is free.
    free: Arc<Semaphore>,
    running: JoinSet<()>,
    /// Of the pull whose answer has not come.
    pull_id: Option<String>,
}

/// A delivery as it came, of which the event is sure to be there.
struct Pulled {
    event: Event,
    ack_id: String,
    attempt: u32,
    /// Its pull was sent more than once: how old the lease is, is not known.
    again: bool,
}

impl<H, F, E> Run<H>
where
    H: Fn(Delivery) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Display + 'static,
{
    /// May be dropped at any time: what it leaves is in `pull_id`.
    async fn pull_all(&mut self) -> Result<Infallible, Error> {
        loop {
            let mut places = take_free(&self.free).await;
            let pulled = self.pull(places.num_permits()).await?;
            while self.running.try_join_next().is_some() {}
            for each in pulled {
                let (settler, handle) = (self.settler.clone(), self.handle.clone());
                self.running
                    .spawn(work(settler, handle, each, places.split(1)));
            }
        }
    }

    /// What there is for so many handlers.
    async fn pull(&mut self, places: usize) -> Result<Vec<Pulled>, Error> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        let mut request = PullRequest {
            name: self.settler.subscription.clone(),
            max_events: places as u32,
            lease_seconds: self.settler.lease.as_secs() as u32,
            wait_ms: LONGEST_WAIT_MS,
            ..Default::default()
        };
        let mut since: Option<Instant> = None;
        loop {
            let sent = Instant::now();
            let again = since.is_some_and(|since| sent - since < SAME_PULL);
            if !again {
                since = Some(sent);
                request.pull_id = event_id::new();
            }
            self.pull_id = Some(request.pull_id.clone());
            match self.ask(request.clone()).await {
                Ok(response) => {
                    self.pull_id = None;
                    if response.deliveries.is_empty() && sent.elapsed() < AT_ONCE {
                        sleep(REST).await;
                    }
                    return read(response, again);
                }
                Err(error) => {
                    if !error.is_retryable() {
                        self.pull_id = None;
                    }
                    pause(error, &mut backoff, &self.settler.on_error).await?;
                }
            }
        }
    }

    /// Makes the call in a task of its own, so that what it brings when nobody waits any more is
    /// released.
    async fn ask(&self, request: PullRequest) -> Result<PullResponse, Error> {
        let (tell, told) = oneshot::channel();
        let settler = self.settler.clone();
        tokio::spawn(async move {
            let wait = Duration::from_millis(LONGEST_WAIT_MS.into());
            let timeout = settler.client.timeout().saturating_add(wait);
            let client = settler.client.with_timeout(timeout);
            let answer = client.call::<Pull>(&request).await;
            match tell.send(answer) {
                Err(Ok(late)) if !late.deliveries.is_empty() => {
                    settler.release(request.pull_id).await;
                }
                _ => {}
            }
        });
        told.await.unwrap_or_else(|_| Err(runtime_ends()))
    }

    /// Releases the pull under way, and waits until what runs is settled.
    async fn finish(mut self) {
        let release = async {
            if let Some(pull_id) = self.pull_id {
                self.settler.release(pull_id).await;
            }
        };
        let rest = async { while self.running.join_next().await.is_some() {} };
        tokio::join!(release, rest);
    }
}

/// Waits for a handler that is free, and takes all that are.
async fn take_free(free: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let permit = free.clone().acquire_owned().await;
    let mut places = permit.expect("nobody closes it");
    while let Ok(more) = free.clone().try_acquire_owned() {
        places.merge(more);
    }
    places
}

fn read(response: PullResponse, again: bool) -> Result<Vec<Pulled>, Error> {
    let pulled = response.deliveries.into_iter().map(|each| {
        let event = each
            .event
            .ok_or_else(|| Error::malformed_answer("has a delivery without an event"))?;
        Ok(Pulled {
            event,
            ack_id: each.ack_id,
            attempt: each.delivery_attempt,
            again,
        })
    });
    pulled.collect()
}

/// Handles a delivery and settles it.
async fn work<H, F, E>(
    settler: Arc<Settler>,
    handle: Arc<H>,
    pulled: Pulled,
    place: Option<OwnedSemaphorePermit>,
) where
    H: Fn(Delivery) -> F,
    F: Future<Output = Result<(), E>>,
    E: Display + 'static,
{
    let lost = CancellationToken::new();
    let first = match pulled.again {
        true => Duration::ZERO,
        false => settler.lease / 3,
    };
    // Dropping it ends the task. That is a task of its own for the sake of handlers that block.
    let mut keeper = JoinSet::new();
    let ack_id = pulled.ack_id.clone();
    keeper.spawn(keep(settler.clone(), ack_id, lost.clone(), first));
    let delivery = Delivery {
        event: pulled.event,
        attempt: pulled.attempt,
        lost: lost.clone(),
    };
    let settlement = outcome_of(&*handle, delivery).await;
    drop((keeper, place));
    if !lost.is_cancelled() {
        settler.report(settler.settle(settlement, pulled.ack_id).await);
    }
}

/// Extends a lease until it is dropped, and cancels `lost` when the lease is lost.
async fn keep(settler: Arc<Settler>, ack_id: String, lost: CancellationToken, first: Duration) {
    let mut wait = first;
    loop {
        sleep(wait).await;
        wait = settler.lease / 3;
        let Err(error) = settler.settle(Settlement::Extend, ack_id.clone()).await else {
            continue;
        };
        (settler.on_error)(&error);
        if error.is_retryable() && error.reason != "LEASE_LOST" {
            continue;
        }
        if error.reason != "LEASE_TOO_LONG" && error.code != Code::Cancelled {
            lost.cancel();
        }
        return;
    }
}

async fn outcome_of<H, F, E>(handle: &H, delivery: Delivery) -> Settlement
where
    H: Fn(Delivery) -> F,
    F: Future<Output = Result<(), E>>,
    E: Display + 'static,
{
    let handling = async { handle(delivery).await.map_err(|error| error.to_string()) };
    match AssertUnwindSafe(handling).catch_unwind().await {
        Ok(Ok(())) => Settlement::Ack,
        Ok(Err(text)) => Settlement::Nack(reason_of(&text)),
        Err(panic) => Settlement::Nack(reason_of(text_of(&*panic))),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "panicked",
    }
}

fn reason_of(text: &str) -> String {
    match text.is_empty() {
        true => "failed".to_owned(),
        false => text.chars().take(MAX_REASON).collect(),
    }
}
