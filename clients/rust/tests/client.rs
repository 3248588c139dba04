//! What the conformance scenarios do not reach: cancelling, closing, several connections, wrong
//! peers. The core here is a few lines of SP over TCP; against nng the scenarios run.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use triggers::proto::health::HealthCheckRequest;
use triggers::proto::rpc::{Request, Response};
use triggers::{
    Client, ClientBuilder, Code, Error, Event, HealthCheckResponse, ListEventsRequest,
    ListEventsResponse, Method, ServingStatus,
};

const LIMIT: Duration = Duration::from_secs(20);

/// A request and the connection on which it came.
struct Received {
    request: Request,
    id: [u8; 4],
    stream: TcpStream,
}

impl Received {
    async fn read(mut stream: TcpStream) -> Self {
        let length = stream.read_u64().await.unwrap() as usize;
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await.unwrap();
        let (id, envelope) = message.split_first_chunk().unwrap();
        let request = Request::decode(envelope).unwrap();
        Self {
            request,
            id: *id,
            stream,
        }
    }

    async fn answer(self) -> TcpStream {
        let serving = HealthCheckResponse {
            status: ServingStatus::Serving.into(),
            ..Default::default()
        };
        self.answer_with(&serving).await
    }

    async fn answer_with(mut self, response: &impl Message) -> TcpStream {
        let body = response.encode_to_vec().into();
        let envelope = Response {
            body,
            ..Default::default()
        }
        .encode_to_vec();
        let length = (self.id.len() + envelope.len()) as u64;
        let message = [&length.to_be_bytes(), &self.id[..], &envelope].concat();
        self.stream.write_all(&message).await.unwrap();
        self.stream
    }
}

/// Accepts a connection as an SP server that replies.
async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
    let mut hello = [0; 8];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(hello, *b"\0SP\0\0\x30\0\0");
    stream.write_all(b"\0SP\0\0\x31\0\0").await.unwrap();
    stream
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// The connection on which something came, and the other.
async fn in_turn(a: TcpStream, b: TcpStream) -> (TcpStream, TcpStream) {
    let (mut at_a, mut at_b) = ([0; 1], [0; 1]);
    let a_is_first = async {
        tokio::select! {
            _ = a.peek(&mut at_a) => true,
            _ = b.peek(&mut at_b) => false,
        }
    };
    match timeout(LIMIT, a_is_first).await.unwrap() {
        true => (a, b),
        false => (b, a),
    }
}

#[tokio::test]
async fn closing_ends_calls_in_flight_and_later_ones() {
    let (listener, url) = listen().await;
    let client = Client::open(url).unwrap();
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.health().await }
    });
    let mut received = Received::read(accept(&listener).await).await;
    timeout(LIMIT, client.close()).await.unwrap();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(
        (error.code, error.reason.as_str()),
        (Code::Cancelled, "CLIENT_CLOSED")
    );
    assert_eq!(client.health().await.unwrap_err().reason, "CLIENT_CLOSED");
    assert_eq!(
        received.stream.read(&mut [0; 1]).await.unwrap(),
        0,
        "the connection is closed"
    );
    client.close().await;
}

#[tokio::test]
async fn dropping_the_last_clone_closes_the_connections() {
    let (listener, url) = listen().await;
    let client = Client::open(url).unwrap();
    let other = client.clone();
    let core = async { Received::read(accept(&listener).await).await.answer().await };
    let (answer, mut stream) = tokio::join!(client.health(), core);
    answer.unwrap();
    drop(client);
    drop(other);
    let end = timeout(LIMIT, stream.read(&mut [0; 1])).await.unwrap();
    assert_eq!(end.unwrap(), 0);
}

#[tokio::test]
async fn a_dropped_call_leaves_the_connection_to_others() {
    let (listener, url) = listen().await;
    let client = Client::open(url).unwrap();
    let (seen, mut first_seen) = mpsc::channel(1);
    let core = tokio::spawn(async move {
        let first = Received::read(accept(&listener).await).await;
        seen.send(()).await.unwrap();
        let first_id = first.id;
        let second = Received::read(first.stream).await;
        // A late answer to the first, which nobody waits for, before the second's.
        let late = Received {
            id: first_id,
            request: second.request,
            stream: second.stream,
        };
        let stream = late.answer().await;
        let second = Received {
            id: second.id,
            request: Request::default(),
            stream,
        };
        let _open = second.answer().await;
        pending::<()>().await;
    });
    tokio::select! {
        _ = client.health() => panic!("nobody answered"),
        _ = first_seen.recv() => {}
    }
    assert_eq!(
        client.health().await.unwrap().status(),
        ServingStatus::Serving
    );
    core.abort();
}

#[tokio::test]
async fn a_call_whose_connection_drops_goes_to_the_other_core() {
    let (one, url) = listen().await;
    let (other, other_url) = listen().await;
    let client = Client::builder().url(url).url(other_url).open().unwrap();
    let (a, b) = tokio::join!(accept(&one), accept(&other));
    drop((one, other));
    let call = tokio::spawn({
        let client = client.with_timeout(LIMIT).with_metadata("request-id", "r");
        async move { client.health().await }
    });
    let (first, second) = in_turn(a, b).await;
    let lost = Received::read(first).await;
    assert_eq!(lost.request.metadata["request-id"], "r");
    let body = lost.request.body.clone();
    drop(lost);
    let again = Received::read(second).await;
    assert_eq!(again.request.body, body);
    let _open = again.answer().await;
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_core_that_is_silent_for_long_is_left_for_the_other() {
    let (one, url) = listen().await;
    let (other, other_url) = listen().await;
    let client = Client::open(format!("{url},{other_url}")).unwrap();
    let (a, b) = tokio::join!(accept(&one), accept(&other));
    let call = tokio::spawn(async move { client.with_timeout(LIMIT).health().await });
    let (first, second) = in_turn(a, b).await;
    let _silent = Received::read(first).await;
    let again = timeout(LIMIT, Received::read(second)).await.unwrap();
    let _open = again.answer().await;
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_that_does_not_return_is_lost() {
    let (listener, url) = listen().await;
    let client = Client::open(url).unwrap();
    let core = async {
        let stream = accept(&listener).await;
        Received::read(stream).await;
        drop(listener);
    };
    let client = client.with_timeout(Duration::from_millis(500));
    let (answer, ()) = tokio::join!(client.health(), core);
    let error = answer.unwrap_err();
    assert_eq!(
        (error.code, error.reason.as_str()),
        (Code::Unavailable, "CONNECTION_LOST")
    );
}

#[tokio::test]
async fn peers_that_do_not_speak_sp_are_no_core() {
    let (listener, url) = listen().await;
    let peer = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"SSH-2.0-no").await.unwrap();
        }
    });
    let client = Client::builder()
        .url(url)
        .timeout(Duration::from_millis(300));
    let start = Instant::now();
    let error = client.open().unwrap().health().await.unwrap_err();
    assert_eq!(error.reason, "CORE_UNREACHABLE");
    assert!(error.message.contains("does not speak SP"), "{error}");
    assert!(start.elapsed() >= Duration::from_millis(300));
    peer.abort();
}

#[tokio::test]
async fn options_that_cannot_work_are_refused() {
    let reason = |builder: triggers::ClientBuilder| builder.open().err().map(|error| error.reason);
    let secure = || Client::builder().url("wss://localhost:1/rpc");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert_eq!(
        reason(Client::builder().url("http://a")).as_deref(),
        Some("URL_INVALID")
    );
    assert_eq!(reason(secure()).as_deref(), Some("TLS_CA_MISSING"));
    assert_eq!(
        reason(secure().ca_file("/no/such/file")).as_deref(),
        Some("TLS_CA_INVALID")
    );
    assert_eq!(
        reason(secure().ca_file(manifest)).as_deref(),
        Some("TLS_CA_INVALID")
    );
}

#[test]
fn clients_and_calls_go_between_threads() {
    fn check<T: Send>(_: &T) {}
    fn check_client<T: Send + Sync + 'static>() {}
    check_client::<Client>();
    let call = |client: Client| async move { client.get("evt_x").await };
    let _ = |client: Client| check(&call(client));
}

#[test]
fn the_version_is_the_projects() {
    let build = include_str!("../../../meson.build");
    assert!(build.contains(&format!("version: '{}'", triggers::VERSION)));
}

#[test]
fn the_readme_shows_the_examples_as_they_are() {
    let readme = include_str!("../README.md");
    assert!(readme.contains(include_str!("../examples/producer.rs")));
    assert!(readme.contains(include_str!("../examples/consumer.rs")));
}

/// Health's Check, of which the `.proto` file says that it may not be repeated.
struct Once;

impl Method for Once {
    const NAME: &'static str = "triggers.health.v1.Health/Check";
    const REPEATABLE: bool = false;
    const WAITS: bool = false;
    type Request = HealthCheckRequest;
    type Response = HealthCheckResponse;
}

#[tokio::test]
async fn what_may_not_be_repeated_ends_with_its_connection() {
    let (listener, url) = listen().await;
    let client = Client::open(url).unwrap();
    let core = async { drop(Received::read(accept(&listener).await).await) };
    let request = HealthCheckRequest::default();
    let (answer, ()) = tokio::join!(client.call::<Once>(&request), core);
    let error = answer.unwrap_err();
    assert_eq!(
        (error.code, error.reason.as_str()),
        (Code::Unavailable, "CONNECTION_LOST")
    );
    // The connection returns, for the next call.
    let core = async { Received::read(accept(&listener).await).await.answer().await };
    let (answer, _stream) = tokio::join!(client.call::<Once>(&request), core);
    assert_eq!(answer.unwrap().status(), ServingStatus::Serving);
}

/// The position that a request of the log asks for; it waits as long as it can, and has time for it.
fn position(received: &Received) -> i64 {
    let request = ListEventsRequest::decode(received.request.body.clone()).unwrap();
    assert_eq!(request.wait_ms, 20_000);
    assert!((29_000..=30_000).contains(&received.request.timeout_ms));
    request.after_sequence
}

#[tokio::test]
async fn a_follower_goes_on_after_a_wait_that_was_dropped() {
    let (listener, url) = listen().await;
    let client = Client::open(url).unwrap();
    let mut follower = client.follow(ListEventsRequest {
        after_sequence: 3,
        ..Default::default()
    });
    let event = |sequence| Event {
        sequence,
        ..Default::default()
    };
    let page = ListEventsResponse {
        events: vec![event(4), event(6)],
        next_after: 9,
        first_sequence: 1,
    };
    let core = async {
        let received = Received::read(accept(&listener).await).await;
        assert_eq!(position(&received), 3);
        received.answer_with(&page).await
    };
    let (first, stream) = tokio::join!(follower.next(), core);
    assert_eq!((first.unwrap().sequence, follower.next_after()), (4, 4));
    assert_eq!(follower.next().await.unwrap().sequence, 6);
    assert_eq!(follower.next_after(), 9);
    let waiting = tokio::select! {
        _ = follower.next() => panic!("nobody answered"),
        received = Received::read(stream) => received,
    };
    assert_eq!(position(&waiting), 9);
    let core = async {
        let received = Received::read(waiting.stream).await;
        assert_eq!(position(&received), 9);
        let last = ListEventsResponse {
            events: vec![event(10)],
            next_after: 10,
            first_sequence: 1,
        };
        received.answer_with(&last).await
    };
    let (third, _stream) = tokio::join!(follower.next(), core);
    assert_eq!((third.unwrap().sequence, follower.next_after()), (10, 10));
}

const KEY: &str = "trg_0123456789ab_kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";

/// Makes two calls, and gives what each said of its key.
async fn keys_sent(builder: ClientBuilder) -> Vec<Option<String>> {
    let (listener, url) = listen().await;
    let client = builder.url(url).open().unwrap();
    let core = async {
        let mut stream = accept(&listener).await;
        let mut keys = Vec::new();
        for _ in 0..2 {
            let received = Received::read(stream).await;
            keys.push(received.request.metadata.get("authorization").cloned());
            stream = received.answer().await;
        }
        keys
    };
    let calls = async {
        client.health().await.unwrap();
        let another = client.with_metadata("authorization", "another");
        another.health().await.unwrap();
    };
    tokio::join!(core, calls).0
}

#[tokio::test]
async fn a_key_goes_with_each_call_and_is_not_shown() {
    let builder = Client::builder().api_key(KEY);
    assert!(!format!("{builder:?}").contains(KEY));
    let told = Some(format!("Bearer {KEY}"));
    assert_eq!(keys_sent(builder).await, [told.clone(), told]);
}

#[tokio::test]
async fn a_function_is_asked_for_the_key_of_each_call() {
    let calls = AtomicUsize::new(0);
    let builder = Client::builder().api_key_from(move || {
        let number = calls.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, Error>(format!("key-{number}")) }
    });
    let told = ["Bearer key-0", "Bearer key-1"].map(|key| Some(key.to_owned()));
    assert_eq!(keys_sent(builder).await, told);
}

#[tokio::test]
async fn what_is_no_key_is_refused_and_not_shown() {
    let (_listener, url) = listen().await;
    for key in ["", "ключ", &format!("{KEY}\n")] {
        let client = Client::builder().url(&url).api_key(key).open().unwrap();
        let error = client.health().await.unwrap_err();
        assert_eq!(
            (error.code, error.reason.as_str()),
            (Code::InvalidArgument, "API_KEY_INVALID")
        );
        assert!(!format!("{error:?}").contains(KEY));
    }
}

#[tokio::test]
async fn a_function_that_fails_fails_the_call() {
    let (_listener, url) = listen().await;
    let builder = Client::builder().api_key_from(|| async { Err("gone") });
    let error = builder.url(url).open().unwrap().health().await.unwrap_err();
    assert_eq!(
        (error.code, error.reason.as_str()),
        (Code::Unauthenticated, "KEY_UNAVAILABLE")
    );
    assert_eq!(error.message, "there is no key: gone");
}
