//! The task that keeps one address connected.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::address::Address;
use crate::pool::Pool;
use crate::random::Backoff;
use crate::transport::{self, Incoming, Outgoing};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const RECONNECT_FIRST: Duration = Duration::from_millis(50);
const RECONNECT_LONGEST: Duration = Duration::from_secs(1);

/// Messages that wait to be written; more make their calls wait.
const QUEUE: usize = 64;

/// Ends when the sender of this is dropped.
pub(crate) type Closing = watch::Receiver<()>;

async fn closed(closing: &mut Closing) {
    while closing.changed().await.is_ok() {}
}

/// Connects and reconnects until the client closes.
pub(crate) async fn keep_connected(
    address: Address,
    tls: Option<TlsConnector>,
    pool: Arc<Pool>,
    mut closing: Closing,
) {
    let mut backoff = Backoff::new(RECONNECT_FIRST, RECONNECT_LONGEST);
    loop {
        let connection = tokio::select! {
            connection = connect(&address, tls.as_ref()) => connection,
            () = closed(&mut closing) => return,
        };
        let problem = match connection {
            Ok((outgoing, incoming)) => {
                backoff.reset();
                match serve(&pool, outgoing, incoming, &mut closing).await {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        pool.note_problem(format!("{}: {problem}", address.url));
        tokio::select! {
            () = sleep(backoff.next_wait()) => {}
            () = closed(&mut closing) => return,
        }
    }
}

async fn connect(
    address: &Address,
    tls: Option<&TlsConnector>,
) -> io::Result<(Outgoing, Incoming)> {
    timeout(CONNECT_TIMEOUT, transport::connect(address, tls)).await?
}

/// Carries messages until the connection drops (an error) or the client closes.
async fn serve(
    pool: &Pool,
    mut outgoing: Outgoing,
    incoming: Incoming,
    closing: &mut Closing,
) -> io::Result<()> {
    let (link, mut queue) = mpsc::channel(QUEUE);
    pool.add_link(link.clone());
    let end = tokio::select! {
        end = write_messages(&mut queue, &mut outgoing) => end,
        end = read_messages(pool, incoming) => end,
        () = closed(closing) => Ok(()),
    };
    // Calls notice when the queue is dropped, and must not find this link again then.
    pool.remove_link(&link);
    drop(queue);
    if end.is_ok() {
        // A peer that does not let itself be told goodbye is left.
        let _ = timeout(CLOSE_TIMEOUT, outgoing.close()).await;
    }
    end
}

async fn write_messages(
    queue: &mut mpsc::Receiver<bytes::Bytes>,
    outgoing: &mut Outgoing,
) -> io::Result<()> {
    while let Some(message) = queue.recv().await {
        outgoing.feed(message).await?;
        // What else is there goes out with the same write.
        while let Ok(message) = queue.try_recv() {
            outgoing.feed(message).await?;
        }
        outgoing.flush().await?;
    }
    Ok(())
}

async fn read_messages(pool: &Pool, mut incoming: Incoming) -> io::Result<()> {
    while let Some(message) = incoming.next().await {
        pool.deliver(message?);
    }
    Err(io::Error::other("the core closed the connection"))
}
