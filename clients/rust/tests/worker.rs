//! What the conformance scenarios do not reach of workers. The core here is SP over TCP, whose
//! answers the tests give by hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use triggers::proto::events::{
    Ack, AckResponse, Delivery as Given, Extend, ExtendResponse, ItemError, Nack, NackResponse,
    Pull, PullResponse, Release, ReleaseResponse, SettleResult,
};
use triggers::proto::rpc::{ErrorDetails, Request, Response};
use triggers::{CancellationToken, Client, Code, Delivery, Error, Event, Method, Worker};

const LIMIT: Duration = Duration::from_secs(20);

/// One connection of a client.
struct Core {
    reading: OwnedReadHalf,
    writing: OwnedWriteHalf,
    /// What came that nobody has asked for yet.
    waiting: Vec<([u8; 4], Request)>,
}

/// What came, to be answered.
struct Asked<M: Method> {
    id: [u8; 4],
    body: M::Request,
}

impl Core {
    async fn accept(listener: TcpListener) -> Self {
        let (mut stream, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
        stream.write_all(b"\0SP\0\0\x31\0\0").await.unwrap();
        stream.read_exact(&mut [0; 8]).await.unwrap();
        let (reading, writing) = TcpStream::into_split(stream);
        Self {
            reading,
            writing,
            waiting: Vec::new(),
        }
    }

    /// The next request of this method.
    async fn asked<M: Method<Request: Default>>(&mut self) -> Asked<M> {
        let is_wanted = |(_, request): &([u8; 4], Request)| request.method == M::NAME;
        let place = loop {
            if let Some(place) = self.waiting.iter().position(is_wanted) {
                break place;
            }
            let next = timeout(LIMIT, self.read()).await.expect(M::NAME);
            self.waiting.push(next);
        };
        let (id, request) = self.waiting.remove(place);
        let body = M::Request::decode(request.body).unwrap();
        Asked { id, body }
    }

    async fn read(&mut self) -> ([u8; 4], Request) {
        let length = self.reading.read_u64().await.unwrap() as usize;
        let mut message = vec![0; length];
        self.reading.read_exact(&mut message).await.unwrap();
        let (id, envelope) = message.split_first_chunk().unwrap();
        (*id, Request::decode(envelope).unwrap())
    }

    async fn answer<M: Method>(&mut self, to: Asked<M>, response: M::Response) {
        let body = response.encode_to_vec().into();
        self.write(
            to.id,
            Response {
                body,
                ..Default::default()
            },
        )
        .await;
    }

    async fn refuse<M: Method>(&mut self, to: Asked<M>, code: Code) {
        let code = code.into();
        self.write(
            to.id,
            Response {
                code,
                ..Default::default()
            },
        )
        .await;
    }

    async fn write(&mut self, id: [u8; 4], response: Response) {
        let envelope = response.encode_to_vec();
        let length = (id.len() + envelope.len()) as u64;
        let message = [&length.to_be_bytes(), &id[..], &envelope].concat();
        self.writing.write_all(&message).await.unwrap();
    }

    /// Answers the next pull with deliveries of these ack ids.
    async fn give(&mut self, ack_ids: &[&str]) {
        let pull = self.asked::<Pull>().await;
        self.answer(pull, given(ack_ids)).await;
    }

    /// Answers the next acknowledgement, which is of these.
    async fn acknowledge(&mut self, ack_ids: &[&str]) {
        let ack = self.asked::<Ack>().await;
        assert_eq!(ack.body.ack_ids, ack_ids);
        let results = good(ack_ids.len());
        self.answer(ack, AckResponse { results }).await;
    }

    /// Answers the release of a pull.
    async fn released(&mut self, pull_id: &str) {
        let release = self.asked::<Release>().await;
        assert_eq!(release.body.pull_id, pull_id);
        assert!(release.body.ack_ids.is_empty());
        self.answer(release, ReleaseResponse::default()).await;
    }

    /// A pull that is held; and the stop, upon which it is released.
    async fn stop(mut self, worker: Running) {
        let pull = self.asked::<Pull>().await;
        worker.stop.cancel();
        self.released(&pull.body.pull_id).await;
        worker.ended().await.unwrap();
        assert!(self.waiting.is_empty(), "{:?}", self.waiting);
    }
}

fn given(ack_ids: &[&str]) -> PullResponse {
    let delivery = |ack_id: &&str| Given {
        event: Some(Event::default()),
        ack_id: (*ack_id).to_owned(),
        delivery_attempt: 1,
        lease_expires_at: None,
    };
    PullResponse {
        deliveries: ack_ids.iter().map(delivery).collect(),
        ..Default::default()
    }
}

fn good(count: usize) -> Vec<SettleResult> {
    vec![SettleResult::default(); count]
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    async fn ended(self) -> Result<(), Error> {
        timeout(LIMIT, self.task).await.unwrap().unwrap()
    }
}

/// A worker with a lease of 30 s, unless `set` says otherwise, that is connected to a core.
async fn start<H, F>(set: impl FnOnce(Worker) -> Worker, handle: H) -> (Core, Running)
where
    H: Fn(Delivery) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let client = Client::open(url).unwrap();
    let worker = set(client.worker("w").lease(Duration::from_secs(30)));
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let task = tokio::spawn(worker.run(handle, stopped));
    (Core::accept(listener).await, Running { stop, task })
}

async fn succeed(_: Delivery) -> Result<(), String> {
    Ok(())
}

#[tokio::test]
async fn what_a_pull_brings_after_the_stop_is_released() {
    let handle = |_| async { panic!("nothing is begun") };
    let (mut core, worker) = start(|worker| worker, handle).await;
    let pull = core.asked::<Pull>().await;
    worker.stop.cancel();
    let pull_id = pull.body.pull_id.clone();
    core.released(&pull_id).await;
    worker.ended().await.unwrap();
    core.answer(pull, given(&["late"])).await;
    core.released(&pull_id).await;
}

#[tokio::test]
async fn what_a_pull_brings_when_the_worker_is_dropped_is_released() {
    let handle = |_| async { panic!("nothing is begun") };
    let (mut core, worker) = start(|worker| worker, handle).await;
    let pull = core.asked::<Pull>().await;
    worker.task.abort();
    assert!(worker.task.await.unwrap_err().is_cancelled());
    let pull_id = pull.body.pull_id.clone();
    core.answer(pull, given(&["late"])).await;
    core.released(&pull_id).await;
}

#[tokio::test]
async fn a_stop_waits_for_what_runs_and_for_its_acknowledgement() {
    let go_on = Arc::new(Notify::new());
    let handle = {
        let go_on = go_on.clone();
        move |_| {
            let go_on = go_on.clone();
            async move {
                go_on.notified().await;
                Ok(())
            }
        }
    };
    let (mut core, worker) = start(|worker| worker.concurrency(2), handle).await;
    core.give(&["one"]).await;
    let pull = core.asked::<Pull>().await;
    assert_eq!(pull.body.max_events, 1);
    worker.stop.cancel();
    core.released(&pull.body.pull_id).await;
    go_on.notify_one();
    let ack = core.asked::<Ack>().await;
    assert!(!worker.task.is_finished());
    let results = good(1);
    core.answer(ack, AckResponse { results }).await;
    worker.ended().await.unwrap();
}

#[tokio::test]
async fn a_handler_is_told_of_a_lost_lease_and_nothing_is_settled() {
    let handle = |delivery: Delivery| async move {
        delivery.lost.cancelled().await;
        Ok(())
    };
    let second = Duration::from_secs(1);
    let (mut core, worker) = start(|worker| worker.lease(second), handle).await;
    core.give(&["one"]).await;
    let extend = core.asked::<Extend>().await;
    assert_eq!(extend.body.lease_seconds, 1);
    let results = good(1);
    core.answer(extend, ExtendResponse { results }).await;
    let extend = core.asked::<Extend>().await;
    let error = ItemError {
        code: Code::Aborted.into(),
        details: Some(ErrorDetails {
            reason: "LEASE_LOST".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let results = vec![SettleResult {
        error: Some(error),
        ..Default::default()
    }];
    core.answer(extend, ExtendResponse { results }).await;
    core.stop(worker).await;
}

#[tokio::test]
async fn a_lease_of_a_pull_that_was_sent_again_is_extended_at_once() {
    let handle = |delivery: Delivery| async move {
        delivery.lost.cancelled().await;
        Ok(())
    };
    let half_a_day = Duration::from_secs(12 * 60 * 60);
    let (mut core, worker) = start(|worker| worker.lease(half_a_day), handle).await;
    let pull = core.asked::<Pull>().await;
    let pull_id = pull.body.pull_id.clone();
    core.refuse(pull, Code::Unavailable).await;
    let again = core.asked::<Pull>().await;
    assert_eq!(again.body.pull_id, pull_id);
    core.answer(again, given(&["one"])).await;
    let extend = core.asked::<Extend>().await;
    assert_eq!(extend.body.ack_ids, ["one"]);
    core.refuse(extend, Code::NotFound).await;
    core.stop(worker).await;
}

#[tokio::test]
async fn what_ends_while_a_call_acknowledges_goes_together_in_the_next() {
    // A handler waits until the test lets it go on.
    let gates: Arc<Mutex<Vec<oneshot::Sender<()>>>> = Arc::default();
    let began = Arc::new(Notify::new());
    let handle = {
        let (gates, began) = (gates.clone(), began.clone());
        move |_| {
            let (gate, opened) = oneshot::channel();
            gates.lock().unwrap().push(gate);
            began.notify_one();
            async move { opened.await.map_err(|error| error.to_string()) }
        }
    };
    let (mut core, worker) = start(|worker| worker.concurrency(3), handle).await;
    core.give(&["a", "b", "c"]).await;
    let next_gate = || loop_until(|| gates.lock().unwrap().pop(), &began);
    next_gate().await.send(()).unwrap();
    let first = core.asked::<Ack>().await;
    assert_eq!(first.body.ack_ids.len(), 1);
    next_gate().await.send(()).unwrap();
    next_gate().await.send(()).unwrap();
    // The pull that follows says that both have ended.
    let pull = loop {
        let pull = core.asked::<Pull>().await;
        if pull.body.max_events == 3 {
            break pull;
        }
        core.answer(pull, PullResponse::default()).await;
    };
    let results = good(1);
    core.answer(first, AckResponse { results }).await;
    let second = core.asked::<Ack>().await;
    assert_eq!(second.body.ack_ids.len(), 2);
    worker.stop.cancel();
    core.released(&pull.body.pull_id).await;
    let results = good(2);
    core.answer(second, AckResponse { results }).await;
    worker.ended().await.unwrap();
}

async fn loop_until<T>(mut find: impl FnMut() -> Option<T>, changed: &Notify) -> T {
    loop {
        if let Some(found) = find() {
            return found;
        }
        timeout(LIMIT, changed.notified()).await.unwrap();
    }
}

/// The reason with which a delivery is given back.
async fn reason_of<F>(handle: impl Fn(Delivery) -> F + Send + Sync + 'static) -> String
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let (mut core, worker) = start(|worker| worker, handle).await;
    core.give(&["one"]).await;
    let nack = core.asked::<Nack>().await;
    let reason = nack.body.reason.clone();
    let results = good(1);
    core.answer(nack, NackResponse { results }).await;
    core.stop(worker).await;
    reason
}

#[tokio::test]
async fn failures_are_reasons() {
    let long = reason_of(|_| async { Err("é".repeat(1500)) }).await;
    assert_eq!(long, "é".repeat(1000));
    assert_eq!(reason_of(|_| async { Err(String::new()) }).await, "failed");
    assert_eq!(reason_of(|_| async { panic!("at {}", 3) }).await, "at 3");
    assert_eq!(reason_of(panics_at_once).await, "at once");
}

/// It panics before there is a future.
fn panics_at_once(_: Delivery) -> std::future::Ready<Result<(), String>> {
    panic!("at once");
}

#[tokio::test]
async fn a_call_that_fails_for_good_ends_the_worker_after_what_runs() {
    let (mut core, worker) = start(|worker| worker.concurrency(2), succeed).await;
    core.give(&["one"]).await;
    core.acknowledge(&["one"]).await;
    let pull = core.asked::<Pull>().await;
    core.refuse(pull, Code::NotFound).await;
    assert_eq!(worker.ended().await.unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let client = Client::open("tcp://127.0.0.1:1").unwrap();
    let worker = |set: fn(Worker) -> Worker| {
        let worker = set(client.worker("w"));
        async { worker.run(succeed, async {}).await.unwrap_err().reason }
    };
    for concurrency in [
        |worker: Worker| worker.concurrency(0),
        |worker: Worker| worker.concurrency(1001),
    ] {
        assert_eq!(worker(concurrency).await, "CONCURRENCY_INVALID");
    }
    for lease in [
        |worker: Worker| worker.lease(Duration::ZERO),
        |worker: Worker| worker.lease(Duration::from_millis(1500)),
        |worker: Worker| worker.lease(Duration::from_secs(43_201)),
    ] {
        assert_eq!(worker(lease).await, "LEASE_INVALID");
    }
}
