//! The connections of a client and the requests that wait for answers on them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::{Code, Error};
use crate::proto::rpc::Request;
use crate::random::random_bytes;

/// A request that may be repeated is sent again when its connection drops and, unless it waits,
/// after this long without an answer: with several addresses the next one gets it. More often would
/// only burden a core that is slow.
const RESEND: Duration = Duration::from_secs(5);

/// SP: the last request id of a message's backtrace has this bit set.
const REQUEST_ID_BIT: u32 = 1 << 31;
const REQUEST_ID_SIZE: usize = 4;

/// Where a connection takes messages; closed once it dropped.
pub(crate) type Link = mpsc::Sender<Bytes>;

type Waiting = HashMap<u32, oneshot::Sender<Bytes>>;

pub(crate) struct Pool {
    /// By request id; None once the client is closed.
    waiting: Mutex<Option<Waiting>>,
    /// The connections that stand.
    links: watch::Sender<Vec<Link>>,
    /// Why the last attempt to connect failed.
    problem: Mutex<String>,
    next_id: AtomicU32,
    turn: AtomicUsize,
}

/// Panics are no reason to stop: nothing here is left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Mutex::new(Some(HashMap::new())),
            links: watch::Sender::new(Vec::new()),
            problem: Mutex::new("none has been tried yet".to_owned()),
            next_id: AtomicU32::new(u32::from_be_bytes(random_bytes())),
            turn: AtomicUsize::new(usize::from_be_bytes(random_bytes())),
        }
    }

    pub(crate) fn add_link(&self, link: Link) {
        self.links.send_modify(|links| links.push(link));
    }

    pub(crate) fn remove_link(&self, link: &Link) {
        self.links
            .send_modify(|links| links.retain(|each| !each.same_channel(link)));
    }

    pub(crate) fn note_problem(&self, problem: String) {
        *lock(&self.problem) = problem;
    }

    /// Ends every call with CANCELLED, those to come included.
    pub(crate) fn close(&self) {
        lock(&self.waiting).take();
    }

    /// Hands an answer to its call; what nobody waits for is a late answer, or none at all.
    pub(crate) fn deliver(&self, mut message: Bytes) {
        let Some((id, _)) = message.split_first_chunk::<REQUEST_ID_SIZE>() else {
            return;
        };
        let id = u32::from_be_bytes(*id);
        let call = lock(&self.waiting).as_mut().and_then(|all| all.remove(&id));
        if let Some(call) = call {
            // The call may have been dropped this instant.
            let _ = call.send(message.split_off(REQUEST_ID_SIZE));
        }
    }

    /// Sends the request until an answer to it comes, and gives that answer's bytes; once, unless it
    /// is repeatable.
    pub(crate) async fn exchange(
        &self,
        request: &mut Request,
        deadline: Instant,
        repeatable: bool,
        waits: bool,
    ) -> Result<Bytes, Error> {
        let mut call = self.expect_answer()?;
        let mut sent = false;
        loop {
            let link = tokio::select! {
                biased;
                answer = &mut call.answer => return answer.map_err(|_| client_closed()),
                link = self.next_link() => link,
                () = sleep_until(deadline) => return Err(self.unreachable(sent)),
            };
            let message = encode(call.id, request, deadline);
            let send = async {
                sent |= link.send(message).await.is_ok();
                link.closed().await;
            };
            tokio::select! {
                biased;
                answer = &mut call.answer => return answer.map_err(|_| client_closed()),
                () = send => if sent && !repeatable {
                    return Err(connection_lost());
                },
                () = sleep_until(deadline) => return Err(deadline_exceeded()),
                () = sleep(RESEND), if repeatable && !waits => {}
            }
        }
    }

    fn expect_answer(&self) -> Result<Call<'_>, Error> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) | REQUEST_ID_BIT;
        let (sender, answer) = oneshot::channel();
        lock(&self.waiting)
            .as_mut()
            .ok_or_else(client_closed)?
            .insert(id, sender);
        Ok(Call {
            pool: self,
            id,
            answer,
        })
    }

    /// Waits for a connection; with several, each gets its turn.
    async fn next_link(&self) -> Link {
        let mut changes = self.links.subscribe();
        let links = changes
            .wait_for(|links| !links.is_empty())
            .await
            .expect("the pool, which holds the sender, is here");
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        links[turn % links.len()].clone()
    }

    fn unreachable(&self, sent: bool) -> Error {
        let (reason, what) = match sent {
            true => (
                "CONNECTION_LOST",
                "the connection dropped and did not come back",
            ),
            false => ("CORE_UNREACHABLE", "no connection to the core"),
        };
        let message = format!("{what} until the deadline: {}", lock(&self.problem));
        Error::new(Code::Unavailable, reason, message)
    }
}

/// A request under way. Dropping it, which is how a call is cancelled, forgets it.
struct Call<'a> {
    pool: &'a Pool,
    id: u32,
    answer: oneshot::Receiver<Bytes>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = lock(&self.pool.waiting).as_mut() {
            waiting.remove(&self.id);
        }
    }
}

/// The SP message of a request, which says how much time is left.
fn encode(id: u32, request: &mut Request, deadline: Instant) -> Bytes {
    request.set_time_left(deadline);
    let mut message = BytesMut::with_capacity(REQUEST_ID_SIZE + request.encoded_len());
    message.put_u32(id);
    request.encode_raw(&mut message);
    message.freeze()
}

impl Request {
    pub(crate) fn set_time_left(&mut self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        self.timeout_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1);
    }
}

fn client_closed() -> Error {
    Error::new(Code::Cancelled, "CLIENT_CLOSED", "the client is closed")
}

fn connection_lost() -> Error {
    let message = "the connection dropped; the call may or may not have been done";
    Error::new(Code::Unavailable, "CONNECTION_LOST", message)
}

fn deadline_exceeded() -> Error {
    Error::new(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        "the core did not answer before the deadline; a write may or may not have happened",
    )
}
