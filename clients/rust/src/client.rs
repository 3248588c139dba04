//! The client: every method of the protocol as a call.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::Message;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::address::Address;
use crate::connection::keep_connected;
use crate::credentials::Credentials;
use crate::error::{Code, Error};
use crate::event_id;
use crate::events::Events;
use crate::follower::Follower;
use crate::method::Method;
use crate::pool::Pool;
use crate::proto::events::{
    AckEvent, AckEventRequest, AckEventResponse, BatchAckEvents, BatchAckEventsRequest,
    BatchCreateEvents, BatchCreateEventsRequest, CreateEvent, CreateEventRequest,
    CreateEventResponse, EraseEvent, EraseEventRequest, EraseEventResponse, Event, GetEvent,
    GetEventRequest, ListEvents, ListEventsRequest, ListEventsResponse, ListInbox,
    ListInboxRequest, ListInboxResponse, ListKinds, ListKindsRequest, ListKindsResponse,
    ack_event_result, create_event_result,
};
use crate::proto::health::{Check, HealthCheckRequest, HealthCheckResponse};
use crate::proto::rpc::{Request, Response};
use crate::random::Backoff;
use crate::tls;
use crate::worker::Worker;

/// Where a core listens unless told otherwise.
pub const DEFAULT_URL: &str = "ws://127.0.0.1:7300/rpc";

/// The most bytes of one encoded request. A core takes 8 MiB unless it is set to take larger
/// payloads.
pub const MAX_MESSAGE: usize = 10_551_296;

/// A core waits no longer, in milliseconds.
pub(crate) const LONGEST_WAIT_MS: u32 = 20_000;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(50);
pub(crate) const RETRY_LONGEST: Duration = Duration::from_secs(2);
/// Longer deadlines are as good as none, and a clock's sum cannot overflow by this.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(u32::MAX as u64);

/// How to open a [`Client`].
#[derive(Clone, Debug, Default)]
pub struct ClientBuilder {
    urls: Vec<String>,
    ca_file: Option<PathBuf>,
    name: Option<String>,
    timeout: Option<Duration>,
    credentials: Credentials,
}

impl ClientBuilder {
    /// Adds an address, or several separated by commas: `ws://`, `wss://`, `tcp://` or `tls+tcp://`.
    /// All are connected; calls are spread over those that stand. Without any: [`DEFAULT_URL`].
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// A PEM file with the certificates to trust, for `wss` and `tls+tcp`.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// The name and version of the program, such as `"crm/1.2"`, for the core's log.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The deadline of calls, over all their tries. 10 s unless set;
    /// [`Client::with_timeout`] gives one to single calls.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The key that calls carry, visible characters of ASCII; with another text they fail with
    /// INVALID_ARGUMENT (`API_KEY_INVALID`).
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.credentials = Credentials::of(key.into());
        self
    }

    /// A function that gives the current key, called once for each call. When it fails, so does
    /// the call, with UNAUTHENTICATED (`KEY_UNAVAILABLE`) and the text of the error.
    pub fn api_key_from<F, Supply, E>(mut self, supply: F) -> Self
    where
        F: Fn() -> Supply + Send + Sync + 'static,
        Supply: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.credentials = Credentials::from(supply);
        self
    }

    /// Opens the client and starts to connect; the core need not be reachable yet.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with the reason `URL_INVALID`, `TLS_CA_MISSING` or `TLS_CA_INVALID`.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(self) -> Result<Client, Error> {
        let addresses = match self.urls.is_empty() {
            true => Address::parse_list(DEFAULT_URL)?,
            false => Address::parse_list(&self.urls.join(","))?,
        };
        let tls = match &self.ca_file {
            Some(file) => Some(tls::connector(file)?),
            None => None,
        };
        if let (Some(address), None) = (addresses.iter().find(|each| each.tls), &tls) {
            let message = format!("{} needs a ca_file (PEM)", address.url);
            return Err(Error::new(Code::InvalidArgument, "TLS_CA_MISSING", message));
        }
        let pool = Arc::new(Pool::new());
        let (closing, receiver) = watch::channel(());
        let keep = |address| {
            let kept = keep_connected(address, tls.clone(), pool.clone(), receiver.clone());
            tokio::spawn(kept)
        };
        let tasks = addresses.into_iter().map(keep).collect();
        let connections = Arc::new(Connections {
            pool: pool.clone(),
            running: Mutex::new(Some(Running { closing, tasks })),
        });
        Ok(Client {
            connections,
            timeout: self.timeout.unwrap_or(DEFAULT_TIMEOUT),
            metadata: HashMap::from([("client".to_owned(), client_name(self.name))]),
            credentials: self.credentials,
        })
    }
}

fn client_name(program: Option<String>) -> String {
    let library = concat!("triggers-rust/", env!("CARGO_PKG_VERSION"));
    match program {
        Some(program) => format!("{program} {library}"),
        None => library.to_owned(),
    }
}

/// What the clones of a client share. Dropping the last of them closes the connections too.
struct Connections {
    pool: Arc<Pool>,
    running: Mutex<Option<Running>>,
}

struct Running {
    /// Dropping it ends the tasks.
    closing: watch::Sender<()>,
    tasks: Vec<JoinHandle<()>>,
}

/// A client of triggersd. It holds one connection to each address, which carries any number of
/// calls at once, and connects and reconnects by itself. Clones are cheap and share the
/// connections; use it from any number of tasks.
///
/// Calls wait for a connection, and try again what the core answers with UNAVAILABLE,
/// RESOURCE_EXHAUSTED or ABORTED, until their deadline. The core ends a try after 30 s with
/// DEADLINE_EXCEEDED, which ends the call. Dropping a call's future cancels it; a write may have
/// happened then.
///
/// Every call fails with an [`Error`] that has the code and reason of the core, or UNAVAILABLE
/// (`CORE_UNREACHABLE`: never connected; `CONNECTION_LOST`: after the request was sent),
/// DEADLINE_EXCEEDED, INTERNAL (`ANSWER_MALFORMED`), INVALID_ARGUMENT (`MESSAGE_TOO_LARGE`, over
/// [`MAX_MESSAGE`]) or CANCELLED (`CLIENT_CLOSED`).
#[derive(Clone)]
pub struct Client {
    connections: Arc<Connections>,
    timeout: Duration,
    metadata: HashMap<String, String>,
    credentials: Credentials,
}

impl Client {
    /// Opens a client with defaults; see [`ClientBuilder::open`]. `url` may be several addresses
    /// separated by commas.
    pub fn open(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder().url(url).open()
    }

    /// How to open a client, to be filled in.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The same client with another deadline for its calls: `client.with_timeout(…).get(…)`.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            timeout,
            ..self.clone()
        }
    }

    /// The same client with one more entry in the metadata of its calls, such as `request-id` or
    /// `traceparent`, which the core logs.
    #[must_use]
    pub fn with_metadata(&self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let mut client = self.clone();
        client.metadata.insert(name.into(), value.into());
        client
    }

    /// Stores one event. It gets an id here unless it has one or an idempotency key, so whatever
    /// is sent again is stored once.
    pub async fn create(
        &self,
        mut event: CreateEventRequest,
    ) -> Result<CreateEventResponse, Error> {
        give_id(&mut event);
        let created = self.call::<CreateEvent>(&event).await?;
        require(!created.event_id.is_empty(), "lacks the event's id")?;
        Ok(created)
    }

    /// Stores up to 1000 events; a result for each, in order. Each succeeds or fails by itself.
    pub async fn create_batch(
        &self,
        mut events: Vec<CreateEventRequest>,
    ) -> Result<Vec<Result<CreateEventResponse, Error>>, Error> {
        use create_event_result::Outcome;
        events.iter_mut().for_each(give_id);
        let count = events.len();
        let request = BatchCreateEventsRequest { events };
        let answer = self.call::<BatchCreateEvents>(&request).await?;
        require(answer.results.len() == count, "has not a result per event")?;
        let read = |outcome| match outcome {
            Some(Outcome::Created(created)) => Ok(Ok(created)),
            Some(Outcome::Error(error)) => Ok(Err(Error::from_item(error))),
            None => Err(Error::malformed_answer("has an event without a result")),
        };
        answer
            .results
            .into_iter()
            .map(|each| read(each.outcome))
            .collect()
    }

    /// Reads one event.
    pub async fn get(&self, event_id: impl Into<String>) -> Result<Event, Error> {
        let request = GetEventRequest {
            event_id: event_id.into(),
        };
        let answer = self.call::<GetEvent>(&request).await?;
        answer
            .event
            .ok_or_else(|| Error::malformed_answer("lacks the event"))
    }

    /// One page of the inbox. [`list_all`](Self::list_all) turns the pages by itself.
    pub async fn list(&self, request: ListInboxRequest) -> Result<ListInboxResponse, Error> {
        self.call::<ListInbox>(&request).await
    }

    /// Every event from the request's page on, read a page at a time; the deadline is a page's.
    pub fn list_all(&self, request: ListInboxRequest) -> Events {
        Events::new(self.clone(), request)
    }

    /// Reads a part of the log, the events of every status in the order of the commits. Continue
    /// from `next_after`. With `wait_ms` an answer without events comes when that time is over,
    /// and the call has so much more time.
    ///
    /// # Errors
    /// OUT_OF_RANGE, with [`Error::first_sequence`], when events after the position were removed.
    pub async fn list_events(
        &self,
        request: ListEventsRequest,
    ) -> Result<ListEventsResponse, Error> {
        let wait = Duration::from_millis(request.wait_ms.min(LONGEST_WAIT_MS).into());
        self.with_timeout(self.timeout.saturating_add(wait))
            .call::<ListEvents>(&request)
            .await
    }

    /// The events of the log from the request's position on and, by waiting at its end, those to
    /// come. The request's wait, 20 s when it is 0, is that of one call.
    pub fn follow(&self, mut request: ListEventsRequest) -> Follower {
        if request.wait_ms == 0 {
            request.wait_ms = LONGEST_WAIT_MS;
        }
        Follower::new(self.clone(), request)
    }

    /// How to work on the events of a subscription, such as "inbox", to be filled in;
    /// [`Worker::run`] begins.
    pub fn worker(&self, subscription: impl Into<String>) -> Worker {
        Worker::new(self.clone(), subscription.into())
    }

    /// One page of the kinds, the pairs of source and event type that events have or had.
    pub async fn list_kinds(&self, request: ListKindsRequest) -> Result<ListKindsResponse, Error> {
        self.call::<ListKinds>(&request).await
    }

    /// Acknowledges one event; again answers with the first time.
    pub async fn ack(&self, event_id: impl Into<String>) -> Result<AckEventResponse, Error> {
        let request = AckEventRequest {
            event_id: event_id.into(),
        };
        let acked = self.call::<AckEvent>(&request).await?;
        require(!acked.event_id.is_empty(), "lacks the event's id")?;
        Ok(acked)
    }

    /// Acknowledges up to 1000 events; a result for each, in order.
    pub async fn ack_batch<I>(
        &self,
        event_ids: I,
    ) -> Result<Vec<Result<AckEventResponse, Error>>, Error>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        use ack_event_result::Outcome;
        let event_ids: Vec<String> = event_ids.into_iter().map(Into::into).collect();
        let count = event_ids.len();
        let request = BatchAckEventsRequest { event_ids };
        let answer = self.call::<BatchAckEvents>(&request).await?;
        require(answer.results.len() == count, "has not a result per id")?;
        let read = |outcome| match outcome {
            Some(Outcome::Acknowledged(acked)) => Ok(Ok(acked)),
            Some(Outcome::Error(error)) => Ok(Err(Error::from_item(error))),
            None => Err(Error::malformed_answer("has an id without a result")),
        };
        answer
            .results
            .into_iter()
            .map(|each| read(each.outcome))
            .collect()
    }

    /// Removes the payload of one event for good; it cannot be undone. The event keeps its place in
    /// the log and its status, and its create sent again answers as before. Erasing again changes
    /// nothing.
    pub async fn erase(&self, event_id: impl Into<String>) -> Result<EraseEventResponse, Error> {
        let request = EraseEventRequest {
            event_id: event_id.into(),
        };
        let erased = self.call::<EraseEvent>(&request).await?;
        require(!erased.event_id.is_empty(), "lacks the event's id")?;
        Ok(erased)
    }

    /// Whether the core can store and read events now, and which it is.
    pub async fn health(&self) -> Result<HealthCheckResponse, Error> {
        self.call::<Check>(&HealthCheckRequest::default()).await
    }

    /// Makes any call of the protocol: `client.call::<GetStats>(&GetStatsRequest {})`, of which
    /// both are in [`proto`](crate::proto). A method that is not [`Method::REPEATABLE`] is sent once
    /// and fails with its connection.
    pub async fn call<M: Method>(&self, message: &M::Request) -> Result<M::Response, Error> {
        let deadline = Instant::now() + self.timeout.min(LONGEST_TIMEOUT);
        let mut metadata = self.metadata.clone();
        self.credentials.add_to(&mut metadata).await?;
        let mut request = Request {
            method: M::NAME.to_owned(),
            timeout_ms: 0,
            metadata,
            body: message.encode_to_vec().into(),
        };
        request.set_time_left(deadline);
        check_size(&request)?;
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        let mut renewed = false;
        loop {
            let answer = self
                .connections
                .pool
                .exchange(&mut request, deadline, M::REPEATABLE, M::WAITS)
                .await?;
            let response = Response::decode(answer)
                .map_err(|_| Error::malformed_answer("is no message of the protocol"))?;
            if response.code == Code::Ok as i32 {
                return M::Response::decode(response.body)
                    .map_err(|_| Error::malformed_answer("has not the content of the method"));
            }
            let error = Error::from_response(response);
            if error.code == Code::Unauthenticated && !renewed {
                renewed = self.credentials.renew(&mut request.metadata).await;
                if renewed {
                    continue;
                }
            }
            let wait = backoff
                .next_wait()
                .max(error.retry_delay.unwrap_or_default());
            let again = M::REPEATABLE && error.is_passing();
            if !again || Instant::now() + wait >= deadline {
                return Err(error);
            }
            sleep(wait).await;
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Closes the connections of this client and its clones: calls in flight and later ones are
    /// CANCELLED with the reason `CLIENT_CLOSED`. Dropping the last clone closes them too.
    pub async fn close(&self) {
        self.connections.pool.close();
        let running = self
            .connections
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Running { closing, tasks }) = running {
            drop(closing);
            for task in tasks {
                // It could only have panicked, and then it has ended.
                let _ = task.await;
            }
        }
    }
}

fn give_id(event: &mut CreateEventRequest) {
    if event.event_id.is_empty() && event.idempotency_key.is_empty() {
        event.event_id = event_id::new();
    }
}

/// No try is longer than the first, which has the most time left.
fn check_size(request: &Request) -> Result<(), Error> {
    let size = request.encoded_len();
    if size <= MAX_MESSAGE {
        return Ok(());
    }
    let message = format!("the request has {size} bytes; at most {MAX_MESSAGE} are accepted");
    Err(Error::new(
        Code::InvalidArgument,
        "MESSAGE_TOO_LARGE",
        message,
    ))
}

fn require(met: bool, what_is_wrong: &str) -> Result<(), Error> {
    match met {
        true => Ok(()),
        false => Err(Error::malformed_answer(what_is_wrong)),
    }
}
